"""The main job: a model, a device and an objective → a plan."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

from qprobe.documents.files import load_document
from qprobe.documents.model import Model
from qprobe.documents.objective import Objective
from qprobe.documents.plan import Plan
from qprobe.documents.profile import Profile
from qprobe.documents.sensitivity import Sensitivity
from qprobe.errors import InputError
from qprobe.flow.cached import cached_profiles
from qprobe.flow.hub import find_model
from qprobe.flow.interruption import InterruptedWith
from qprobe.timing.progress import Progress, silent

Measure = Literal["auto", "never"]
NO_CALIBRATION = "none"


def plan(
    model: str,
    objective: Objective,
    *,
    device: str | None = None,
    profile_files: Sequence[Path] = (),
    targets: Sequence[str] = (),
    measure: Measure = "auto",
    calibrate: str | None = None,
    sensitivity_file: Path | None = None,
    progress: Progress = silent,
) -> Plan:
    """Plan `model` for a device here, or for those that `profile_files` were measured on.

    `targets` names the devices (by slug) to plan for, of those whose profiles are given or cached.
    `calibrate` is a text to measure errors on, or "none". Raises InputError for what contradicts itself
    or is not there, InfeasibleError where no plan fits, InterruptedWith after Ctrl-C.
    """
    _refuse_contradictions(device, profile_files, calibrate, sensitivity_file)
    path = find_model(model)
    from qprobe.checkpoint import read_model
    from qprobe.policy import check_request, make_plan

    facts = read_model(path)
    check_request(facts, objective)
    if objective.generate and not facts.kv_elements_per_token:
        raise InputError(
            f"asked for {objective.generate} generated tokens, but {facts.architecture} generates "
            "none",
            "leave --generate out for an encoder",
        )
    errors = _read_sensitivity(sensitivity_file, facts)
    text = _read_calibration(calibrate)
    interrupted = False
    if profile_files:
        profiles = _profiles_given(profile_files, targets)
    else:
        profiles, interrupted = _profiles_here(
            facts, objective, device, path, targets, measure, progress
        )
    if sensitivity_file is None and calibrate != NO_CALIBRATION:
        from qprobe.sensitivity import ensure_sensitivity

        wanted: Measure = "never" if interrupted else measure
        try:
            errors = ensure_sensitivity(path, facts, text, measure=wanted, progress=progress)
        except KeyboardInterrupt:
            interrupted = True
    made = make_plan(facts, profiles, objective, errors)
    if interrupted:
        raise InterruptedWith(made)
    return made


def _refuse_contradictions(
    device: str | None,
    profile_files: Sequence[Path],
    calibrate: str | None,
    sensitivity_file: Path | None,
) -> None:
    if profile_files and device is not None:
        raise InputError(
            "both --profile and --device were given",
            "a profile says which device it is of: leave --device out",
        )
    if sensitivity_file is not None and calibrate is not None:
        raise InputError(
            "both --sensitivity and --calibrate were given",
            "errors are read from the file, or measured on the text: give one of them",
        )


def _read_sensitivity(file: Path | None, model: Model) -> Sensitivity | None:
    if file is None:
        return None
    found = load_document(Sensitivity, file)
    if found.model_hash != model.model_hash:
        raise InputError(
            f"{file} was measured on another model ({found.model_hash}, this is {model.model_hash})",
            "leave --sensitivity out to measure this one",
        )
    return found


def _read_calibration(calibrate: str | None) -> str | None:
    if calibrate is None or calibrate == NO_CALIBRATION:
        return None
    from qprobe.checkpoint.text import read_text

    return read_text(calibrate)


def _profiles_given(files: Sequence[Path], targets: Sequence[str]) -> list[Profile]:
    """The profiles in files, or those of them that are of the targets, in the targets' order."""
    found: dict[str, Profile] = {}
    for file in files:
        profile = load_document(Profile, file)
        slug = profile.fingerprint.slug
        if slug in found:
            raise InputError(
                f"two of the profiles are of {slug}, one is {file}", "give one for each device"
            )
        found[slug] = profile
    _require_targets(targets, found)
    return [found[slug] for slug in dict.fromkeys(targets or found)]


def _profiles_here(
    model: Model,
    objective: Objective,
    device: str | None,
    path: Path,
    targets: Sequence[str],
    measure: Measure,
    progress: Progress,
) -> tuple[list[Profile], bool]:
    """The profiles of the device here and of cached targets, and whether measuring was cut short."""
    from qprobe.bench import ensure_profile
    from qprobe.flow.gpu_state import state_reader
    from qprobe.kernels.device import default_device, fingerprint, parse_device
    from qprobe.probe import probe_machine

    name = default_device() if device is None else parse_device(device)
    here = fingerprint(name).slug
    wanted = tuple(dict.fromkeys(targets)) or (here,)
    found = {} if wanted == (here,) else cached_profiles(model.linear_weights)
    _require_targets(wanted, {here, *found})
    interrupted = False
    if here in wanted:
        # What is measured of the machine goes into a profile, which "never" takes from the cache.
        may_measure = measure != "never"
        machine = probe_machine(bandwidth=may_measure, arithmetic=may_measure)
        found[here] = ensure_profile(
            model,
            objective,
            name,
            machine,
            path=path,
            measure=measure,
            progress=progress,
            read_state=state_reader(name),
        )
        interrupted = found[here].interrupted
    return [found[slug] for slug in wanted], interrupted


def _require_targets(targets: Sequence[str], known: Collection[str]) -> None:
    for target in targets:
        if target not in known:
            raise InputError(
                f"there is no profile of the target {target}",
                f"there is {', '.join(sorted(known))}; "
                "measure others on their machines with qprobe bench",
            )

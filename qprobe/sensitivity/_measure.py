"""A model and a text → Sensitivity, through the model's own forward pass."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from qprobe.checkpoint import read_model
from qprobe.checkpoint.casting import cast_module
from qprobe.checkpoint.forward import evaluating, output_metric, run_forward
from qprobe.checkpoint.loading import load_module
from qprobe.checkpoint.text import read_text, token_batch, token_hash, tokenize, why_bytes
from qprobe.documents.model import Model
from qprobe.documents.scheme import SCHEMES, ActivationType
from qprobe.documents.sensitivity import GroupGain, LayerNoise, Sensitivity, UniformError
from qprobe.errors import InputError, QprobeError
from qprobe.layers._unfold import Unfolded, unfolded
from qprobe.quantize.scheme import exceeds, peak_of
from qprobe.sensitivity._simulate import (
    Inputs,
    Named,
    error_power,
    input_of,
    list_algorithms,
    simulate,
    simulated,
)
from qprobe.timing.progress import Progress, silent

Pair = tuple[str, str]
"""A scheme and an algorithm."""

SEQUENCES = 8
TOKENS = 64
UNREACHED = 1e-24
"""Error power at the output below which a group's output does not reach it: rounding is above."""


def measure_sensitivity(
    path_or_module: str | Path | nn.Module,
    schemes: Sequence[str],
    text: str | None = None,
    *,
    progress: Progress = silent,
) -> Sensitivity:
    """Measure how much each scheme hurts each layer, and how much of that reaches the output.

    One pass gives the noise of every layer under every scheme on the activations that the text
    makes; one pass a group and type of activations, with that group under a scheme of the kind,
    gives its gain; one pass a scheme, with every group under it, tells how the powers add up in
    this model.

    Args:
        path_or_module: a checkpoint, or a live module as stored.
        schemes: names of the schemes to measure.
        text: what to calibrate on; None takes the text that ships with qprobe.
        progress: told what is being done.

    Raises:
        InputError: an unknown scheme, a checkpoint or a text that cannot be used.
        UnavailableError: a checkpoint is given and transformers is not installed.
    """
    if unknown := sorted(set(schemes) - set(SCHEMES)):
        raise InputError(f"unknown schemes {', '.join(unknown)}", f"known are {', '.join(SCHEMES)}")
    model = read_model(path_or_module)
    if isinstance(path_or_module, nn.Module):
        module, folder = path_or_module, None
        _refuse_meta(module)
    else:
        module, folder = load_module(path_or_module), Path(path_or_module)
    ids = calibration_ids(model, folder, text)
    ids = ids.to(next((p.device for p in module.parameters()), ids.device))
    if why := why_bytes(folder):
        progress(f"calibrating on the bytes of the text: {why}", 0.0)
    tensors = (linear.tensor for linear in model.linears)
    with evaluating(module), unfolded(module, tensors) as made:
        measurement = _Measurement(module, made, model, ids, schemes, progress)
        return measurement.take(token_hash(ids))


def _refuse_meta(module: nn.Module) -> None:
    if any(parameter.is_meta for parameter in module.parameters()):
        raise InputError(
            f"{type(module).__name__} has no weights: it is on the meta device",
            "load its weights before",
        )


def calibration_ids(model: Model, folder: Path | None, text: str | None) -> Tensor:
    """The token ids (sequences, tokens) that a model is calibrated on; None: of the text that ships."""
    text = read_text(None) if text is None else text
    length = min(TOKENS, model.max_tokens or TOKENS)
    return token_batch(tokenize(text, folder, model.vocab_size), SEQUENCES, length)


class _Measurement:
    """One measurement: the module, its linears by tensor, and the exact output.

    What a scheme cannot hold, such as activations beyond its range, gives no finite power: nothing
    is recorded of it, and a plan takes no scheme of which nothing is known.
    """

    def __init__(
        self,
        module: nn.Module,
        made: Unfolded,
        model: Model,
        ids: Tensor,
        schemes: Sequence[str],
        progress: Progress,
    ) -> None:
        self.module, self.model, self.ids, self.progress = module, model, ids, progress
        self.linears = {
            tensor: [slot.linear for slot in slots] for tensor, slots in made.slots.items()
        }
        self.peaks = {
            tensor: [peak_of(linear.weight) for linear in several]
            for tensor, several in self.linears.items()
        }
        self.pairs = [
            (name, algorithm)
            for name in schemes
            if SCHEMES[name].weights is not None
            for algorithm in list_algorithms(SCHEMES[name])
        ]
        self.groups = {
            name: [linear.tensor for linear in members]
            for name, members in model.groups().items()
            if all(linear.kind != "head" for linear in members)
        }

    def suits(self, tensor: str, scheme: str) -> bool:
        """Whether the scheme can store the weights of that name, by their shape and their peak."""
        linear = self.linears[tensor][0]
        if SCHEMES[scheme].objection(linear.out_features, linear.in_features):
            return False
        return not any(exceeds(peak, SCHEMES[scheme]) for peak in self.peaks[tensor])

    def take(self, data_hash: str) -> Sensitivity:
        self.progress("calibrating: noise of every layer", 0.0)
        exact = self._run_exactly()
        noises = self._measure_noise()
        return Sensitivity(
            model_hash=self.model.model_hash,
            method="calibrated",
            data_hash=data_hash,
            tokens=self.ids.numel(),
            metric=output_metric(self.module),
            noise_floor=self._measure_floor(exact),
            layers=noises,
            gains=self._measure_gains(exact, noises),
            uniform=self._measure_uniform(exact),
            batches=len(self.ids),
        )

    def _run_exactly(self) -> Tensor:
        """The output as stored; raises InputError where there is none to compare with."""
        try:
            exact = run_forward(self.module, self.ids)
        except QprobeError:
            raise
        except Exception as error:  # The module is a stranger's.
            reason = " ".join(str(error).split())
            raise InputError(
                f"{type(self.module).__name__} does not run on token ids: "
                f"{type(error).__name__}: {reason:.200}",
                "give a model whose forward takes input_ids",
            ) from error
        if not bool(exact.isfinite().all()):
            raise InputError(
                "the model gives NaN or infinity on the calibration text",
                "check the checkpoint, or give another text with --calibrate",
            )
        return exact

    def _measure_noise(self) -> tuple[LayerNoise, ...]:
        """The noise of every layer under every scheme, on its own inputs.

        Where a name stands for several, such as experts, or is used several times, it is that of
        all their outputs together.
        """
        powers: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
        names = {linear: tensor for tensor, several in self.linears.items() for linear in several}

        def listen(linear: nn.Module, inputs: Inputs, named: Named, output: Tensor) -> None:
            if not isinstance(linear, nn.Linear):
                return
            for scheme, algorithm in self.pairs:
                if not self.suits(names[linear], scheme):
                    continue
                rough = simulate(linear, input_of(inputs, named), SCHEMES[scheme], algorithm)
                signal = float(output.double().square().sum())
                seen = powers.setdefault((names[linear], scheme, algorithm), [])
                seen.append((signal, error_power(output, rough)))

        handles = [linear.register_forward_hook(listen, with_kwargs=True) for linear in names]
        try:
            run_forward(self.module, self.ids)
        finally:
            for handle in handles:
                handle.remove()
        noises = {key: _together(seen) for key, seen in powers.items()}
        return tuple(
            LayerNoise(tensor=tensor, scheme=scheme, algorithm=algorithm, noise=noise)
            for (tensor, scheme, algorithm), noise in noises.items()
            if math.isfinite(noise)
        )

    def _measure_gains(self, exact: Tensor, noises: Sequence[LayerNoise]) -> tuple[GroupGain, ...]:
        """Output error power over the group's mean noise, under one scheme of each kind."""
        table = {(n.tensor, n.scheme, n.algorithm): n.noise for n in noises}
        gains = []
        for index, (group, tensors) in enumerate(self.groups.items()):
            self.progress(f"calibrating: reach of {group}", index / len(self.groups))
            linears = [linear for tensor in tensors for linear in self.linears[tensor]]
            means = {
                pair: sum(table[tensor, *pair] for tensor in tensors) / len(tensors)
                for pair in self.pairs
                if all((tensor, *pair) in table for tensor in tensors)
            }
            for kind, pair in _one_of_each_kind(means).items():
                power = self._power_under(exact, linears, pair)
                if math.isfinite(power):
                    gain = power / means[pair] if power > UNREACHED and means[pair] > 0 else None
                    gains.append(GroupGain(group=group, gain=gain, activations=kind))
            if not any(self._all_suit(tensors, scheme) for scheme, _ in self.pairs):
                gains.append(GroupGain(group=group, gain=None))
        return tuple(gains)

    def _power_under(self, exact: Tensor, linears: list[nn.Linear], pair: Pair) -> float:
        """Output error power with these linears under a scheme."""
        with simulated(linears, *pair):
            return error_power(exact, run_forward(self.module, self.ids))

    def _all_suit(self, tensors: Sequence[str], scheme: str) -> bool:
        return all(self.suits(tensor, scheme) for tensor in tensors)

    def _measure_uniform(self, exact: Tensor) -> tuple[UniformError, ...]:
        """Output error power with every group under one scheme that can store it, but the head."""
        errors = []
        for scheme, algorithm in self.pairs:
            self.progress(f"calibrating: every layer under {scheme}", 1.0)
            linears = [
                linear
                for tensors in self.groups.values()
                if self._all_suit(tensors, scheme)
                for tensor in tensors
                for linear in self.linears[tensor]
            ]
            power = self._power_under(exact, linears, (scheme, algorithm))
            if math.isfinite(power):
                errors.append(
                    UniformError(
                        scheme=scheme,
                        algorithm=algorithm,
                        compute_dtype=self.model.dtype,
                        power=power,
                    )
                )
        return tuple(errors)

    def _measure_floor(self, exact: Tensor) -> float | None:
        """Output error power of the whole model in bf16; None where it does not run in it."""
        tensors = self.module.state_dict().values()
        if all(t.dtype == torch.bfloat16 for t in tensors if t.is_floating_point()):
            return 0.0
        try:
            narrow = cast_module(copy.deepcopy(self.module), torch.bfloat16)
            power = error_power(exact, run_forward(narrow, self.ids))
        except Exception:  # The module is a stranger's, and may hold constants of its own type.
            return None
        return power if math.isfinite(power) else None


def _one_of_each_kind(noises: Mapping[Pair, float]) -> dict[ActivationType | None, Pair]:
    """The roughest of the schemes that leave activations, and the finest of those that round them.

    The one is far above what else rounds; in the other the weights add least.
    """
    found: dict[ActivationType | None, Pair] = {}
    for pair in sorted(noises, key=lambda pair: noises[pair]):
        kind = SCHEMES[pair[0]].activations
        if kind is None or kind not in found:
            found[kind] = pair
    return found


def _together(seen: Sequence[tuple[float, float]]) -> float:
    """The noise of several outputs, of which each has (signal, noise to signal)."""
    if len(seen) == 1:
        return seen[0][1]
    signal = sum(power for power, _ in seen)
    noise = sum(power * relative for power, relative in seen)
    return noise / signal if signal > 0 else max(relative for _, relative in seen)

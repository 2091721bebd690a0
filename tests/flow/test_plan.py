from __future__ import annotations

from pathlib import Path

import pytest

import qprobe.bench
import qprobe.checkpoint
import qprobe.kernels.device
import qprobe.policy
import qprobe.probe
import qprobe.sensitivity
from qprobe.documents.files import save_document
from qprobe.documents.objective import Objective
from qprobe.errors import InputError
from qprobe.flow.interruption import InterruptedWith
from qprobe.flow.plan import plan
from qprobe.timing.cache import remember
from tests import documents_factory as factory
from tests.render import samples

MODEL = factory.model()


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """The flow's neighbours replaced by recorders; a CPU called cpu-test."""
    seen: dict[str, object] = {}

    def make_plan(model, profiles, objective, sensitivity=None):
        seen.update(profiles=[p.fingerprint.slug for p in profiles], sensitivity=sensitivity)
        return samples.plan()

    def ensure_profile(*_args, measure, **_more):
        seen["measure"] = measure
        return factory.profile(interrupted=seen.get("interrupt", False))

    def probe_machine(**asked):
        seen["probed"] = asked
        return samples.machine()

    def ensure_sensitivity(_path, _model, text, *, measure, progress):
        seen.update(text=text, calibrating=measure)
        if seen.get("interrupt calibration"):
            raise KeyboardInterrupt
        return factory.sensitivity(MODEL)

    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(qprobe.checkpoint, "read_model", lambda _path: MODEL)
    monkeypatch.setattr(qprobe.policy, "make_plan", make_plan)
    monkeypatch.setattr(qprobe.bench, "ensure_profile", ensure_profile)
    monkeypatch.setattr(qprobe.sensitivity, "ensure_sensitivity", ensure_sensitivity)
    monkeypatch.setattr(qprobe.probe, "probe_machine", probe_machine)
    monkeypatch.setattr(qprobe.kernels.device, "fingerprint", lambda _name: factory.fingerprint())
    return seen


@pytest.fixture
def model(tmp_path) -> str:
    return str(tmp_path)


def write(document, path: Path) -> Path:
    save_document(document, path)
    return path


def test_by_default_measures_and_calibrates_here(calls, model):
    plan(model, Objective())
    assert calls["profiles"] == ["cpu-test"]
    assert (calls["measure"], calls["calibrating"], calls["text"]) == ("auto", "auto", None)
    assert calls["sensitivity"] is not None


def test_never_measuring_holds_for_all(calls, model):
    plan(model, Objective(), measure="never")
    assert (calls["measure"], calls["calibrating"]) == ("never", "never")
    assert calls["probed"] == {"bandwidth": False, "arithmetic": False}
    plan(model, Objective())
    assert calls["probed"] == {"bandwidth": True, "arithmetic": True}


def test_profiles_from_files_need_no_device(calls, model, tmp_path):
    files = [
        write(factory.profile(slug=slug), tmp_path / f"{slug}.json") for slug in ("b-gpu", "a-cpu")
    ]
    plan(model, Objective(), profile_files=files)
    assert calls["profiles"] == ["b-gpu", "a-cpu"]
    assert "measure" not in calls
    plan(model, Objective(), profile_files=files, targets=("a-cpu",))
    assert calls["profiles"] == ["a-cpu"]


def test_a_target_may_be_in_the_cache(calls, model):
    remember(factory.profile(slug="h100"), "h100-1")
    plan(model, Objective(), targets=("h100", "cpu-test"))
    assert calls["profiles"] == ["h100", "cpu-test"]


def test_of_a_target_the_profile_for_models_of_this_size_is_taken(calls, model, monkeypatch):
    taken = []
    monkeypatch.setattr(
        qprobe.policy,
        "make_plan",
        lambda _m, profiles, *_: taken.append(*profiles) or samples.plan(),
    )
    remember(factory.profile(slug="h100", weights=MODEL.linear_weights + 1), "h100-other")
    plan(model, Objective(), targets=("h100",))
    remember(factory.profile(slug="h100"), "h100")
    plan(model, Objective(), targets=("h100",))
    remember(factory.profile(slug="h100", weights=MODEL.linear_weights), "h100-this")
    remember(factory.profile(slug="h100"), "h100-newer")
    plan(model, Objective(), targets=("h100",))
    assert [p.weights for p in taken] == [MODEL.linear_weights + 1, None, MODEL.linear_weights]


def test_a_target_elsewhere_is_not_measured_here(calls, model):
    remember(factory.profile(slug="h100"), "h100-1")
    plan(model, Objective(), targets=("h100",))
    assert calls["profiles"] == ["h100"]
    assert "measure" not in calls


def test_an_unknown_target_is_refused_before_anything_is_measured(calls, model):
    with pytest.raises(InputError, match="target v100") as caught:
        plan(model, Objective(), targets=("v100",))
    assert "there is cpu-test" in caught.value.hint
    assert "measure" not in calls


def test_two_profiles_of_one_device_are_refused(calls, model, tmp_path):
    files = [write(factory.profile(), tmp_path / name) for name in ("a.json", "b.json")]
    with pytest.raises(InputError, match=r"two of the profiles are of cpu-test.*b\.json"):
        plan(model, Objective(), profile_files=files)


def test_a_profile_and_a_device_contradict_each_other(model, tmp_path):
    with pytest.raises(InputError, match="both --profile and --device"):
        plan(model, Objective(), device="cpu", profile_files=[tmp_path / "p.json"])


@pytest.mark.parametrize("calibrate", ["text.txt", "none"])
def test_a_sensitivity_and_a_text_contradict_each_other(model, tmp_path, calibrate):
    with pytest.raises(InputError, match="both --sensitivity and --calibrate"):
        plan(model, Objective(), calibrate=calibrate, sensitivity_file=tmp_path / "s.json")


def test_without_calibration_nothing_is_known_of_the_error(calls, model):
    plan(model, Objective(), calibrate="none")
    assert calls["sensitivity"] is None
    assert "calibrating" not in calls


def test_a_text_to_calibrate_on_is_read(calls, model, tmp_path):
    (tmp_path / "t.txt").write_text("some words")
    plan(model, Objective(), calibrate=str(tmp_path / "t.txt"))
    assert calls["text"] == "some words"


def test_errors_from_a_file_are_not_measured(calls, model, tmp_path):
    file = write(factory.sensitivity(MODEL), tmp_path / "s.json")
    plan(model, Objective(), sensitivity_file=file)
    assert calls["sensitivity"] is not None
    assert "calibrating" not in calls


def test_errors_of_another_model_are_refused(calls, model, tmp_path):
    other = factory.sensitivity(MODEL, model_hash="f" * 16)
    with pytest.raises(InputError, match="another model"):
        plan(model, Objective(), sensitivity_file=write(other, tmp_path / "s.json"))


def test_interrupted_measuring_gives_the_plan_of_what_is_there(calls, model):
    calls["interrupt"] = True
    with pytest.raises(InterruptedWith) as caught:
        plan(model, Objective())
    assert caught.value.plan.model.name == "tiny"
    assert calls["calibrating"] == "never"


def test_interrupted_calibration_gives_the_plan_without_errors(calls, model):
    calls["interrupt calibration"] = True
    with pytest.raises(InterruptedWith):
        plan(model, Objective())
    assert calls["sensitivity"] is None


@pytest.mark.parametrize(
    ("asked", "words"),
    [({"prompt": 9000}, "at most 8192"), ({"prompt": 8, "generate": 4}, "generates none")],
    ids=["too long", "encoder"],
)
def test_a_request_that_the_model_cannot_take_is_refused_before_anything_is_measured(
    calls, model, asked, words
):
    with pytest.raises(InputError, match=words):
        plan(model, Objective(**asked))
    assert "measure" not in calls

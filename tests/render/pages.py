"""Pages of documents of every kind, and a reader of HTML that refuses what is not well-formed."""

from __future__ import annotations

from html.parser import HTMLParser

from qprobe.documents.finding import Diagnosis, Speed, Verdict
from qprobe.documents.plan import Plan
from qprobe.documents.profile import Profile
from qprobe.policy import make_plan
from qprobe.render.html import diagnosis_html, plan_html
from tests import documents_factory as factory
from tests.render import samples

VOID = {"meta", "link", "br", "img", "input", "hr"}
VERDICTS = ("fast", "works", "slow", "broken", "unsupported", "not_installed")


class Reader(HTMLParser):
    """Collects tags, attributes and text, and refuses tags that do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        """Of which tag, name and value."""
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data

    def values(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


def planned(layers=2, **request) -> tuple[Plan, Profile]:
    """A plan as the policy makes it, with the profile that it was made from."""
    linears = [item for index in range(layers) for item in factory.block(index)]
    model = factory.model([*linears, factory.linear("pooler", 64, 64, rows="sequence")])
    speeds = factory.by_ops({"W8A8": 2.0, "W8A16": 1.1, "W4A16": 0.7})
    profile = factory.measured_profile(model, speeds, dtypes=("float32", "bfloat16"))
    noises = factory.sensitivity(model, gains=dict.fromkeys(model.groups(), 0.2))
    return make_plan(model, profile, factory.objective(**request), noises), profile


def rich_plan_html() -> str:
    plan, profile = planned()
    return plan_html(plan, {profile.fingerprint.slug: profile})


def verdict(name: str, device="cpu", **changes) -> Verdict:
    fields = {
        "method": f"a {name} method",
        "device": device,
        "verdict": name,
        "why": f"it is {name}",
        "evidence": "measured",
        "detail": f"how {name} was seen",
    }
    return Verdict(**fields | changes)


def speed(m: int, ratio: float, doubt=0.1) -> Speed:
    return Speed(
        m=m,
        n=256,
        k=256,
        activation_dtype="bfloat16",
        median_s=1e-3 / ratio,
        unquantized_s=1e-3,
        unquantized_dtype="bfloat16",
        ratio=ratio,
        ratio_low=ratio * (1 - doubt),
        ratio_high=ratio * (1 + doubt),
    )


def timed_diagnosis() -> Diagnosis:
    """Methods that were timed: faster, slower by far, and too near to tell; one that was not."""
    ratios = {"fast": (3.0, 1.8), "slow": (0.5, 0.004), "works": (1.02, 0.7), "broken": (0.9, 1.2)}
    verdicts = [
        verdict(name, speeds=(speed(1, first), speed(256, second)))
        for name, (first, second) in ratios.items()
    ]
    return samples.full_diagnosis().model_copy(
        update={
            "verdicts": (*verdicts, verdict("not_installed")),
            "disturbed_by": "another program",
            "interrupted": True,
        }
    )


def every_diagnosis(devices=("cpu", "cuda:0")) -> Diagnosis:
    """Every status and every verdict, on several devices."""
    return samples.full_diagnosis().model_copy(
        update={
            "verdicts": tuple(
                verdict(name, device, fix=samples.Fix(text="do it", commands=(f"pip {name}",)))
                for name in VERDICTS
                for device in devices
            )
        }
    )


HOSTILE_PLAN = samples.plan(
    name=samples.HOSTILE,
    groups={"pooler.weight": samples.decision(reasons=(samples.HOSTILE,))},
)
PAGES = {
    "diagnosis": lambda: diagnosis_html(samples.full_diagnosis()),
    "diagnosis of two devices": lambda: diagnosis_html(every_diagnosis()),
    "diagnosis with speeds": lambda: diagnosis_html(timed_diagnosis()),
    "diagnosis with a roofline": lambda: diagnosis_html(
        samples.full_diagnosis(), {"cpu-test": planned()[1]}
    ),
    "empty diagnosis": lambda: diagnosis_html(samples.diagnosis()),
    "plan": lambda: plan_html(HOSTILE_PLAN),
    "plan with measurements": rich_plan_html,
    "plan that generates": lambda: plan_html(planned(generate=8)[0]),
}

"""A plan for a request that generates: its tokens, its cache and its head are all counted."""

import pytest

from qprobe.bench import _rest as resting
from qprobe.bench._rest import measure_rest
from qprobe.documents.files import save_document
from qprobe.flow.objective import build_objective
from qprobe.flow.plan import plan
from tests.documents_factory import by_ops, measured_profile
from tests.generator import CONFIG

PROMPT, GENERATE = 32, 64
HEAD_S = 1e-3
ELEMENTS_PER_TOKEN = (
    2
    * CONFIG["num_hidden_layers"]
    * CONFIG["num_key_value_heads"]
    * (CONFIG["hidden_size"] // CONFIG["num_attention_heads"])
)


@pytest.fixture
def make(path, model, tmp_path):
    """A plan on a profile in which `seconds` says how long each cell takes."""

    def make(seconds=None, rows=(1, 4, PROMPT, 4 * PROMPT), **request):
        profile = measured_profile(model, seconds or by_ops(), rows=rows)
        save_document(profile, tmp_path / "profile.json")
        return plan(
            str(path),
            build_objective(**{"batch": 1, "prompt": PROMPT, "generate": GENERATE, **request}),
            profile_files=[tmp_path / "profile.json"],
            calibrate="none",
        )

    return make


def predicted(made):
    return made.targets[made.primary].predicted


def as_stored(made):
    """The same model unquantized, whatever was chosen."""
    alternatives = made.targets[made.primary].alternatives
    return next(item for item in alternatives if item.name == "NONE").predicted


def test_a_request_is_its_prefill_and_its_tokens(make):
    found = predicted(make())
    assert found.decode_seconds_per_token.value > 0
    assert found.seconds.value == pytest.approx(
        found.prefill_seconds.value + GENERATE * found.decode_seconds_per_token.value
    )
    assert found.seconds.value == pytest.approx(
        found.linear_seconds.value + found.rest_seconds.value
    )


@pytest.mark.parametrize("batch", [1, 4])
def test_memory_grows_by_the_cache_of_each_token(make, batch):
    more, less = (as_stored(make(batch=batch, generate=count)) for count in (GENERATE, 3))
    expected = batch * (GENERATE - 3) * ELEMENTS_PER_TOKEN * 4
    assert more.memory_bytes.value - less.memory_bytes.value == expected
    assert more.weight_bytes == less.weight_bytes


def test_the_head_costs_one_row_a_sequence_in_every_pass(make, model):
    head = next(item for item in model.linears if item.kind == "head")

    def seconds(_scheme, _kernel, _dtype, m, n, k):
        if (n, k) != (head.n, head.k):
            return 0.0
        return HEAD_S if m == 4 else 100.0

    found = as_stored(make(seconds, batch=4))
    assert found.linear_seconds.value == pytest.approx((1 + GENERATE) * HEAD_S)
    without = as_stored(make(seconds, batch=4, generate=0))
    assert without.linear_seconds.value == pytest.approx(HEAD_S)


def test_kernels_cover_prefill_and_decode_each_by_its_best(make):
    def seconds(scheme, kernel, _dtype, m, n, k):
        usual = by_ops()(scheme, kernel, _dtype, m, n, k)
        is_best = (kernel == "reference") == (m < 8)
        return usual if is_best else 10 * usual

    made = make(seconds)
    for group in made.targets[made.primary].groups.values():
        assert [group.kernels[0].m_min, group.kernels[-1].m_max] == [1, None]
        for before, after in zip(group.kernels, group.kernels[1:], strict=False):
            assert after.m_min == before.m_max + 1


def test_the_rest_is_measured_for_the_prompt_and_for_a_token(module, model, monkeypatch):
    monkeypatch.setattr(resting, "BUDGET_S", 0.05)
    objective = build_objective(batch=1, prompt=PROMPT, generate=8)
    rest, _ = measure_rest(module, model, objective, "float32")
    assert rest.prefill_s > 0
    assert rest.decode_s_per_token > 0
    assert (rest.prompt, rest.generate) == (PROMPT, 8)

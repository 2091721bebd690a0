"""Models that nobody plans for: right numbers or one clear error, and nothing changed by a refusal."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from qprobe.apply import apply_plan, receipt_of
from qprobe.apply._apply import held_bytes
from qprobe.checkpoint import read_model
from qprobe.documents.scheme import SCHEMES
from qprobe.errors import QprobeError
from qprobe.layers._linear import PlannedLinear
from tests.layers.hostile import tolerance
from tests.plans import decide, plan_for

WIDTH = 128
EVERY_SCHEME = pytest.mark.parametrize("scheme", SCHEMES)


def frozen(module):
    return module.requires_grad_(False).eval()


@pytest.fixture
def x():
    return torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def stack():
    torch.manual_seed(0)
    return frozen(
        nn.Sequential(nn.Linear(WIDTH, 256), nn.ReLU(), nn.Linear(256, WIDTH), nn.LayerNorm(WIDTH))
    )


def plan_of(module, scheme="W8A16"):
    return plan_for(read_model(module), decide(scheme))


def refuse(plan, module, match="", **arguments):
    """One clear error, and the module as it was."""
    before = {name: id(child) for name, child in module.named_modules()}
    with pytest.raises(QprobeError, match=match) as caught:
        apply_plan(plan, module, **arguments)
    assert str(caught.value)
    assert caught.value.hint
    assert {name: id(child) for name, child in module.named_modules()} == before


def distance(y, exact):
    return float((y - exact).norm() / exact.norm())


class Shared(nn.Module):
    """One layer under two names."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.again = self.first

    def forward(self, x):
        return self.again(self.norm(self.first(x)))


@EVERY_SCHEME
class TestOfEveryScheme:
    def test_a_layer_under_two_names_stays_one_layer(self, x, scheme):
        torch.manual_seed(0)
        module = frozen(Shared())
        exact = module(x)
        apply_plan(plan_of(module, scheme), module)
        assert module.first is module.again
        assert distance(module(x), exact) < 2 * tolerance(scheme)
        assert receipt_of(module).weight_bytes_after == held_bytes(module)

    def test_a_weight_under_two_layers(self, x, scheme):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)
        )
        module[2].weight = module[0].weight
        exact = frozen(module)(x)
        apply_plan(plan_of(module, scheme), module)
        assert distance(module(x), exact) < 2 * tolerance(scheme)

    def test_zeros(self, stack, x, scheme):
        for linear in (stack[0], stack[2]):
            linear.weight.zero_()
        exact = stack(x)
        apply_plan(plan_of(stack, scheme), stack)
        assert distance(stack(x), exact) < 0.01

    def test_layers_that_torch_reads_instead_of_calling_stay_as_they_are(self, x, scheme):
        """`nn.TransformerEncoderLayer` and its attention compute with the weights themselves."""
        torch.manual_seed(0)
        inside = nn.TransformerEncoderLayer(WIDTH, 4, 256, batch_first=True)
        module = frozen(nn.Sequential(inside, nn.Linear(WIDTH, WIDTH)))
        sequence = x.expand(2, 5, WIDTH)
        exact = module(sequence)
        apply_plan(plan_of(module, scheme), module)
        assert type(inside.linear1) is nn.Linear
        assert distance(module(sequence), exact) < 2 * tolerance(scheme)

    def test_a_linear_that_computes_something_else_stays_as_it_is(self, x, scheme):
        class Doubled(nn.Linear):
            def forward(self, x):
                return 2 * super().forward(x)

        torch.manual_seed(0)
        module = frozen(nn.Sequential(Doubled(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)))
        exact = module(x)
        apply_plan(plan_of(module, scheme), module)
        assert type(module[0]) is Doubled
        assert distance(module(x), exact) < 2 * tolerance(scheme)

    def test_a_weight_that_is_computed_from_others_stays_as_it_is(self, stack, x, scheme):
        parametrizations.weight_norm(stack[0])
        exact = frozen(stack)(x)
        apply_plan(plan_of(stack, scheme), stack)
        assert distance(stack(x), exact) < 2 * tolerance(scheme)


class TestOnMeta:
    @pytest.mark.parametrize("device", [None, "cpu"])
    def test_all_of_it(self, stack, device):
        plan = plan_of(stack)
        stack.to("meta")
        with pytest.raises(QprobeError, match="meta") as caught:
            apply_plan(plan, stack, device=device)
        assert caught.value.hint
        assert not any(isinstance(child, PlannedLinear) for child in stack.modules())

    @pytest.mark.parametrize("device", [None, "cpu"])
    @pytest.mark.parametrize("scheme", ["NONE", "W8A16"])
    def test_a_layer_of_it(self, stack, device, scheme):
        plan = plan_of(stack, scheme)
        stack[2].to("meta")
        with pytest.raises(QprobeError, match="meta"):
            apply_plan(plan, stack, device=device)
        assert not any(isinstance(child, PlannedLinear) for child in stack.modules())

    def test_it_can_be_described(self, stack):
        assert read_model(stack.to("meta")).linears


class TestChangedAfterPlanning:
    def test_another_shape(self, stack):
        plan = plan_of(stack)
        stack[2] = nn.Linear(256, WIDTH + 1)
        refuse(plan, stack, r"2\.weight is 129 × 256 here, 128 × 256 in the plan")

    @pytest.mark.parametrize("scheme", [s for s in SCHEMES if SCHEMES[s].block > 1])
    def test_a_shape_that_the_scheme_cannot_store(self, scheme):
        module = frozen(nn.Sequential(nn.Linear(100, 8)))
        refuse(plan_of(module, scheme), module, f"{scheme} cannot store .* K = 100")

    @pytest.mark.parametrize("algorithm", ["rtn_reduce_range", "later"])
    def test_an_algorithm_that_the_scheme_does_not_have(self, stack, algorithm):
        plan = plan_for(read_model(stack), decide("W4A16", algorithm=algorithm))
        refuse(plan, stack, f"W4A16 has no algorithm '{algorithm}'; it has")

    def test_a_layer_is_gone(self, stack):
        plan = plan_of(stack)
        stack[2] = nn.Identity()
        refuse(plan, stack, r"no linear for 1 of 2 tensors: 2\.weight")

    def test_a_layer_became_something_else(self, stack):
        plan = plan_of(stack)
        stack[2] = nn.Sequential(nn.Linear(256, WIDTH))
        refuse(plan, stack, r"2\.weight")

    def test_it_was_quantized_by_another_plan_already(self, stack):
        plan = plan_of(stack)
        apply_plan(plan, stack)
        with pytest.raises(QprobeError, match="already"):
            apply_plan(plan, stack)

    def test_a_layer_was_added_and_stays_as_it_is(self, stack, x):
        plan = plan_of(stack)
        assert plan.model.model_hash != read_model(stack.append(nn.Linear(WIDTH, 3))).model_hash
        exact = frozen(stack)(x)
        apply_plan(plan, stack)
        (change,) = receipt_of(stack).changes
        assert "Sequential of 2 linears" in change
        assert "Sequential of 3" in change
        assert type(stack[4]) is nn.Linear
        assert distance(stack(x), exact) < 0.02

    def test_other_weights_are_quantized_as_they_are_now(self, stack, x):
        plan = plan_of(stack)
        stack[0].weight.mul_(-3)
        exact = stack(x)
        apply_plan(plan, stack)
        assert distance(stack(x), exact) < 0.02

    def test_under_error_it_is_refused(self, stack):
        plan = plan_of(stack)
        stack[0].bias = None
        refuse(plan, stack, f"hash {plan.model.model_hash}, in the plan", on_mismatch="error")

    def test_it_is_said_once(self, stack, caplog):
        plan = plan_of(stack)
        stack[0].bias = None
        with caplog.at_level("WARNING", logger="qprobe"):
            apply_plan(plan, stack)
        (record,) = caplog.records
        assert plan.model.model_hash in record.getMessage()

    def test_what_cannot_be_described_any_more(self, stack):
        plan = plan_of(stack)
        other = nn.Linear(WIDTH, 3)
        other.weight = nn.Parameter(other.weight.to(torch.float8_e4m3fn), requires_grad=False)
        stack.append(frozen(other))
        refuse(plan, stack, "cannot be compared .* float8_e4m3fn", on_mismatch="error")
        apply_plan(plan, stack)
        assert "cannot be compared" in receipt_of(stack).changes[0]

    def test_a_bias_was_removed(self, stack, x):
        plan = plan_of(stack)
        stack[0].bias = None
        exact = stack(x)
        apply_plan(plan, stack)
        assert distance(stack(x), exact) < 0.02

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
    def test_another_type(self, stack, x, dtype):
        plan = plan_of(stack)
        exact = stack(x)
        apply_plan(plan, stack.to(dtype))
        assert distance(stack(x), exact) < 0.03, "the plan's type is float32"


def test_a_layer_that_is_not_finite_may_stay_as_it_is(stack, x):
    stack[0].weight[3, 4] = float("nan")
    plan = plan_for(read_model(stack), decide("W8A16"), {"0.weight": decide("NONE")})
    exact = functional.linear(x, stack[0].weight, stack[0].bias)
    apply_plan(plan, stack)
    assert torch.equal(stack[0](x).isnan(), exact.isnan())

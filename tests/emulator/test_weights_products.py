"""Products with packed weights: any shape, any order of threads, within the rounding of their type."""

import ctypes

import numpy as np
import pytest
import torch

from qprobe.kernels.cuda.manifest import read_manifest
from tests.emulator.build import compile_all
from tests.emulator.floats import EPSILON, round_to, to_bits
from tests.emulator.launch import SCHEDULES, default_capability
from tests.emulator.weights import exact_weight, find_cases, make_x, multiply, step_sizes
from tests.emulator.weights_trials import around_the_ring, make_fitting_x

CASES = find_cases("gemv", "gemm")
all_cases = pytest.mark.parametrize("case", CASES, ids=str)
# One of each source and variant: types differ in conversions alone, schemes of one variant in zero points.
BUILDS = {(case.path, case.build.variant): case for case in CASES}


def has_argument(case, name):
    return name in read_manifest(case.path).arguments


each_build = pytest.mark.parametrize("case", BUILDS.values(), ids=str)


@pytest.fixture(scope="module", autouse=True)
def compiled(request):
    """Everything that is tested, compiled two at a time."""
    chosen = [
        item.callspec.params["case"]
        for item in request.session.items
        if item.getparent(pytest.Module) is request.node and hasattr(item, "callspec")
    ]
    wanted = {str(c): (c.path, c.build, default_capability(c.build)) for c in chosen}
    compile_all(list(wanted.values()))


def awkward_shapes(case):
    """Of one, odd, one less and more than a tile, K of one group, of several, beyond a stage, and around all stages."""
    tile, group = case.build.tile, case.group
    return [
        (1, 1, group),
        (2, 7, 3 * group),
        (tile.m, 65, case.beyond_stage(1)),
        (tile.m // 2 + 1, tile.n + 33, 3 * group),
        (tile.m + 1, tile.n - 1, 5 * group),
        (2 * tile.m + 1, 8, 128),
        (3, 34, around_the_ring(case)),
        (9, tile.n + 2, 2 * group),
    ]


def rounds_weights(case):
    """Whether what is multiplied is the weight in the type of x, not codes that it holds exactly."""
    is_scaled = case.path.stem == "gemm_w4a16_wgmma"
    return case.path.stem.startswith("gemm") and (case.scheme == "NF4" or is_scaled)


def lost_of_a_step(case):
    """What may be lost where a kernel adds a number to codes and takes it off the sums: a part of a code's step."""
    if case.scheme == "NF4":
        return 0
    if case.path.stem == "gemv_w4a16":
        return 2**-18 if case.build.activation == "float32" else 2**-16
    takes_few_rows = case.path.stem in ("gemm_w4a16", "gemm_w4a16_bulk", "gemm_w4a16_pair")
    return 2**-17 if takes_few_rows and case.build.tile.m <= 16 else 0


def allowed(case, x, weight, bias, exact):
    """Half a unit of the result's type, and what sums in float32 may lose."""
    epsilon = EPSILON[case.build.activation]
    size = np.abs(x) @ np.abs(weight).T + (0 if bias is None else np.abs(bias))
    loss = 2**-20 * size
    if lost := lost_of_a_step(case):
        loss += lost * (np.abs(x) @ step_sizes(case.scheme, *weight.shape).T)
    if rounds_weights(case):
        loss += epsilon / 2 * size
    return epsilon / 2 * np.abs(exact) + loss + 1e-30


def check(case, m, n, k, *, has_bias=True, **how):
    activation = case.build.activation
    x, weight = make_fitting_x(m, k, activation), exact_weight(case.scheme, n, k)
    bias = None
    if has_bias:
        bias = round_to(np.random.default_rng(n).standard_normal(n), activation)
    exact = x @ weight.T + (0 if bias is None else bias)
    y = multiply(case, x, n, bias=bias, **how)
    assert np.all(np.abs(y - exact) <= allowed(case, x, weight, bias, exact)), (m, n, k, how)


@all_cases
def test_products_are_right_for_any_shape(case):
    for m, n, k in awkward_shapes(case):
        check(case, m, n, k, has_bias=n != 7)


@each_build
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_order_of_threads_does_not_matter(case, schedule):
    tile = case.build.tile
    m, n, k = tile.m + 1, 40, case.beyond_stage(3)
    x = make_x(m, k, case.build.activation)
    y = multiply(case, x, n, schedule=schedule, seed=m)
    assert np.array_equal(y, multiply(case, x, n, schedule="eager"))


@pytest.mark.parametrize("case", [c for c in BUILDS.values() if has_argument(c, "split")], ids=str)
@pytest.mark.parametrize("schedule", ["in_turn", "reversed", "random"])
def test_parts_of_k_add_up_in_one_order(case, schedule):
    tile = case.build.tile
    for split, m, n, k in ((2, 1, 33, case.beyond_stage(1)), (7, tile.m + 1, 9, 4 * case.group)):
        check(case, m, n, k, split=split, schedule=schedule)
        x = make_x(m, k, case.build.activation)
        y = multiply(case, x, n, split=split, schedule=schedule)
        assert np.array_equal(y, multiply(case, x, n, split=split))


@each_build
def test_not_a_number_and_infinity_stay_in_their_rows(case):
    m, n, k = 4, 40, 2 * case.group
    x = make_x(m, k, case.build.activation)
    clean = multiply(case, x, n)
    x[1, 3], x[2, k - 1] = np.nan, np.inf
    y = multiply(case, x, n)
    assert np.isnan(y[1]).all()
    assert not np.isfinite(y[2, 1:]).any()
    assert np.array_equal(y[[0, 3]], clean[[0, 3]])


@pytest.mark.parametrize("case", [c for c in BUILDS.values() if c.multiple == 1], ids=str)
def test_rows_of_x_may_lie_anywhere(case):
    activation = case.build.activation
    m, n, k = 3, 5, 3 * case.group
    x = make_x(m, k, activation)
    bits = to_bits(x, activation)
    room = np.zeros(bits.nbytes + 32, np.uint8)
    address = (room.ctypes.data + 31) // 16 * 16 + bits.itemsize
    ctypes.memmove(address, bits.ctypes.data, bits.nbytes)
    y = multiply(case, x, n, x_address=address)
    assert np.array_equal(y, multiply(case, x, n))


@each_build
def test_columns_do_not_mix(case):
    """The product with a row of the identity is a column of the weight, exactly."""
    n, k = 70, 4 * case.group
    picked = torch.randperm(k, generator=torch.Generator().manual_seed(k))[:9].tolist()
    x = np.eye(k)[picked]
    exact = round_to(exact_weight(case.scheme, n, k)[:, picked].T, case.build.activation)
    y = multiply(case, x, n)
    # Sums of one code are exact; NormalFloat's values are rounded to the type by the GEMM.
    unit = EPSILON[case.build.activation] if case.scheme == "NF4" else 0
    assert np.all(np.abs(y - exact) <= unit * np.abs(exact))

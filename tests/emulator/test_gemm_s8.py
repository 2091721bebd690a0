"""Products of int8 codes: exact sums for any shape, scaled within the rounding of their type."""

import numpy as np
import pytest

from qprobe.kernels.cuda.manifest import read_manifest
from tests.emulator.floats import EPSILON, round_to
from tests.emulator.int8 import gemm_builds, make_product, multiply
from tests.emulator.launch import SCHEDULES

BUILDS = gemm_builds()


def name(build):
    return f"{build[0].stem}-{build[1].name.replace(', ', '-')}"


EXACT = [build for build in BUILDS if build[1].activation == "float32"]
exact_builds = pytest.mark.parametrize("kernel", EXACT, ids=name)
all_builds = pytest.mark.parametrize("kernel", BUILDS, ids=name)


def awkward_shapes(tile):
    """Of one, odd, one less than a tile, a tile, one more, and tails of K."""
    m, n, k = tile.m, tile.n, tile.k
    return [
        (1, 1, 1),
        (3, 7, 33),
        (1, n, k),
        (m - 1, n + 1, k - 1),
        (m, n, 4 * k),
        (m + 1, n - 1, 5 * k + 1),
        (m // 2 + 1, n + 8, 7 * k - 16),
        (2 * m + 3, 2, 2 * k + 17),
    ]


@exact_builds
def test_sums_are_exact(kernel):
    path, build = kernel
    for m, n, k in awkward_shapes(build.tile):
        product = make_product(m, n, k, plain=True)
        answer = multiply(path, build, product)
        assert np.array_equal(answer.y, product.exact()), (m, n, k)
        assert answer.bank_conflicts == 0


@exact_builds
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_order_of_threads_does_not_matter(kernel, schedule):
    path, build = kernel
    product = make_product(build.tile.m + 1, build.tile.n + 8, 6 * build.tile.k + 16, plain=True)
    for seed in range(3 if schedule == "random" else 1):
        answer = multiply(path, build, product, schedule=schedule, seed=seed)
        assert np.array_equal(answer.y, product.exact())


@all_builds
def test_results_are_scaled_and_rounded_once(kernel):
    path, build = kernel
    for m, n, k in ((5, 40, 2 * build.tile.k), (2, 13, 50)):
        product = make_product(m, n, k)
        y = multiply(path, build, product).y
        bias = round_to(product.bias, build.activation)
        exact = product.exact() - product.bias + bias
        # Half a unit of the type, and three roundings to float32 of the product and of the sum.
        allowed = EPSILON[build.activation] / 2 * np.abs(exact)
        allowed += 2**-22 * (np.abs(exact - bias) + np.abs(bias)) + 1e-30
        assert np.all(np.abs(y - exact) <= allowed), (m, n, k)


@pytest.mark.parametrize(
    "kernel", [b for b in EXACT if "split" in read_manifest(b[0]).arguments], ids=name
)
@pytest.mark.parametrize("schedule", ["in_turn", "reversed", "random"])
def test_parts_of_k_add_up_exactly(kernel, schedule):
    path, build = kernel
    for split, m, n, k in (
        (2, 3, 40, 3 * build.tile.k),
        (5, build.tile.m + 1, 9, 4 * build.tile.k),
    ):
        product = make_product(m, n, k, plain=True)
        answer = multiply(path, build, product, split=split, schedule=schedule)
        assert np.array_equal(answer.y, product.exact())
        assert not answer.counters.any(), "the next launch needs them at 0"


@exact_builds
def test_not_a_number_and_infinity_in_scales_reach_their_rows_alone(kernel):
    path, build = kernel
    product = make_product(3, 24, 32)
    product.x_scale[1:] = np.nan, np.inf
    y = multiply(path, build, product).y
    assert np.isfinite(y[0]).all()
    assert np.isnan(y[1]).all()
    assert not np.isfinite(y[2]).any()

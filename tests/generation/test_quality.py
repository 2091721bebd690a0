"""What every scheme does to a trained model: little, and the less the more bits there are."""

from itertools import pairwise

import pytest

from qprobe.apply import apply_plan, receipt_of
from qprobe.checkpoint.loading import load_module
from qprobe.documents.scheme import SCHEMES
from tests.generation.plans import WAYS, plan_of, uniform_plan
from tests.generation.quality import log_probabilities, measure

MOST_DIVERGENCE = {4: 0.1, 8: 5e-3, 16: 1e-3}
"""Bits of a weight → nats of KL(p‖p̂) for a byte that this model may lose."""


def bits(scheme):
    return 32 if scheme == "NONE" else getattr(SCHEMES[scheme].weights, "num_bits", 16)


@pytest.fixture(scope="module")
def exact(path, unseen):
    return log_probabilities(load_module(path), unseen)


@pytest.fixture(scope="module")
def qualities(path, model, unseen, exact):
    """Way → what it does to the model."""
    found = {}
    for way in WAYS:
        module = apply_plan(plan_of(model, way), load_module(path))
        assert receipt_of(module).changes == ()
        found[way] = measure(module, exact, unseen)
    return found


@pytest.fixture(scope="module")
def by_weights(qualities):
    """Scheme → divergence where nothing but the weights is rounded."""
    return {
        way.scheme: quality.divergence
        for way, quality in qualities.items()
        if way.kernel.id == "reference"
    }


def test_nothing_quantized_is_nothing_lost(qualities):
    for way, quality in qualities.items():
        if way.scheme == "NONE":
            assert quality.divergence < (1e-12 if way.kernel.id == "reference" else 1e-6), way.id


def test_every_scheme_diverges_by_little(qualities):
    for way, quality in qualities.items():
        if way.scheme != "NONE":
            assert 0 < quality.divergence < MOST_DIVERGENCE[bits(way.scheme)], way.id


def test_perplexity_rises_by_no_more_than_the_divergence_can_explain(qualities):
    plain = next(q for way, q in qualities.items() if way.id == "NONE-reference").perplexity
    for way, quality in qualities.items():
        change = abs(quality.perplexity / plain - 1)
        assert change < 0.005 + 2 * quality.divergence**0.5, way.id


def test_fewer_bits_cost_more(by_weights):
    divergences: dict[int, list[float]] = {}
    for scheme, divergence in by_weights.items():
        divergences.setdefault(bits(scheme), []).append(divergence)
    assert len(divergences) >= 3
    for wide, narrow in pairwise(sorted(divergences, reverse=True)):
        assert max(divergences[wide]) < min(divergences[narrow]), (wide, narrow)


def test_rounding_activations_too_costs_more(qualities, by_weights):
    rounded = [
        quality.divergence
        for way, quality in qualities.items()
        if way.scheme == "W8A8" and way.kernel.input != "float"
    ]
    assert rounded
    assert min(rounded) > by_weights["W8A16"]


def test_smaller_groups_round_less_and_cost_less(path, model, by_weights):
    """Every weight is rounded less; what a byte loses by it differs by percents between neighbours."""
    sizes = {
        scheme.weights.group_size: name
        for name, scheme in SCHEMES.items()
        if hasattr(scheme.weights, "group_size") and scheme.weights.symmetric
    }
    assert len(sizes) > 2
    errors = []
    for size in sorted(sizes):
        module = apply_plan(uniform_plan(model, sizes[size]), load_module(path))
        layers = receipt_of(module).layers
        errors.append([layer.weight_error for layer in layers if layer.scheme == sizes[size]])
    for finer, coarser in pairwise(errors):
        assert finer
        assert all(a < b for a, b in zip(finer, coarser, strict=True))
    assert by_weights[sizes[min(sizes)]] < by_weights[sizes[max(sizes)]]


def test_the_order_of_the_algorithms(path, model, unseen, exact):
    """Seven bits lose more than eight."""
    found = {
        algorithm: measure(
            apply_plan(uniform_plan(model, "W8A16", algorithm=algorithm), load_module(path)),
            exact,
            unseen,
        ).divergence
        for algorithm in ("rtn", "rtn_reduce_range")
    }
    assert 2 * found["rtn"] < found["rtn_reduce_range"] < 8 * found["rtn"]

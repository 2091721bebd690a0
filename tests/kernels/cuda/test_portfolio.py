"""Which CUDA kernels there are, and that their absence hurts nobody."""

import pytest
import torch

from qprobe.documents import arch
from qprobe.errors import UnavailableError
from qprobe.kernels.cuda import kernels, portfolio
from qprobe.kernels.cuda.kernels import cuda_kernels
from qprobe.kernels.cuda.portfolio import all_sources
from qprobe.kernels.registry import kernels_for

IDS = (
    "cuda.gemm_s8_wgmma_pair", "cuda.gemm_w4a16_wgmma", "cuda.gemm_w8a16_wgmma", "cuda.gemm_s8_wgmma_tma",
    "cuda.gemm_s8_wgmma", "cuda.gemm_w4a16_bulk", "cuda.gemm_w4a16_pair", "cuda.gemm_s8_mma", "cuda.gemm_s8_mma_turing",
    "cuda.gemm_w4a16", "cuda.gemm_w8a16", "cuda.gemm_s8_dp4a", "cuda.dequantize_w4", "cuda.dequantize_w8",
    "cuda.gemv_w4a16", "cuda.gemv_w8a16",
)  # fmt: skip
TORCH_IDS = ("cuda.dequantize_rows", "cuda.int4pack", "cuda.int_mm", "cuda.padded_linear", "cuda.scaled_mm")  # fmt: skip


def test_the_kernels_are_those_that_plans_name():
    """Plans of earlier versions name them: one that vanishes must be missed."""
    assert tuple(kernel.id for kernel in cuda_kernels()) == IDS
    known = tuple(k.id for k in kernels_for("cuda"))
    assert known == (*IDS, *TORCH_IDS, "reference")
    assert known == tuple(k.id for k in kernels_for("cuda:1"))


def test_what_the_oldest_cards_can_run_comes_last():
    manifests = [all_sources()[k.id.removeprefix("cuda.")].manifest for k in cuda_kernels()]
    can_run = [[not arch.missing(m.requires, c) for c in arch.CAPABILITIES] for m in manifests]
    oldest = [those.index(True) for those in can_run]
    assert oldest == sorted(oldest, reverse=True)


def test_a_kernel_is_meant_for_some_number_of_rows():
    for kernel in cuda_kernels():
        assert kernel.max_rows is None or kernel.min_rows <= kernel.max_rows, kernel.id


def test_without_sources_there_are_none_and_that_is_no_error(monkeypatch):
    def find_nothing():
        raise UnavailableError("no kernel sources")

    monkeypatch.setattr(portfolio, "find_kernels", find_nothing)
    assert portfolio.all_sources.__wrapped__() == {}
    monkeypatch.setattr(kernels, "sources_of", lambda *_roles: ())
    assert cuda_kernels() == ()


@pytest.mark.parametrize("kernel", cuda_kernels(), ids=lambda kernel: kernel.id)
def test_a_kernel_of_one_packing_packs_as_its_partners_do(kernel):
    """They take turns on one copy of the weight."""
    partners = [k for k in cuda_kernels() if k.packing == kernel.packing]
    source = all_sources()[kernel.id.removeprefix("cuda.")]
    for partner in partners:
        assert (
            all_sources()[partner.id.removeprefix("cuda.")].manifest.packing
            == source.manifest.packing
        )
    if kernel.input == "float" and kernel.max_rows is not None:
        assert any(p.max_rows is None for p in partners), "nothing takes over beyond its rows"


def test_a_build_for_one_type_of_activations_is_found_by_it():
    source = all_sources()["gemm_w4a16"]
    for dtype in (torch.float16, torch.bfloat16):
        found = source.find_builds("W4A16", dtype, "8.6")
        assert found
        assert {build.activation for build in found} == {str(dtype)[6:]}
    assert source.find_builds("W4A16", torch.bfloat16, "7.5") == ()
    assert source.find_builds("W8A16", torch.float16, "8.6") == ()

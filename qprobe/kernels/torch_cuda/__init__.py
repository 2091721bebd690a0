"""Kernels that are operators of the CUDA build of torch."""

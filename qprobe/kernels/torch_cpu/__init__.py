"""Kernels that are operators of the CPU build of torch."""

"""Kernels in CUDA C++: one `.cu` a kernel, compiled for the card at hand, or for any card without one."""

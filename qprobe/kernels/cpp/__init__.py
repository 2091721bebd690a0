"""Kernels in C++, from the folder of sources, compiled for the processor that they run on."""

"""CUDA kernels, as far as no card is needed."""

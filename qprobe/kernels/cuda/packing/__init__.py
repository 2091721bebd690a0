"""Orders of weights that CUDA kernels read: `pack` from the canonical tensors, `unpack` back, bit for bit."""

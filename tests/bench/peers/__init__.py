"""The peers: what else quantizes a linear layer on a CPU, one file a package, found by listing."""

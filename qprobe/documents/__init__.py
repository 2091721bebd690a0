"""The documents that flow between the stages, and the pure arithmetic on them."""

"""Clocks: warm-up, interleaving, medians and intervals."""

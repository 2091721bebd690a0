"""Weights to codes and scales, and back: the definition of what each scheme stores."""

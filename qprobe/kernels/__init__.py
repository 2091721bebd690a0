"""Ways to compute y = x · Wᵀ + b, one file each, and what they need to know of the device."""

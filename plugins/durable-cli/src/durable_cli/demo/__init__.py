"""The demonstration: an order workflow whose process is killed over and over."""

"""Floating-point operations and bytes of a training step."""

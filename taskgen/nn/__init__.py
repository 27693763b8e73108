"""Layers, losses and initializers that families share, and what they cost."""

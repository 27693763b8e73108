"""Learned optimizers by name: VeLO with any weights, and the optimizers published after it."""

"""Weights written by hand, as a function of a few numbers."""

"""Figures and tables drawn from a store alone."""

"""The fixed tasks of google/learned_optimization, by name."""

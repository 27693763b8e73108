"""The store: curves and their provenance on disk."""

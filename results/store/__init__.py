"""The store: curves and where they come from, on disk."""

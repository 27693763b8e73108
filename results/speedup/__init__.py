"""From curves to speedups, with their statistics."""

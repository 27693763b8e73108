"""CMA-ES over the numbers of hand-made weights."""

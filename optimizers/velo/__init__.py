"""VeLO (Metz et al. 2022, arXiv 2211.09760) as an optax optimizer: exact, and fast."""

"""What came out: the store, speedups and reports. Nothing in here imports jax."""

"""Data sets, and sources of batches from them."""

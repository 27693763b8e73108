"""The NAdamW list: published hyperparameters of NAdamW, in the order in which to try them."""

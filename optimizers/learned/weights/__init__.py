"""Files of weights of the learned optimizers other than VeLO: their trees, where to get them."""

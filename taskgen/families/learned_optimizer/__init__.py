"""Tasks whose parameters are the weights of a learned optimizer."""

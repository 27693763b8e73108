"""Weights of VeLO: the tree, its file formats, and the official checkpoint."""

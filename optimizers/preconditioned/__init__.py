"""Optimizers that multiply each axis of a gradient by a matrix: SOAP, Shampoo, PSGD-Kron."""

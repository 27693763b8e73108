"""Errors, atomic files, canonical JSON, registries and words: what every package stands on.

Nothing here knows tasks, optimizers or results, and nothing here imports jax.
"""

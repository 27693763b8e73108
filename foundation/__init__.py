"""What every package stands on: errors, canonical JSON, atomic files, registries.

Nothing here knows about tasks, optimizers or results, and nothing here imports jax.
"""

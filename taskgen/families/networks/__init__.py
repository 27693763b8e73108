"""The networks of the families: what needs jax, imported when the first one is made."""

"""The wrappers of task augmentations."""

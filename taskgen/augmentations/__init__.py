"""The wrappers of task augmentations; `taskgen.augment` declares and composes them."""

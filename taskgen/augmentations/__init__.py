"""The kinds of task augmentations and their wrappers; `taskgen.augment` composes them."""

"""The kinds of task augmentations and their wrappers; `velodrome.taskgen.wrappers.apply` composes them."""

"""Meta-training: evolve VeLO weights on sampled tasks, or search the numbers they are made of."""

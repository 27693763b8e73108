"""Training tasks: their families, specs, data, costs, and the sampler."""

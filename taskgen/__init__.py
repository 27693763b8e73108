"""Training tasks: families, specs, the sampler, and the cost of a step."""

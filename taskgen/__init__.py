"""What is trained: task families, specs, the sampler, and the cost of a step."""

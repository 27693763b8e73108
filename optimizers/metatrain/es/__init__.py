"""Evolution strategies over unrolled training."""

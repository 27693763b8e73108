"""What a run of meta-training is asked to do, as checked JSON."""

"""What follows runs from outside: experiment trackers, such as Weights & Biases and MLflow."""

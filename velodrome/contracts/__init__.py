"""What tasks and families must do: tables of checks. Optimizers have theirs beside them."""

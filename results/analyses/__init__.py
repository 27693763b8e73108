"""Tables over tasks: one question a file."""

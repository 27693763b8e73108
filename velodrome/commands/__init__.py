"""The commands, a module each: ``command(arguments)`` parses, runs and returns the exit code."""

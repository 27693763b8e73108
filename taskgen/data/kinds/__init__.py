"""The kinds of data: which facts and arrays each has, and how a task sees them."""

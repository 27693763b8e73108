"""A user's own data: read from files, with a record of what was found beside them."""

"""Real data from inside installed packages: small, and here without any download."""

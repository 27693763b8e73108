"""How a config is declared, checked and sampled."""

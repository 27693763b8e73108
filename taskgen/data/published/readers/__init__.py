"""Readers of the formats that published data sets come in."""

"""Procedural stand-ins of the published data sets, for machines that do not have these."""

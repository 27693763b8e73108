"""Curves that were made elsewhere: read from tables, and checked before they enter a store."""

"""Clients of `mlmfast serve`."""

"""Optimizers that transformers does not have."""

"""Tokenizers that transformers has in Python only."""

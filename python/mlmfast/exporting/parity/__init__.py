"""Comparing an exported graph with PyTorch."""

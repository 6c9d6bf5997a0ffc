"""Perplexity, accuracy and comparisons, with their errors."""

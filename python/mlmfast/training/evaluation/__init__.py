"""Perplexity, accuracy and comparisons, with standard errors."""

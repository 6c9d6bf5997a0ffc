"""A model with the rows of another vocabulary."""

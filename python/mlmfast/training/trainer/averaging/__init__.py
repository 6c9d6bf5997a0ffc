"""Averages of the weights that a training passes through."""

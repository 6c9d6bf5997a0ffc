"""Recipes: trainings in phases, read from a file and laid out over the steps."""

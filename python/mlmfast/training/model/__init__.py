"""The model a training starts from, and its head on masked rows."""

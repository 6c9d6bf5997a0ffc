"""What works in this environment, what does not, and the command that mends it."""

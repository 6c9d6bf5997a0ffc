"""Diagnose an environment: what works, what does not, and the commands that fix it."""

"""Processes of a server: one or several workers, their admin port, and what systemd is told."""

"""What a command sets up in its process: log, progress, signals."""

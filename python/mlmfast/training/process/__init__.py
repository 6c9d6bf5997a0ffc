"""The process that a training runs in, and the other processes of the same training."""

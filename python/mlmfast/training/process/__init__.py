"""The process a training runs in, alone or among others."""

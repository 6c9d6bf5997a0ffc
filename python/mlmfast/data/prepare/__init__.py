"""Text to block stores: `prepare`, its pipeline, its checkpoints."""

"""Text to token blocks on disk, and token blocks to masked batches."""

"""Text to token ids and back, for serving."""

"""Shuffled, masked batches from a block store."""

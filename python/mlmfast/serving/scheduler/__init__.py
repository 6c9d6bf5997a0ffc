"""Continuous batching: requests that come at any time share batches."""

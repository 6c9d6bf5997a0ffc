"""Requests that come at any time, answered in batches that are formed anew for every run."""

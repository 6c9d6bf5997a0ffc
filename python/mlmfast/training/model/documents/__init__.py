"""Attention inside documents: rows that hold several documents, each read as if it were alone."""

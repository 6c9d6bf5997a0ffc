"""Documents of one format, from the bytes of a file."""

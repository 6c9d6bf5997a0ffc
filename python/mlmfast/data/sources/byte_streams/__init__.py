"""The bytes of files and pipes, decompressed."""

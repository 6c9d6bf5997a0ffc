"""The demonstration: the whole road, on text that every Python installation carries."""

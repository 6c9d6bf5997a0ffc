"""The demonstration: every stage, from text to filled masks, on text that comes with Python."""

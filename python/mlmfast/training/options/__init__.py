"""The options of a training, each with its default and its check."""

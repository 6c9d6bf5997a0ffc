"""What can be asked of a model: fill-mask, beam search, scoring."""

"""What a model can do with texts: fill-mask, beam search, scoring, targets of several tokens."""

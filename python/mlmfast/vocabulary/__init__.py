"""Other vocabularies for a checkpoint: fewer tokens of its own, or those of another tokenizer."""

"""Proof that the core gives the ids of the `tokenizers` library, for one tokenizer."""

"""What each kind of tokenizer model needs to encode a text as before, with fewer tokens."""

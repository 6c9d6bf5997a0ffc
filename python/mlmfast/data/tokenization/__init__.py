"""Loading tokenizers; text to token ids, exactly as the `tokenizers` library gives them."""

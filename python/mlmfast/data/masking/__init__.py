"""Masked tokens: `mask_tokens`, its options, the drop-in collator."""

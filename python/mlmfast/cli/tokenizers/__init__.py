"""The commands about tokenizers and vocabularies."""

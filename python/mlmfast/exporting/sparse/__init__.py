"""Export a masked language model as a sparse encoder (SPLADE)."""

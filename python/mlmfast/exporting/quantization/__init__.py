"""Lower precisions, and how far their answers agree."""

"""The teacher's answers at the masked tokens of whole epochs, stored in a folder."""

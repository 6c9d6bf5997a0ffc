"""How long a model's inputs may be, and where its tokens are."""

"""Training and evaluation of masked language models on block stores."""

"""Near-duplicates: a pass over the text that finds them, before anything is tokenized."""

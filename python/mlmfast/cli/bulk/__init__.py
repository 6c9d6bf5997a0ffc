"""Commands over many texts: where they come from, and where the answers go."""

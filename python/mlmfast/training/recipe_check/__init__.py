"""What a recipe will do, before it runs: its table, and its speed by measurement."""

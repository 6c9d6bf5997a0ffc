"""What a training writes while it runs, and how it goes on from there."""

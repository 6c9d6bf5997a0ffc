"""`prepare` in many processes at once: what they share is a folder that all of them see."""

"""Texts at which a wrong rule of an encoder would show."""

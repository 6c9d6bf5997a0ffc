"""Vocabularies of whole words: each token stands for itself."""

from __future__ import annotations

from mlmfast.vocabulary.families.family import Family


class WordLevel(Family):
    """Words (or characters, or k-mers); every other word is unknown."""

    name = "WordLevel"

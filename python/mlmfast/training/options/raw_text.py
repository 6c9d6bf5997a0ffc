"""The options of raw text in an evaluation: those of `prepare` that say how it is read."""

from __future__ import annotations

from dataclasses import fields

from mlmfast.data.prepare.options import READING_OPTIONS
from mlmfast.training.options.text_blocks import TextBlocks

READ_OPTIONS = ("format", "split", *READING_OPTIONS, "remainder", "drop_empty", "threads")
"""Those that mean what they mean to `prepare`: fields of `PrepareOptions`."""
TEXT_OPTIONS = ("tokenizer", *(each.name for each in fields(TextBlocks)), *READ_OPTIONS)
"""All of them. Those of `TextBlocks` are as in the training unless they are given."""

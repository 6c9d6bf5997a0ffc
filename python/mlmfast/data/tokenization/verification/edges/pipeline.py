"""All texts at which a tokenizer is tried: those of each step of its own pipeline."""

from __future__ import annotations

from typing import Any

from mlmfast.data.tokenization.verification.edges.added_tokens import added_token_texts
from mlmfast.data.tokenization.verification.edges.corpus import hard_texts
from mlmfast.data.tokenization.verification.edges.models import model_texts
from mlmfast.data.tokenization.verification.edges.normalizers import normalizer_texts
from mlmfast.data.tokenization.verification.edges.pre_tokenizers import pre_tokenizer_texts
from mlmfast.data.tokenization.verification.edges.vocabulary import Vocabulary


def pipeline_texts(content: dict[str, Any]) -> list[str]:
    """Return the hard texts for one tokenizer; they are the same in every process.

    Args:
        content: The tokenizer.json.
    """
    texts = [
        *hard_texts(),
        *added_token_texts(content.get("added_tokens") or []),
        *normalizer_texts(content),
        *pre_tokenizer_texts(content),
        *model_texts(Vocabulary(content)),
    ]
    return list(dict.fromkeys(texts))

"""Converting word-list tokenizers, which exist only in Python, to a tokenizer.json.

ESM's tokenizer splits a text at every entry of its vocabulary, the longest first, and at white
space; anything else is unknown. A `WordLevel` model with a matching pre-tokenizer does the same in
the `tokenizers` library, so that such a model can be served without transformers.
"""

from __future__ import annotations

import random
import re
import sys
from typing import Any

from mlmfast.data.tokenization.edges.corpus import hard_texts
from mlmfast.data.tokenization.special_tokens import ROLES

_CLASSES = ("EsmTokenizer",)
_HARD_TEXTS = 300
_VOCABULARY_TEXTS = 200


def fast_form(tokenizer: Any) -> Any:
    """Return a fast tokenizer with the same ids as a slow one; None if there is none.

    Args:
        tokenizer: A `PreTrainedTokenizer` of transformers.
    """
    converted = _verified(tokenizer)
    if converted is None:
        return None
    from transformers import PreTrainedTokenizerFast

    tokens = {role: getattr(tokenizer, role) for role in ROLES}
    return PreTrainedTokenizerFast(
        tokenizer_object=converted,
        model_max_length=tokenizer.model_max_length,
        model_input_names=list(tokenizer.model_input_names),
        clean_up_tokenization_spaces=tokenizer.clean_up_tokenization_spaces,
        **{role: token for role, token in tokens.items() if token is not None},
    )


def _verified(tokenizer: Any) -> Any:
    """Convert to a `tokenizers.Tokenizer`; None if the ids of any test text differ."""
    if type(tokenizer).__name__ not in _CLASSES or tokenizer.unk_token is None:
        return None
    converted = _convert(tokenizer)
    texts = [*hard_texts()[:_HARD_TEXTS], *_vocabulary_texts(tokenizer)]
    for special in (False, True):
        expected = [
            tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
            for text in texts
        ]
        encodings = converted.encode_batch(texts, add_special_tokens=special)
        if [encoding.ids for encoding in encodings] != expected:
            return None
    return converted


def _convert(tokenizer: Any) -> Any:
    from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, processors

    ids = tokenizer.get_vocab()
    converted = Tokenizer(models.WordLevel(ids, unk_token=tokenizer.unk_token))
    longest_first = "|".join(re.escape(token) for token in sorted(ids, key=len, reverse=True))
    converted.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(longest_first), "isolated"),
            # The white space of `str.split`; the library's own set differs.
            pre_tokenizers.Split(Regex(f"[{''.join(_white_space())}]+"), "removed"),
        ]
    )
    converted.add_special_tokens(
        [AddedToken(token, normalized=False) for token in tokenizer.all_special_tokens]
    )
    start, end = tokenizer.cls_token, tokenizer.eos_token
    around = [token for token in (start, end) if token is not None]
    converted.post_processor = processors.TemplateProcessing(
        single=" ".join([*([start] if start else []), "$A", *([end] if end else [])]),
        special_tokens=[(token, ids[token]) for token in dict.fromkeys(around)],
    )
    return converted


def _white_space() -> list[str]:
    return [letter for letter in map(chr, range(sys.maxunicode + 1)) if letter.isspace()]


def _vocabulary_texts(tokenizer: Any) -> list[str]:
    """Return random texts made of the vocabulary's entries."""
    draw = random.Random(33)  # noqa: S311 - no secret
    entries = [*sorted(tokenizer.get_vocab()), " ", "  ", "\n", "\x1c", "\x85", "?", "x", "é"]
    return ["".join(draw.choices(entries, k=draw.randint(1, 40))) for _ in range(_VOCABULARY_TEXTS)]

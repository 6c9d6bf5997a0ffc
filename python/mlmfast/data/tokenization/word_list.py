"""Tokenizers of Python that are a list of words, written as a tokenizer.json.

ESM's splits a text at every entry of its vocabulary, the longest first, and at white space; what is
left over is unknown. The same is a `WordLevel` model behind a splitter, which the `tokenizers`
library runs, so that such a model can be served without transformers.
"""

from __future__ import annotations

import random
import re
import sys
from typing import Any

from mlmfast.data.tokenization.parity import hard_texts
from mlmfast.data.tokenization.special_tokens import ROLES

_CLASSES = ("EsmTokenizer",)
_HARD_TEXTS = 300
_OWN_TEXTS = 200


def fast_form(tokenizer: Any) -> Any:
    """Return a fast tokenizer of transformers with a Python tokenizer's ids; None if there is none.

    Args:
        tokenizer: a `PreTrainedTokenizer` of transformers.
    """
    written = _compared(tokenizer)
    if written is None:
        return None
    from transformers import PreTrainedTokenizerFast

    tokens = {role: getattr(tokenizer, role) for role in ROLES}
    return PreTrainedTokenizerFast(
        tokenizer_object=written,
        model_max_length=tokenizer.model_max_length,
        model_input_names=list(tokenizer.model_input_names),
        clean_up_tokenization_spaces=tokenizer.clean_up_tokenization_spaces,
        **{role: token for role, token in tokens.items() if token is not None},
    )


def _compared(tokenizer: Any) -> Any:
    """Return the `tokenizers.Tokenizer`, if texts of many kinds have the same ids by it."""
    if type(tokenizer).__name__ not in _CLASSES or tokenizer.unk_token is None:
        return None
    written = _written(tokenizer)
    texts = [*hard_texts()[:_HARD_TEXTS], *_own_texts(tokenizer)]
    for special in (False, True):
        expected = [
            tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
            for text in texts
        ]
        found = written.encode_batch(texts, add_special_tokens=special)
        if [encoding.ids for encoding in found] != expected:
            return None
    return written


def _written(tokenizer: Any) -> Any:
    from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, processors

    ids = tokenizer.get_vocab()
    written = Tokenizer(models.WordLevel(ids, unk_token=tokenizer.unk_token))
    longest_first = "|".join(re.escape(token) for token in sorted(ids, key=len, reverse=True))
    written.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(longest_first), "isolated"),
            # What `str.split` takes for white space; the library's own set is another.
            pre_tokenizers.Split(Regex(f"[{''.join(_white())}]+"), "removed"),
        ]
    )
    written.add_special_tokens(
        [AddedToken(token, normalized=False) for token in tokenizer.all_special_tokens]
    )
    start, end = tokenizer.cls_token, tokenizer.eos_token
    around = [token for token in (start, end) if token is not None]
    written.post_processor = processors.TemplateProcessing(
        single=" ".join([*([start] if start else []), "$A", *([end] if end else [])]),
        special_tokens=[(token, ids[token]) for token in dict.fromkeys(around)],
    )
    return written


def _white() -> list[str]:
    return [letter for letter in map(chr, range(sys.maxunicode + 1)) if letter.isspace()]


def _own_texts(tokenizer: Any) -> list[str]:
    """Texts of the vocabulary's own entries."""
    draw = random.Random(33)  # noqa: S311 - no secret
    entries = [*sorted(tokenizer.get_vocab()), " ", "  ", "\n", "\x1c", "\x85", "?", "x", "é"]
    return ["".join(draw.choices(entries, k=draw.randint(1, 40))) for _ in range(_OWN_TEXTS)]

"""Converting word-list tokenizers, which exist only in Python, to a tokenizer.json.

ESM's tokenizer splits a text at every entry of its vocabulary, the longest first, and at white
space; anything else is unknown. A `WordLevel` model with a matching pre-tokenizer does the same in
the `tokenizers` library, so that such a model can be served without transformers.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterable
from typing import Any

from mlmfast.data.tokenization.special_tokens import ROLES
from mlmfast.data.tokenization.verification.edges.corpus import hard_texts

_CLASSES = (("transformers.models.esm.tokenization_esm", "EsmTokenizer"),)
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
    """Convert to a `tokenizers.Tokenizer`; None if that is not certain to give the same ids."""
    if not _is_known(tokenizer) or not _splits_at_longest(tokenizer):
        return None
    converted = _convert(tokenizer)
    texts = [*hard_texts()[:_HARD_TEXTS], *vocabulary_texts(tokenizer.get_vocab())]
    for special in (False, True):
        expected = [
            tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
            for text in texts
        ]
        encodings = converted.encode_batch(texts, add_special_tokens=special)
        if [encoding.ids for encoding in encodings] != expected:
            return None
    return converted


def _is_known(tokenizer: Any) -> bool:
    kind = type(tokenizer)
    return (
        (kind.__module__, kind.__name__) in _CLASSES
        and tokenizer.unk_token is not None
        and not tokenizer.split_special_tokens
    )


def _splits_at_longest(tokenizer: Any) -> bool:
    """Whether the class splits a text at the longest entries from left to right.

    `Trie.split` of transformers follows all entries that may have begun, and takes the first that
    ends, or a longer one that began with it or before it; where one that began before has just
    failed, it may take too much. Neither happens if no entry can begin inside another one that has
    not ended yet: as soon as a first entry ends, it is the only one that is followed. Special
    tokens, which the converted tokenizer looks for first, must moreover neither overlap an entry
    nor begin one.
    """
    entries = set(tokenizer.tokens_trie._tokens)  # noqa: SLF001 - the tokenizer's own no-split tokens
    added = tokenizer.added_tokens_decoder.values()
    if entries != set(tokenizer.get_vocab()) or any(token.single_word for token in added):
        return False
    if any(letter.isspace() for entry in entries for letter in entry):
        return False
    firsts = {entry[0] for entry in entries}
    for entry in entries:
        ended = next(end for end in range(1, len(entry) + 1) if entry[:end] in entries)
        if firsts.intersection(entry[1 : ended - 1]):
            return False
    special = set(tokenizer.all_special_tokens)
    heads = {token[0] for token in special}
    return not any(
        heads.intersection(entry[1:])
        or (entry not in special and any(entry.startswith(token) for token in special))
        for entry in entries
    )


def _convert(tokenizer: Any) -> Any:
    from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, processors

    ids = tokenizer.get_vocab()
    converted = Tokenizer(models.WordLevel(ids, unk_token=tokenizer.unk_token))
    converted.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_longest_of(ids)), "isolated"),
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


def _longest_of(entries: Iterable[str]) -> str:
    """Return a regular expression that matches the longest entry, as nested groups.

    A flat list of thousands of k-mers would be tried one by one at every letter.
    """
    tree: dict[str, Any] = {}
    for entry in entries:
        node = tree
        for letter in entry:
            node = node.setdefault(letter, {})
        node[""] = {}

    def pattern(node: dict[str, Any]) -> str:
        after = [re.escape(letter) + pattern(below) for letter, below in node.items() if letter]
        if not after:
            return ""
        if "" in node:
            return f"(?:{'|'.join(after)})?"
        return after[0] if len(after) == 1 else f"(?:{'|'.join(after)})"

    return "|".join(re.escape(letter) + pattern(below) for letter, below in tree.items())


def _white_space() -> list[str]:
    return [letter for letter in map(chr, range(sys.maxunicode + 1)) if letter.isspace()]


def vocabulary_texts(vocabulary: Iterable[str], *, count: int = _VOCABULARY_TEXTS) -> list[str]:
    """Return random texts of a vocabulary's entries, apart and joined, with others between them.

    Args:
        vocabulary: The entries.
        count: Number of texts.
    """
    draw = random.Random(33)  # noqa: S311 - no secret
    entries = sorted(vocabulary)
    between = ["", "", "", " ", "  ", "\n", "\t", "\x1c", "\x85", "?", "x", "é", "-", "7", "<"]
    texts = []
    for _ in range(count):
        chosen = draw.choices(entries, k=draw.randint(1, 40))
        joints = ["", " "] if draw.random() < 0.3 else between
        parts = (part for entry in chosen for part in (_cut(draw, entry), draw.choice(joints)))
        texts.append("".join(parts))
    return texts


def _cut(draw: random.Random, entry: str) -> str:
    """Return an entry, now and then only its beginning or its end."""
    at, kind = draw.randint(0, len(entry)), draw.random()
    return entry[:at] if kind < 0.1 else entry[at:] if kind < 0.2 else entry

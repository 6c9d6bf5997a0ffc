"""Decode a text with many candidates for its mask, at the cost of a few."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.folder import OnnxFolder
    from mlmfast.serving.text.tokenizer import ServingTokenizer

# Decoders whose text for a token does not depend on its neighbours, except that the first token of
# a text may differ (it keeps its `##`, it loses its blank).
_TOKEN_BY_TOKEN = frozenset({"ByteLevel", "Metaspace", "WordPiece"})
# What a byte-level decoder writes for invalid UTF-8, which may be valid with the neighbours' bytes.
_BROKEN = "\ufffd"


class Decoder:
    """Decode a text with each candidate in it, exactly as decoding the whole text would.

    If the tokenizer decodes token by token, the text before the mask and the text after it are
    decoded once, and each token once in the decoder's life. Otherwise, and where the bytes of a
    character may lie in two tokens, the whole text is decoded for every candidate.
    """

    def __init__(self, tokenizer: ServingTokenizer, folder: OnnxFolder):
        self._tokenizer = tokenizer
        self._pad_id = tokenizer.pad_id
        content = json.loads((folder.path / "tokenizer.json").read_text(encoding="utf-8"))
        self._specials = {
            token["id"] for token in content.get("added_tokens", ()) if token.get("special")
        }
        self._tokens: dict[int, str] = {}
        self._inner: dict[int, str] = {}
        kind = (content.get("decoder") or {}).get("type")
        self._anchor = self._find_anchor() if kind in _TOKEN_BY_TOKEN else None

    def token(self, token: int) -> str:
        """Decode one token, as `token_str` shows it."""
        text = self._tokens.get(token)
        if text is None:
            text = self._tokens[token] = self._tokenizer.decode([token])
        return text

    def sequences(
        self, ids: Sequence[int], mask: int, candidates: Sequence[int], *, skip_special: bool
    ) -> list[str]:
        """Decode `ids` with each of `candidates` at position `mask`, without padding.

        Args:
            ids: token ids of the text.
            mask: the position to fill.
            candidates: ids to fill it with.
            skip_special: whether to leave special tokens out of the text.
        """
        before, after = self._without_padding(ids[:mask]), self._without_padding(ids[mask + 1 :])
        ends = self._ends(before, after, skip_special) if len(candidates) > 1 else None
        texts = []
        for token in candidates:
            inner = None if ends is None else self._inner_text(token, skip_special)
            if ends is None or inner is None:
                filled = [*before, *self._without_padding([token]), *after]
                text = self._tokenizer.decode(filled, skip_special_tokens=skip_special)
            else:
                text = self._tokenizer.clean(ends[0] + inner + ends[1])
            texts.append(text)
        return texts

    def _ends(
        self, before: list[int], after: list[int], skip_special: bool
    ) -> tuple[str, str] | None:
        """Decode the text around the mask; None if its parts may not add up to the whole text."""
        kept = any(token not in self._specials for token in before) if skip_special else before
        if self._anchor is None or not kept:
            return None
        start = self._tokenizer.decode_as_is(before, skip_special_tokens=skip_special)
        end = self._decode_inner(after, skip_special)
        return None if _BROKEN in start or _BROKEN in end else (start, end)

    def _inner_text(self, token: int, skip_special: bool) -> str | None:
        """Decode a token within a text; None if its text depends on its neighbours."""
        if token == self._pad_id or (skip_special and token in self._specials):
            return ""
        text = self._inner.get(token)
        if text is None:
            text = self._inner[token] = self._decode_inner([token], skip_special=False)
        return None if _BROKEN in text else text

    def _decode_inner(self, ids: list[int], skip_special: bool) -> str:
        """Decode tokens that are not the first of their text."""
        text = self._tokenizer.decode_as_is(
            [self._anchor or 0, *ids], skip_special_tokens=skip_special
        )
        return text[self._anchor_length :]

    def _find_anchor(self) -> int | None:
        """Find a plain token to put before tokens that are not the first of a text."""
        for token in range(len(self._tokenizer)):
            text = self._tokenizer.decode_as_is([token])
            if token not in self._specials and text.strip() and text.isascii():
                self._anchor_length = len(text)
                return token
        return None

    def _without_padding(self, ids: Sequence[int]) -> list[int]:
        return [token for token in ids if token != self._pad_id]

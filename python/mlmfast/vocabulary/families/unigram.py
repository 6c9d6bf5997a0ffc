"""Unigram: the best sum of scores, which stays the best one when others lose a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmfast.vocabulary.families.family import Family, byte_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

_SPACE = "\u2581"


class Unigram(Family):
    """Pieces with scores; a piece's id is its place in the list."""

    name = "Unigram"

    def __init__(self, content: Mapping[str, Any], ids: Mapping[str, int]) -> None:
        """Read `content`, a tokenizer.json, whose tokens have `ids` in the library."""
        super().__init__(content, ids)
        # A piece may be in the list twice; `ids` has the last place only.
        self.tokens = {number: piece for number, (piece, _) in enumerate(self._model["vocab"])}

    def required(self) -> set[int]:
        """Return the unknown token, the sign for spaces, bytes, and the piece with the least score.

        An unknown character costs ten more than the least score of the vocabulary. Were that piece
        dropped, unknown characters would cost less, and beat pieces that contain them.
        """
        kept = self._known(_SPACE)
        vocab = self._model["vocab"]
        if vocab:
            kept.add(min(range(len(vocab)), key=lambda number: vocab[number][1]))
        if self._model.get("unk_id") is not None:
            kept.add(self._model["unk_id"])
        if self._model.get("byte_fallback"):
            kept |= self._known(*byte_tokens())
        return kept

    def model(self, new_ids: Mapping[int, int]) -> dict[str, Any]:
        """Return the model section with the kept pieces only, their scores unchanged."""
        model = super().model(new_ids)
        if model.get("unk_id") is not None:
            model["unk_id"] = new_ids[model["unk_id"]]
        return model

    def _vocab(self, new_ids: Mapping[int, int]) -> Any:
        return [entry for number, entry in enumerate(self._model["vocab"]) if number in new_ids]

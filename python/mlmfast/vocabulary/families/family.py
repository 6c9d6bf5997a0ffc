"""The base of the families: the model section of a tokenizer.json, and what must stay in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Family:
    """The vocabulary of a tokenizer's model, without added tokens that it does not hold.

    Attributes:
        name: the type in tokenizer.json.
        ids: token -> id.
        tokens: id -> token.
        whole_words: whether one unknown character makes a whole word unknown.
    """

    name: str
    whole_words = False

    def __init__(self, content: Mapping[str, Any], ids: Mapping[str, int]) -> None:
        """Read `content`, a tokenizer.json, whose tokens have `ids` in the library."""
        self._model: dict[str, Any] = content["model"]
        self.ids = ids
        self.tokens = {number: token for token, number in ids.items()}
        self._prefix: str = self._model.get("continuing_subword_prefix") or ""
        self._suffix: str = self._model.get("end_of_word_suffix") or ""

    def required(self) -> set[int]:
        """Return the ids that stay whatever the texts are."""
        return self._known(self._model.get("unk_token") or "")

    def characters(self, letters: Iterable[str]) -> set[int]:
        """Return the ids of single characters, in each form that the vocabulary has."""
        forms = (
            form + end
            for letter in letters
            for form in {letter, self._prefix + letter}
            for end in {"", self._suffix}
        )
        return self._known(*forms)

    def spelled(self, number: int) -> str:
        """Return the characters of a token, without the marks of the family."""
        return self.tokens[number].removeprefix(self._prefix).removesuffix(self._suffix)

    def parts(self, number: int) -> set[int]:
        """Return the ids without which a token could not arise."""
        del number
        return set()

    def before_unknown(self, word: str) -> set[int]:
        """Return the ids that the search for a word that ends as unknown passes through."""
        del word
        return set()

    def model(self, new_ids: Mapping[int, int]) -> dict[str, Any]:
        """Return the model section with the kept tokens only.

        Args:
            new_ids: old id -> new id, of every token that is kept; ids of the model's own tokens
                come first, in their old order.
        """
        return {**self._model, "vocab": self._vocab(new_ids)}

    def _vocab(self, new_ids: Mapping[int, int]) -> Any:
        kept = (number for number in self.tokens if number in new_ids)
        by_id = sorted(kept, key=new_ids.__getitem__)
        return {self.tokens[number]: new_ids[number] for number in by_id}

    def _known(self, *tokens: str) -> set[int]:
        return {self.ids[token] for token in tokens if token in self.ids}


def byte_tokens() -> list[str]:
    """Return the tokens by which byte fallback spells unknown characters: `<0x00>` to `<0xFF>`."""
    return [f"<0x{byte:02X}>" for byte in range(256)]

"""The tokenizer of an ONNX folder: texts to ids, ids to text, targets to ids."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError
from mlmfast.serving.text.truncation import cut_around_masks
from mlmfast.tokenizer_rules import class_name, read_by_class
from mlmfast.tokenizers_compat import encoding_error, read_tokenizer, split_special_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tokenizers import Encoding, Tokenizer

    from mlmfast.serving.folder import OnnxFolder
    from mlmfast.serving.text.options import EncodeOptions

logger = logging.getLogger(__name__)

# What mask tokens are called where the folder's JSON files name none.
_COMMON_MASKS = ("<mask>", "[MASK]")

# English spacing that `clean_up_tokenization_spaces` puts right, in this order.
_SPACES_TO_CLEAN = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


class ServingTokenizer:
    """Encode and decode as the `transformers` tokenizer saved in the folder does.

    Attributes:
        mask_token: the token that stands for a word to be filled.
        mask_id: its id.
        pad_id: the id of the padding token, None for a tokenizer without one.
    """

    def __init__(self, folder: OnnxFolder):
        file = folder.path / "tokenizer.json"
        try:
            tokenizer = _read_by_class(file, folder)
        except InputError:
            raise
        except Exception as error:  # tokenizers raises bare Exceptions
            raise InputError(f"{file} is no tokenizer that can be read: {error}.") from error
        # A tokenizer.json may carry both; neither is wanted unless a caller asks.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._special_ids = tokenizer.num_special_tokens_to_add(is_pair=False)

        settings = folder.tokenizer_config
        self._clean_up = bool(settings.get("clean_up_tokenization_spaces", False))
        self._cut_side = settings.get("truncation_side", "right")
        self._usual_length = settings.get("model_max_length")

        named = folder.special_token("mask_token")
        masks = [named] if named else _COMMON_MASKS
        found = [token for token in masks if tokenizer.token_to_id(token) is not None]
        if not found:
            raise InputError(
                f"The tokenizer in {folder.path} has no mask token, so there is nothing to fill; "
                "masks need the tokenizer of a masked language model."
            )
        self.mask_token: str = found[0]
        self.mask_id: int = tokenizer.token_to_id(self.mask_token)
        padding = folder.special_token("pad_token")
        self.pad_id: int | None = tokenizer.token_to_id(padding) if padding else None

    def __len__(self) -> int:
        """Count the tokens, added ones included."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def encode(
        self, texts: Sequence[str], options: EncodeOptions, longest: int | None
    ) -> list[Encoding | InputError]:
        """Tokenize `texts`, cut as `options` say.

        Args:
            texts: strings.
            options: special tokens and truncation.
            longest: tokens that the model takes, None without a limit.

        Returns:
            For each text its encoding, or why it cannot be cut.
        """
        if not options.truncation:
            return list(self._encode(texts, options.add_special_tokens))
        room = self._room(options, longest)
        return [
            self._cut(encoding, options, room)
            for encoding in self._encode(texts, add_special_tokens=False)
        ]

    def _cut(self, encoding: Encoding, options: EncodeOptions, room: int) -> Encoding | InputError:
        if options.around_mask:
            try:
                cut_around_masks(encoding, self.mask_id, room)
            except InputError as error:
                return error
        else:
            encoding.truncate(room, direction=self._cut_side)
        return self._tokenizer.post_process(encoding) if options.add_special_tokens else encoding

    def encode_words(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokenize `texts` with the model's special tokens, keeping the number of each word."""
        return self._tokenizer.encode_batch(texts)

    def _encode(self, texts: Sequence[str], add_special_tokens: bool) -> list[Encoding]:
        try:
            if len(texts) == 1:  # the batch call wakes a thread pool
                return [self._tokenizer.encode(texts[0], add_special_tokens=add_special_tokens)]
            return self._tokenizer.encode_batch_fast(texts, add_special_tokens=add_special_tokens)
        except Exception as error:
            if type(error) is not Exception:  # the library's own are bare
                raise
            raise InputError(encoding_error(error)) from error

    def _room(self, options: EncodeOptions, longest: int | None) -> int:
        """Tokens of the text that a cut leaves."""
        limits = (options.max_length or self._usual_length, longest)
        length = min((limit for limit in limits if limit is not None), default=None)
        if length is None:
            raise InputError(
                "The model sets no maximal length; truncation needs a max_length here, as in "
                'tokenizer_kwargs={"truncation": True, "max_length": 512}.'
            )
        room = int(length) - (self._special_ids if options.add_special_tokens else 0)
        if room < 1:
            raise InputError(
                f"max_length={int(length)} leaves no room for a text beside the "
                f"{self._special_ids} special tokens around it."
            )
        return room

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Turn ids back into text, with the spaces cleaned where the tokenizer says so."""
        return self.clean(self.decode_as_is(ids, skip_special_tokens=skip_special_tokens))

    def decode_as_is(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Turn ids back into text, with the spaces that the decoder leaves."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)
        return text

    def clean(self, text: str) -> str:
        """Put the spaces of a decoded text right, where the tokenizer says so."""
        if self._clean_up:
            for spaced, clean in _SPACES_TO_CLEAN:
                text = text.replace(spaced, clean)
        return text

    def pieces(self, word: str) -> list[int]:
        """Return the ids of `word`: one where the vocabulary has it, else those of its pieces."""
        token = self._tokenizer.token_to_id(word)
        if token is not None:
            return [token]
        ids: list[int] = self._tokenizer.encode(word, add_special_tokens=False).ids
        return ids

    def target_ids(self, targets: str | Iterable[str]) -> list[int]:
        """Look up `targets`; a word outside the vocabulary stands for its first piece.

        Returns:
            Distinct ids, ascending.

        Raises:
            InputError: a target is no string, or not one of them has an id.
        """
        words: list[Any] = [targets] if isinstance(targets, str) else list(targets)
        found: set[int] = set()
        for word in words:
            if not isinstance(word, str):
                raise InputError(f"Targets are strings, and {word!r} is {_kind(word)}.")
            token = self._tokenizer.token_to_id(word)
            if token is None:
                token = self._first_piece(word)
            if token is not None:
                found.add(token)
        if not found:
            raise InputError(
                "At least one target must be a word the tokenizer knows; "
                + (f"none of {words!r} is." if words else "targets is empty.")
            )
        return sorted(found)

    def _first_piece(self, word: str) -> int | None:
        ids = self._tokenizer.encode(word, add_special_tokens=False).ids
        if not ids:
            logger.warning(
                "The target %r is not in the vocabulary and gives no token: it is left out.", word
            )
            return None
        piece: int = ids[-1] if self._cut_side == "left" else ids[0]
        logger.warning(
            "The target %r is not in the vocabulary: its piece %r stands for it.",
            word,
            self._tokenizer.id_to_token(piece),
        )
        return piece


def _read_by_class(file: Path, folder: OnnxFolder) -> Tokenizer:
    """Open tokenizer.json as the tokenizer class that the folder names would."""
    content = file.read_bytes()
    reading = read_by_class(json.loads(content), folder.tokenizer_config, folder.config)
    if reading.differences:
        logger.warning(
            "%s is read as transformers' %s reads it, not as the file alone says: %s.",
            file,
            class_name(folder.tokenizer_config, folder.config),
            "; ".join(reading.differences),
        )
        content = json.dumps(reading.content, ensure_ascii=False).encode()
    tokenizer = read_tokenizer(content)
    if reading.split_special_tokens:
        split_special_tokens(tokenizer)
    return tokenizer


def _kind(value: object) -> str:
    return f"of type {type(value).__name__}"

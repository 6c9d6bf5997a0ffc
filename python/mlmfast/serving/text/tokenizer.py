"""The tokenizer of an ONNX folder: encodes texts and targets, decodes ids."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError
from mlmfast.serving.text.truncation import truncate_around_masks
from mlmfast.tokenizer_rules import class_name, read_by_class
from mlmfast.tokenizers_compat import encoding_error, read_tokenizer, split_special_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tokenizers import Encoding, Tokenizer

    from mlmfast.serving.folder import OnnxFolder
    from mlmfast.serving.text.options import EncodeOptions

logger = logging.getLogger(__name__)

# Mask tokens to look for if the folder's JSON files name none.
_COMMON_MASKS = ("<mask>", "[MASK]")

# A text that takes less than a millisecond.
_SHORT_CHARACTERS = 1000

# What `clean_up_tokenization_spaces` replaces, in this order.
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
        # A tokenizer.json may set both; here only a caller's options do.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._special_ids = tokenizer.num_special_tokens_to_add(is_pair=False)

        settings = folder.tokenizer_config
        self._clean_up = bool(settings.get("clean_up_tokenization_spaces", False))
        self._truncation_side = settings.get("truncation_side", "right")
        self._model_max_length = settings.get("model_max_length")

        named = folder.special_token("mask_token")
        masks = [named] if named else _COMMON_MASKS
        known = [token for token in masks if tokenizer.token_to_id(token) is not None]
        if not known:
            raise InputError(
                f"The tokenizer in {folder.path} has no mask token, so there is nothing to fill; "
                "masks need the tokenizer of a masked language model."
            )
        self.mask_token: str = known[0]
        self.mask_id: int = tokenizer.token_to_id(self.mask_token)
        padding = folder.special_token("pad_token")
        self.pad_id: int | None = tokenizer.token_to_id(padding) if padding else None

    def __len__(self) -> int:
        """Count the tokens, added ones included."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def encode(
        self, texts: Sequence[str], options: EncodeOptions, max_length: int | None
    ) -> list[Encoding | InputError]:
        """Tokenize `texts`, truncated as `options` say.

        Args:
            texts: strings.
            options: special tokens and truncation.
            max_length: tokens that the model takes, None without a limit.

        Returns:
            For each text its encoding, or why it cannot be truncated.
        """
        if not options.truncation:
            return list(self._encode(texts, options.add_special_tokens))
        text_tokens = self._text_tokens(options, max_length)
        return [
            self._truncate(encoding, options, text_tokens)
            for encoding in self._encode(texts, add_special_tokens=False)
        ]

    def _truncate(
        self, encoding: Encoding, options: EncodeOptions, text_tokens: int
    ) -> Encoding | InputError:
        if options.around_mask:
            try:
                truncate_around_masks(encoding, self.mask_id, text_tokens)
            except InputError as error:
                return error
        else:
            encoding.truncate(text_tokens, direction=self._truncation_side)
        return self._tokenizer.post_process(encoding) if options.add_special_tokens else encoding

    def encode_words(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokenize `texts` with the model's special tokens and the word ids of their tokens."""
        return self._tokenizer.encode_batch(texts)

    def _encode(self, texts: Sequence[str], add_special_tokens: bool) -> list[Encoding]:
        try:
            # A batch call starts a thread pool, but a single call keeps the interpreter's lock.
            if len(texts) == 1 and len(texts[0]) <= _SHORT_CHARACTERS:
                return [self._tokenizer.encode(texts[0], add_special_tokens=add_special_tokens)]
            return self._tokenizer.encode_batch_fast(texts, add_special_tokens=add_special_tokens)
        except Exception as error:
            if type(error) is not Exception:  # the library's own are bare
                raise
            raise InputError(encoding_error(error)) from error

    def _text_tokens(self, options: EncodeOptions, max_length: int | None) -> int:
        """Return how many tokens of a text truncation keeps, special tokens not counted."""
        limits = (options.max_length or self._model_max_length, max_length)
        length = min((limit for limit in limits if limit is not None), default=None)
        if length is None:
            raise InputError(
                "The model sets no maximal length; truncation needs a max_length here, as in "
                'tokenizer_kwargs={"truncation": True, "max_length": 512}.'
            )
        text_tokens = int(length) - (self._special_ids if options.add_special_tokens else 0)
        if text_tokens < 1:
            raise InputError(
                f"max_length={int(length)} leaves no room for a text beside the "
                f"{self._special_ids} special tokens around it."
            )
        return text_tokens

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Decode ids, with the spaces cleaned up if the tokenizer's configuration says so."""
        return self.clean(self.decode_as_is(ids, skip_special_tokens=skip_special_tokens))

    def decode_as_is(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Decode ids, without cleaning up spaces."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)
        return text

    def clean(self, text: str) -> str:
        """Clean up the spaces of a decoded text if the tokenizer's configuration says so."""
        if self._clean_up:
            for spaced, clean in _SPACES_TO_CLEAN:
                text = text.replace(spaced, clean)
        return text

    def token_id(self, token: str) -> int | None:
        """Return the id of a token as the vocabulary writes it, None for one that is not in it."""
        number: int | None = self._tokenizer.token_to_id(token)
        return number

    def vocabulary_token(self, number: int) -> str:
        """Return a token as the vocabulary writes it, with its `##` or `\u0120`."""
        token: str = self._tokenizer.id_to_token(number) or f"[{number}]"
        return token

    def pieces(self, word: str) -> list[int]:
        """Return the ids of `word`: its own if the vocabulary has it, else those of its pieces."""
        token = self._tokenizer.token_to_id(word)
        if token is not None:
            return [token]
        ids: list[int] = self._tokenizer.encode(word, add_special_tokens=False).ids
        return ids

    def target_ids(self, targets: str | Iterable[str]) -> list[int]:
        """Look up `targets`; a word that is not in the vocabulary is replaced by its first piece.

        Returns:
            Distinct ids, ascending.

        Raises:
            InputError: a target is no string, or none of them has an id.
        """
        words: list[Any] = [targets] if isinstance(targets, str) else list(targets)
        ids: set[int] = set()
        for word in words:
            if not isinstance(word, str):
                raise InputError(f"Targets are strings, and {word!r} is {_type_name(word)}.")
            token = self._tokenizer.token_to_id(word)
            if token is None:
                token = self._first_piece(word)
            if token is not None:
                ids.add(token)
        if not ids:
            raise InputError(
                "At least one target must be a word the tokenizer knows; "
                + (f"none of {words!r} is." if words else "targets is empty.")
            )
        return sorted(ids)

    def _first_piece(self, word: str) -> int | None:
        ids = self._tokenizer.encode(word, add_special_tokens=False).ids
        if not ids:
            logger.warning(
                "The target %r is not in the vocabulary and gives no token: it is left out.", word
            )
            return None
        piece: int = ids[-1] if self._truncation_side == "left" else ids[0]
        logger.warning(
            "The target %r is not in the vocabulary: its piece %r stands for it.",
            word,
            self._tokenizer.id_to_token(piece),
        )
        return piece


def _read_by_class(file: Path, folder: OnnxFolder) -> Tokenizer:
    """Open tokenizer.json as the tokenizer class of transformers that the folder names does."""
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


def _type_name(value: object) -> str:
    return f"of type {type(value).__name__}"

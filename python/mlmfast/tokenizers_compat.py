"""Opening a tokenizer.json with any supported version of the `tokenizers` library."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import re
import tempfile
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlmfast.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer


logger = logging.getLogger(__name__)

_MAYBE_DROPOUT = re.compile(rb'"dropout"\s*:\s*[0-9.]')
# The pre-tokenization pattern of byte-level BPE, which format 2.0 writes out.
_GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


class TextEncoding:
    """A text's encoding that can be truncated; the one of `tokenizers` 1.0 cannot."""

    __slots__ = ("_inner", "_start", "_stop")

    def __init__(self, inner: Any) -> None:
        """Wrap `inner`, the library's own encoding."""
        self._inner = inner
        self._start, self._stop = 0, len(inner)

    def __len__(self) -> int:
        """Return the number of tokens."""
        return self._stop - self._start

    @property
    def ids(self) -> list[int]:
        """Token ids."""
        return self._inner.ids[self._start : self._stop]

    @property
    def type_ids(self) -> list[int]:
        """Segment ids."""
        return self._inner.type_ids[self._start : self._stop]

    def truncate(self, max_length: int, *, direction: str = "right") -> None:
        """Keep at most `max_length` tokens: the first ones, or the last with direction="left"."""
        if direction == "left":
            self._start = max(self._start, self._stop - max_length)
        else:
            self._stop = min(self._stop, self._start + max_length)


@dataclass(frozen=True)
class WholeEncoding:
    """The encoding of a text, including its special tokens."""

    ids: list[int]
    type_ids: list[int]


@dataclass(frozen=True)
class TokenizersV1:
    """A tokenizer of `tokenizers` 1.0 with the methods of earlier versions that mlmfast uses.

    Version 1.0 encodes and decodes, but no longer exposes the vocabulary; tokenizer.json holds it.
    """

    inner: Any = field(repr=False)
    read: dict[str, Any] = field(repr=False)
    """The tokenizer.json that it was read from."""

    @cached_property
    def content(self) -> str:
        """The tokenizer.json in format 1.0, which the core reads."""
        return json.dumps(_with_scores(_with_omitted_fields(self.read), self.inner))

    @cached_property
    def ids(self) -> dict[str, int]:
        """Token -> id, added tokens included."""
        added = {token["content"]: token["id"] for token in self.read.get("added_tokens") or []}
        return {**_model_ids(self.read), **added}

    @cached_property
    def tokens(self) -> dict[int, str]:
        """Id -> token, added tokens included."""
        return {number: token for token, number in self.ids.items()}

    def encode(self, text: str, *, add_special_tokens: bool = True) -> TextEncoding:
        """Return the encoding of one text."""
        return TextEncoding(self.inner.encode(text, add_special_tokens=add_special_tokens))

    def encode_batch_fast(
        self, texts: Sequence[str], *, add_special_tokens: bool = True
    ) -> list[TextEncoding]:
        """Return the encodings of several texts.

        They are encoded one by one: the library's batch call starts a thread pool that no setting
        can disable, and a process with such a pool cannot fork safely.
        """
        return [self.encode(text, add_special_tokens=add_special_tokens) for text in texts]

    def post_process(self, encoding: TextEncoding) -> WholeEncoding:
        """Add the special tokens around an encoding."""
        before, inside, after = self._around
        return WholeEncoding(
            [*before.ids, *encoding.ids, *after.ids],
            [*before.type_ids, *[inside] * len(encoding), *after.type_ids],
        )

    def num_special_tokens_to_add(self, is_pair: bool) -> int:
        """Return the number of special tokens added around one text."""
        if is_pair:
            raise InputError("Pairs of texts are not encoded here.")
        before, _, after = self._around
        return len(before.ids) + len(after.ids)

    @cached_property
    def _around(self) -> tuple[WholeEncoding, int, WholeEncoding]:
        """The special tokens before a text, the text's segment id, the special tokens after it."""
        plain, whole = (self.encode("a b", add_special_tokens=special) for special in (False, True))
        count, ids, types = len(plain), whole.ids, whole.type_ids
        for at in range(len(whole) - count + 1):
            if ids[at : at + count] == plain.ids:
                segment = types[at] if count else 0
                after = WholeEncoding(ids[at + count :], types[at + count :])
                return WholeEncoding(ids[:at], types[:at]), segment, after
        raise InputError("The tokenizer's post-processor does more than put tokens around a text.")

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Decode ids to text."""
        return self.inner.decode(ids, skip_special_tokens=skip_special_tokens)

    def to_str(self) -> str:
        """Return the tokenizer.json in format 1.0; the library itself writes format 2.0."""
        return self.content

    def token_to_id(self, token: str) -> int | None:
        """Return a token's id."""
        return self.ids.get(token)

    def id_to_token(self, number: int) -> str | None:
        """Return an id's token."""
        return self.tokens.get(number)

    def get_vocab_size(self, with_added_tokens: bool = True) -> int:
        """Return the number of tokens."""
        return len(self.get_vocab(with_added_tokens))

    def get_vocab(self, with_added_tokens: bool = True) -> dict[str, int]:
        """Return token -> id."""
        return dict(self.ids) if with_added_tokens else _model_ids(self.read)

    def no_truncation(self) -> None:
        """Disable the truncation that the file sets."""
        self.inner.truncation = None

    def no_padding(self) -> None:
        """Disable the padding that the file sets."""
        self.inner.padding = None


def read_tokenizer(content: bytes) -> Tokenizer:
    """Open a tokenizer.json.

    BPE dropout, which drops merges at random, is disabled, so that encoding is deterministic.

    Raises:
        InputError: The file's format is newer than the library.
        Exception: The library cannot read the file; it raises bare Exceptions.
    """
    from tokenizers import Tokenizer

    content = _without_dropout(content)
    if hasattr(Tokenizer, "from_buffer"):
        _check_format(content)
        return Tokenizer.from_buffer(content)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tokenizer.json"
        file.write_bytes(content)
        inner = Tokenizer.from_file(file)
    return cast("Any", TokenizersV1(inner, json.loads(content)))


def encoding_error(error: Exception) -> str:
    """Return the error message for a text that the library cannot encode."""
    return (
        f"The tokenizer cannot encode a text: {error}. Its vocabulary does not cover the text, and "
        "its tokenizer.json names no token for what is unknown: set the model's unk_token (of a "
        "Unigram model, unk_id) to one of its tokens."
    )


def split_special_tokens(tokenizer: Any) -> None:
    """Make a tokenizer encode special tokens in a text as ordinary text.

    Raises:
        MissingDependencyError: The installed library is version 1.0, which has no such setting.
    """
    if not hasattr(tokenizer, "encode_special_tokens"):
        version = importlib.metadata.version("tokenizers")
        raise MissingDependencyError(
            "split_special_tokens in tokenizer_config.json needs an earlier version of tokenizers "
            f'than {version}: pip install "tokenizers<1"'
        )
    tokenizer.encode_special_tokens = True


def _without_dropout(content: bytes) -> bytes:
    """Return the tokenizer.json with BPE dropout disabled."""
    # A cheap test that spares parsing most files; a vocabulary may contain the word as well.
    if not _MAYBE_DROPOUT.search(content):
        return content
    try:
        read = json.loads(content)
        rate = read["model"].get("dropout")
    except (ValueError, KeyError, TypeError, AttributeError):
        return content  # the library reports what is wrong with the file
    if not rate:
        return content
    _warn_dropout(rate)
    read["model"]["dropout"] = None
    return json.dumps(read, ensure_ascii=False).encode()


@cache
def _warn_dropout(rate: float) -> None:
    logger.warning(
        "The tokenizer.json sets a BPE dropout of %g, which would give different ids each time: "
        "mlmfast disables it.",
        rate,
    )


def _check_format(content: bytes) -> None:
    """Raise InputError for a file of `tokenizers` 1.0 if an earlier version is installed."""
    try:
        format_version = json.loads(content)["version"]
    except (ValueError, KeyError, TypeError):
        return  # the library reports what is wrong with the file
    if format_version != "1.0":
        version = importlib.metadata.version("tokenizers")
        raise InputError(
            f"it is written in form {format_version}, that of a later version than the installed "
            f"tokenizers {version}, which reads form 1.0. Take the file that the model was "
            "published with, or install the version that wrote it"
        )


def require_trainable_tokenizers(purpose: str) -> None:
    """Check that the library can create tokenizers, which version 1.0 cannot.

    Raises:
        MissingDependencyError: The installed library can only open tokenizers.
    """
    import tokenizers

    if not hasattr(tokenizers, "AddedToken"):
        version = importlib.metadata.version("tokenizers")
        raise MissingDependencyError(
            f"{purpose} needs an earlier version of tokenizers than {version}, which encodes only: "
            'pip install "tokenizers<1"'
        )


def _model_ids(content: dict[str, Any]) -> dict[str, int]:
    """Return token -> id of the model's own vocabulary."""
    vocabulary = content["model"]["vocab"]
    if isinstance(vocabulary, dict):
        return vocabulary
    return {token: number for number, (token, _) in enumerate(vocabulary)}


def _with_omitted_fields(content: dict[str, Any]) -> dict[str, Any]:
    """Add the fields that old files omit; earlier versions of the library did so in `to_str`."""
    model = content["model"]
    if "type" not in model:
        kinds = {"merges": "BPE", "unk_id": "Unigram", "max_input_chars_per_word": "WordPiece"}
        kind = next((kind for name, kind in kinds.items() if name in model), None)
        model = model if kind is None else {"type": kind, **model}
    splitter = _with_prepend_schemes(content.get("pre_tokenizer"))
    return _in_format_1({**content, "model": model, "pre_tokenizer": splitter})


def _in_format_1(content: dict[str, Any]) -> dict[str, Any]:
    """Convert byte-level BPE and Unigram of format 2.0 to format 1.0, which the core reads."""
    model, splitter = content["model"], content.get("pre_tokenizer") or {}
    pattern = splitter.get("pattern") or {}
    if model.get("byte_level") and pattern.get("Regex") == _GPT2_PATTERN:
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
        return {**content, "pre_tokenizer": byte_level}
    normalizer = content.get("normalizer") or {}
    steps = normalizer.get("normalizers") or [normalizer]
    last = steps[-1]
    if last.get("type") != "MetaspaceNormalizer" or pattern.get("String") != last["replacement"]:
        return content
    metaspace = {
        "type": "Metaspace",
        "replacement": last["replacement"],
        "prepend_scheme": last["prepend"],
        "split": True,
    }
    before = [{"type": "WhitespaceSplit"}] if last["drop_whitespace"] else []
    return {
        **content,
        "normalizer": {"type": "Sequence", "normalizers": steps[:-1]} if steps[:-1] else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*before, metaspace]},
    }


def _with_scores(content: dict[str, Any], inner: Any) -> dict[str, Any]:
    """Replace the scores of a Unigram model by the numbers that the library computes with.

    The library parses decimals with an error in the last bit, which can decide between otherwise
    equal segmentations. Its pickled form holds the parsed numbers.
    """
    model = content["model"]
    if model.get("type") != "Unigram":
        return content
    _, (pickled, *_) = inner.__reduce__()
    return {**content, "model": {**model, "vocab": json.loads(pickled)["model"]["vocab"]}}


def _with_prepend_schemes(splitter: dict[str, Any] | None) -> dict[str, Any] | None:
    """Set `prepend_scheme` of Metaspace pre-tokenizers, for which old files use another name."""
    if splitter is None:
        return None
    if "pretokenizers" in splitter:
        parts = [_with_prepend_schemes(part) for part in splitter["pretokenizers"]]
        return {**splitter, "pretokenizers": parts}
    if splitter.get("type") == "Metaspace" and "prepend_scheme" not in splitter:
        scheme = "always" if splitter.get("add_prefix_space", True) else "never"
        return {**splitter, "prepend_scheme": scheme}
    return splitter

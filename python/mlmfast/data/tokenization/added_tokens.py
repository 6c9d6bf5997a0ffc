"""Adding tokens to a tokenizer: a mask token, and words to keep whole."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlmfast.data.tokenization.load import LoadedTokenizer, as_json, from_files, load_tokenizer
from mlmfast.data.tokenization.python_classes.slow import SlowTokenizer, kept_splitter
from mlmfast.data.tokenization.word_boundaries import has_space_prefix
from mlmfast.errors import InputError, NotFoundError
from mlmfast.fs.paths import as_path
from mlmfast.tokenizers_compat import require_trainable_tokenizers

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def with_mask_token(loaded: LoadedTokenizer, mask_token: str) -> LoadedTokenizer:
    """Return `loaded` with `mask_token` as its mask token, added if it is new.

    A model trained without this token needs one more row in its embeddings:
    `model.resize_token_embeddings(len(tokenizer))`.
    """
    if not mask_token or mask_token != mask_token.strip():
        raise InputError(f"A mask token is a word such as '<mask>'; got {mask_token!r}.")
    if loaded.mask_token_id is not None:
        if loaded.tokens["mask_token"] == mask_token:
            return loaded
        raise InputError(
            f"The tokenizer {loaded.name!r} has the mask token {loaded.tokens['mask_token']!r} "
            f"already; {mask_token!r} is not added beside it."
        )
    if isinstance(loaded.tokenizer, SlowTokenizer):
        return _with_slow_tokens(
            loaded, lambda inner: inner.add_special_tokens({"mask_token": mask_token})
        )
    require_trainable_tokenizers("A new mask token")
    from tokenizers import AddedToken, Tokenizer

    changed = Tokenizer.from_str(loaded.files["tokenizer.json"].decode())
    changed.add_special_tokens([AddedToken(mask_token, lstrip=True, special=True)])
    files = _changed_files(loaded, changed, mask_token=mask_token)
    if "special_tokens_map.json" in files:
        known = json.loads(files["special_tokens_map.json"])
        files["special_tokens_map.json"] = as_json({**known, "mask_token": mask_token})
    return from_files(loaded.name, files)


def read_tokens(source: str | Path | Sequence[str]) -> list[str]:
    """Read new tokens in order, without duplicates.

    Args:
        source: A UTF-8 file with one token per line (blank lines are ignored), or the tokens.

    Raises:
        NotFoundError: The file does not exist.
        InputError: The file cannot be read, or there is no token.
    """
    if isinstance(source, str | Path):
        path = as_path(source, home=True)
        if not path.is_file():
            raise NotFoundError(f"There is no file of tokens {str(path)!r}.")
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise InputError(f"The file of tokens {str(path)!r} is not UTF-8: {error}.") from error
    else:
        lines = list(source)
        if not all(isinstance(line, str) for line in lines):
            raise InputError("add_tokens must be a file's name or a list of strings.")
    tokens = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not tokens:
        raise InputError(f"There is no token to add in {source!r}: write one a line.")
    return tokens


def with_tokens(source: Any, tokens: Sequence[str]) -> LoadedTokenizer:
    """Return a tokenizer with new tokens after its own; tokens that it already has are unchanged.

    If the vocabulary includes the space before a word in the word's piece (byte-level BPE,
    SentencePiece), so does a new token: it is added as ` word`, and decoding still gives the
    original text. In other vocabularies (WordPiece), a token that begins and ends with a letter or
    digit matches whole words only.

    Args:
        source: A tokenizer, as `load_tokenizer` accepts it.
        tokens: The texts of the tokens, without the space.
    """
    loaded = load_tokenizer(source)
    new = missing_tokens(loaded, tokens) if tokens else []
    if not new:
        return loaded
    if isinstance(loaded.tokenizer, SlowTokenizer):
        return _with_slow_tokens(loaded, lambda inner: inner.add_tokens(new))
    require_trainable_tokenizers("A new token")
    from tokenizers import AddedToken, Tokenizer

    changed: Tokenizer = Tokenizer.from_str(loaded.files["tokenizer.json"].decode())
    changed.add_tokens(
        [AddedToken(token, single_word=token[0].isalnum() and token[-1].isalnum()) for token in new]
    )
    return from_files(loaded.name, _changed_files(loaded, changed))


def _with_slow_tokens(loaded: LoadedTokenizer, add: Callable[[Any], object]) -> LoadedTokenizer:
    """Return a copy of a slow tokenizer to which `add` has added tokens."""
    inner = cast("Any", loaded.tokenizer).inner
    with kept_splitter(inner):
        changed = copy.deepcopy(inner)
    add(changed)
    return replace(load_tokenizer(changed), name=loaded.name)


def missing_tokens(loaded: LoadedTokenizer, tokens: Sequence[str]) -> list[str]:
    """Return the tokens missing from a tokenizer, spelled as its vocabulary would spell them."""
    vocabulary = loaded.tokenizer.get_vocab()
    with_space = has_space_prefix(loaded.tokenizer)
    spellings = [f" {token}" if with_space and token[0].isalnum() else token for token in tokens]
    return [
        spelling
        for spelling, token in zip(spellings, tokens, strict=True)
        if not {spelling, token, f"\u0120{token}", f"\u2581{token}"} & vocabulary.keys()
    ]


def _changed_files(loaded: LoadedTokenizer, changed: Tokenizer, **roles: str) -> dict[str, bytes]:
    config = json.loads(loaded.files["tokenizer_config.json"])
    # The config's list lacks the new tokens; without the list, tokenizer.json alone decides.
    config.pop("added_tokens_decoder", None)
    files = {name: content for name, content in loaded.files.items() if name != "added_tokens.json"}
    files["tokenizer.json"] = changed.to_str(pretty=True).encode()
    files["tokenizer_config.json"] = as_json(config | roles)
    return files

"""A tokenizer with the tokens that texts need, and no others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError
from mlmfast.vocabulary.families.open import open_family, read_content
from mlmfast.vocabulary.selection import select_tokens
from mlmfast.vocabulary.tokenizer_files import processor_ids, rewritten
from mlmfast.vocabulary.usage import count_usage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlmfast.data.tokenization.loaded import LoadedTokenizer
    from mlmfast.vocabulary.families.family import Family
    from mlmfast.vocabulary.texts import SampleTexts
    from mlmfast.vocabulary.usage import Usage


@dataclass(frozen=True)
class TrimmedTokenizer:
    """A trimmed tokenizer, and how it came about.

    Attributes:
        loaded: the tokenizer.
        new_ids: old id -> new id, of every kept token.
        required: how many tokens stay whatever the texts use.
        used: how many different tokens the texts use.
        left_out: file of the old tokenizer -> why it was not written.
    """

    loaded: LoadedTokenizer
    new_ids: dict[int, int]
    required: int
    used: int
    left_out: dict[str, str]


def trim_tokenizer(
    loaded: LoadedTokenizer,
    sample: SampleTexts,
    folder: Path,
    *,
    also: Mapping[str, set[int]],
    keep: int | None = None,
    min_count: int = 1,
) -> TrimmedTokenizer:
    """Write a tokenizer that encodes texts as before, as far as it keeps their tokens.

    Args:
        loaded: the tokenizer.
        sample: the texts.
        folder: where to write its files; the folder exists.
        also: ids to keep in any case, by the reason.
        keep: how many tokens to keep at most, the most frequent ones; None keeps all that occur.
        min_count: how often a token must occur.

    Raises:
        InputError: more tokens than `keep` must stay, or the tokenizer has no tokenizer.json that
            could be changed.
    """
    content = read_content(loaded)
    family = open_family(loaded, content)
    usage = count_usage(loaded, family, sample)
    required = _required(loaded, family, usage, content, also)
    kept = select_tokens(usage.counts, required, family.parts, keep=keep, min_count=min_count)
    new_ids = _number(kept, family)
    files, left_out = rewritten(loaded.files, content, family.model(new_ids), new_ids)
    for name, written in files.items():
        (folder / name).write_bytes(written)
    new = load_tokenizer(folder)
    _check(loaded, new, new_ids)
    return TrimmedTokenizer(
        loaded=new,
        new_ids=new_ids,
        required=len(set().union(*required.values())),
        used=int((usage.counts > 0).sum()),
        left_out=left_out,
    )


def _required(
    loaded: LoadedTokenizer,
    family: Family,
    usage: Usage,
    content: dict[str, Any],
    also: Mapping[str, set[int]],
) -> dict[str, set[int]]:
    """Return the ids that stay in any case, by the reason.

    Raises:
        InputError: the library gives an added token another id than the file.
    """
    vocabulary = loaded.tokenizer.get_vocab()
    known = {*vocabulary.values(), *family.tokens}
    added = set()
    for token in content.get("added_tokens") or []:
        if vocabulary.get(token["content"]) != token["id"]:
            raise InputError(
                f"The tokenizer.json of {loaded.name!r} gives {token['content']!r} the id "
                f"{token['id']}, and the library {vocabulary.get(token['content'])}: mend the file."
            )
        added.add(token["id"])
    required = {
        "special or added": {*loaded.special_ids, *added, *processor_ids(content)} & known,
        **{reason: ids & known for reason, ids in also.items()},
        "of the alphabet": family.required(),
        "single characters of the texts": family.characters(usage.letters),
        "in unknown words": usage.before_unknown,
    }
    # A text may hold such a token as an ordinary one, which arises by merges.
    ordinary = set().union(*required.values()) & family.tokens.keys()
    return {**required, "parts of these": set().union(*map(family.parts, ordinary))}


def _number(kept: set[int], family: Family) -> dict[int, int]:
    """Return old id -> new id: consecutive and in the old order, the model's own tokens first.

    The `tokenizers` library gives tokens that are not in the model's vocabulary the ids after it.
    """
    order = sorted(kept, key=lambda number: (number not in family.tokens, number))
    return {old: new for new, old in enumerate(order)}


def _check(old: LoadedTokenizer, new: LoadedTokenizer, new_ids: dict[int, int]) -> None:
    """Raise InputError unless every token has its new id in the files as they were written."""
    before, after = old.tokenizer.get_vocab(), new.tokenizer.get_vocab()
    expected = {token: new_ids[number] for token, number in before.items() if number in new_ids}
    wrong = [*(expected.items() ^ after.items()), *(old.tokens.items() ^ new.tokens.items())]
    if wrong:
        raise InputError(
            f"The tokenizer {old.name!r} cannot be trimmed: {min(wrong)[0]!r} would be another "
            "token in the files that are written."
        )

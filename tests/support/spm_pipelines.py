"""The pipelines that transformers' converters write from a SentencePiece Unigram model.

Each is what a class of `transformers.convert_slow_tokenizer` makes, so that tests need neither
sentencepiece nor its models.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

if TYPE_CHECKING:
    from collections.abc import Callable

SPACE = "\u2581"

N = normalizers
P = pre_tokenizers


def _blanks(content: str) -> N.Replace:
    return N.Replace(Regex(" {2,}"), content)


def _quotes() -> list:
    return [N.Replace("``", '"'), N.Replace("''", '"')]


def _folding() -> list:
    return [N.NFKD(), N.StripAccents(), N.Lowercase()]


def _converted(charsmap: list) -> list:
    """What SpmConverter itself writes."""
    return [*charsmap, N.Strip(left=False, right=True), _blanks(SPACE)]


def _pegasus() -> P.PreTokenizer:
    return P.Sequence([P.WhitespaceSplit(), P.Metaspace()])


def _deberta(*before: P.PreTokenizer) -> P.PreTokenizer:
    return P.Sequence([*before, P.Metaspace()])


def _isolated() -> P.PreTokenizer:
    return P.Punctuation(behavior="isolated")


# By name: the normalizers around a charsmap, which a model can lack, and the pre-tokenizer.
PIPELINES: dict[str, Callable[[list], tuple[list, Any]]] = {
    # CamemBERT, mBART, NLLB, XLM-R, T5, BigBird, XGLM, BARThez, UDOP, SeamlessM4T
    "converted": lambda c: (_converted(c), P.Metaspace()),
    "converted-never": lambda c: (_converted(c), P.Metaspace(prepend_scheme="never")),
    "converted-first": lambda c: (_converted(c), P.Metaspace(prepend_scheme="first")),
    "albert": lambda c: ([*_quotes(), *_folding(), *c, _blanks(" ")], P.Metaspace()),
    "albert-cased": lambda c: ([*_quotes(), *c, _blanks(" ")], P.Metaspace()),
    "deberta": lambda c: ([N.Strip(), *c, _blanks(" ")], _deberta()),
    "deberta-uncased": lambda c: ([N.Lowercase(), N.Strip(), *c, _blanks(" ")], _deberta()),
    # The class of transformers 5, which leaves the charsmap out.
    "deberta-5": lambda _: (
        [N.Replace(Regex(r"\s{2,}|[\n\r\t]"), " "), N.NFC(), N.Strip(left=False, right=True)],
        _deberta(),
    ),
    "deberta-punctuation": lambda c: ([N.Strip(), *c, _blanks(" ")], _deberta(_isolated())),
    "rembert": lambda c: ([*_quotes(), _blanks(" "), *_folding(), *c], P.Metaspace()),
    "rembert-cased": lambda c: ([*_quotes(), _blanks(" "), *c], P.Metaspace()),
    "pegasus": lambda c: (_converted(c), _pegasus()),
    "llama-legacy": lambda _: ([N.Prepend(SPACE), N.Replace(" ", SPACE)], None),
    "llama-legacy-bare": lambda _: ([N.Replace(" ", SPACE)], None),
    "llama": lambda _: ([], P.Metaspace(prepend_scheme="first", split=False)),
    "llama-never": lambda _: ([], P.Metaspace(prepend_scheme="never", split=False)),
    "moshi": lambda c: (
        [*c, N.Replace(" ", SPACE)],
        P.Metaspace(prepend_scheme="first", split=False),
    ),
    # No converter writes these; their steps are those of others.
    "punctuation-digits": lambda c: (
        [*c, N.Strip(left=False, right=True)],
        P.Sequence([_isolated(), P.Digits(individual_digits=True), P.Metaspace()]),
    ),
    "numbers-never": lambda c: (
        [*c, _blanks(SPACE)],
        P.Sequence([P.Digits(individual_digits=False), P.Metaspace(prepend_scheme="never")]),
    ),
    "white-punctuation": lambda c: (
        [*c],
        P.Sequence([P.WhitespaceSplit(), _isolated(), P.Metaspace()]),
    ),
}


def altered(tokenizer: Tokenizer, name: str, *, charsmap: bool = True) -> Tokenizer:
    """Return `tokenizer` with another pipeline.

    Args:
        tokenizer: A tokenizer with a Unigram model; it stays as it is.
        name: A name of `PIPELINES`.
        charsmap: Keep the tokenizer's precompiled charsmap, if it has one. Models that were trained
            without normalization have none.
    """
    maps = _charsmaps(json.loads(tokenizer.to_str())["normalizer"]) if charsmap else []
    steps, splitter = PIPELINES[name]([N.Precompiled(base64.b64decode(text)) for text in maps])
    made = json.loads(tokenizer.to_str())
    made["normalizer"] = made["pre_tokenizer"] = None
    copy = Tokenizer.from_str(json.dumps(made))
    if steps:
        copy.normalizer = N.Sequence(steps)
    if splitter is not None:
        copy.pre_tokenizer = splitter
    return copy


def _charsmaps(normalizer: dict[str, Any] | None) -> list[str]:
    if normalizer is None:
        return []
    if normalizer["type"] == "Sequence":
        return [text for one in normalizer["normalizers"] for text in _charsmaps(one)]
    return [normalizer["precompiled_charsmap"]] if normalizer["type"] == "Precompiled" else []

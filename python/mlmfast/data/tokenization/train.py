"""Training a tokenizer like that of RoBERTa, BERT or XLM-R."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.data.tokenization.load import FILE_NAMES, LoadedTokenizer, load_tokenizer
from mlmfast.data.tokenization.special_tokens import config_for
from mlmfast.errors import InputError
from mlmfast.fs.atomic import atomic_output_dir
from mlmfast.fs.paths import is_stray
from mlmfast.options import check_choice
from mlmfast.tokenizers_compat import require_trainable_tokenizers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tokenizers import Tokenizer

MODELS = ("bpe", "wordpiece", "unigram")

_ROBERTA = {
    "bos_token": "<s>",
    "pad_token": "<pad>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}
_BERT = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
# The smallest vocabularies: byte-level BPE must hold every byte and the special tokens.
_SMALLEST = {"bpe": 256 + len(_ROBERTA), "wordpiece": 64, "unigram": 64}


def train_tokenizer(
    texts: Iterable[str],
    output: str | Path,
    *,
    model: str = "bpe",
    vocab_size: int = 30_000,
    min_frequency: int = 2,
    lowercase: bool = False,
    model_max_length: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> LoadedTokenizer:
    """Train a tokenizer on `texts` and write it as a folder that AutoTokenizer opens.

    Args:
        texts: The texts; an iterator is read once.
        output: The folder to write.
        model: "bpe" (byte-level BPE as in RoBERTa and ModernBERT: no text is ever unknown),
            "wordpiece" (as in BERT) or "unigram" (as in XLM-R, for languages without spaces between
            words).
        vocab_size: Maximum number of tokens, special ones included. A small corpus gives fewer.
        min_frequency: How often a pair must occur to become a token ("bpe", "wordpiece").
        lowercase: Lowercase text first; "wordpiece" also strips accents.
        model_max_length: The model's maximum number of tokens; omitted from the files if None.
        overwrite: Replace an existing tokenizer folder.
        progress: Show the trainer's progress bars on standard error.

    Raises:
        InputError: An option is invalid, or there is no text.
        OutputExistsError: `output` exists already.
        MissingDependencyError: The installed `tokenizers` cannot train.
    """
    check_choice("model", model, MODELS)
    if vocab_size < _SMALLEST[model]:
        raise InputError(
            f"vocab_size must be {_SMALLEST[model]} at least for {model!r}; got {vocab_size}."
        )
    if min_frequency < 0:
        raise InputError(f"min_frequency must not be negative; got {min_frequency}.")
    if isinstance(texts, str):
        raise InputError("texts must be several strings, not one string: write [text].")
    require_trainable_tokenizers("Training a tokenizer")
    roles = _BERT if model == "wordpiece" else {**_ROBERTA, "cls_token": "<s>", "sep_token": "</s>"}
    build = {"bpe": _bpe, "wordpiece": _wordpiece, "unigram": _unigram}[model]
    with atomic_output_dir(Path(output), overwrite=overwrite, is_ours=_is_tokenizer) as folder:
        counted = _CountedTexts(texts)
        tokenizer = build(counted, vocab_size, min_frequency, lowercase, progress)
        if not counted.characters:
            raise InputError("There is no text to train a tokenizer on: every text is empty.")
        tokenizer.save(str(folder / "tokenizer.json"))
        config = config_for(
            roles, token_types=model == "wordpiece", model_max_length=model_max_length
        )
        _write_json(folder / "tokenizer_config.json", config)
        _write_json(folder / "special_tokens_map.json", roles)
        loaded = load_tokenizer(folder)
    return LoadedTokenizer(**{**vars(loaded), "name": str(output)})


class _CountedTexts:
    """Iterates over texts and counts their characters."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts
        self.characters = 0

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            if not isinstance(text, str):
                raise InputError(f"texts must hold strings; got {type(text).__name__}.")
            self.characters += len(text)
            yield text


def _bpe(
    texts: Iterable[str], vocab_size: int, min_frequency: int, lowercase: bool, progress: bool
) -> Tokenizer:
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )

    tokenizer = Tokenizer(models.BPE())
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=_special(_ROBERTA),
        show_progress=progress,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", tokenizer.token_to_id("</s>")),
        ("<s>", tokenizer.token_to_id("<s>")),
        add_prefix_space=False,
    )
    return tokenizer


def _wordpiece(
    texts: Iterable[str], vocab_size: int, min_frequency: int, lowercase: bool, progress: bool
) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=_special(_BERT),
        limit_alphabet=max(1, min(1000, vocab_size // 4)),
        show_progress=progress,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = _template(tokenizer, "[CLS]", "[SEP]", second="$B:1 [SEP]:1")
    return tokenizer


def _unigram(
    texts: Iterable[str], vocab_size: int, min_frequency: int, lowercase: bool, progress: bool
) -> Tokenizer:
    del min_frequency  # Unigram prunes by likelihood, not by counts
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    steps = [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")]
    tokenizer.normalizer = normalizers.Sequence(
        [*steps, normalizers.Lowercase()] if lowercase else steps
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size,
        special_tokens=_special(_ROBERTA),
        unk_token="<unk>",  # noqa: S106 - no password
        show_progress=progress,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = _template(tokenizer, "<s>", "</s>", second="</s> $B </s>")
    return tokenizer


def _special(roles: dict[str, str]) -> list[Any]:
    """Return the special tokens in order; only `<mask>` strips the space before it."""
    from tokenizers import AddedToken

    return [
        AddedToken(token, lstrip=token.startswith("<mask"), normalized=False, special=True)
        for token in roles.values()
    ]


def _template(tokenizer: Tokenizer, first: str, last: str, *, second: str) -> Any:
    from tokenizers.processors import TemplateProcessing

    return TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} {second}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (first, last)],
    )


def _is_tokenizer(folder: Path) -> bool:
    names = {entry.name for entry in folder.iterdir() if not is_stray(entry)}
    return "tokenizer.json" in names and names <= set(FILE_NAMES)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

"""The tokenizer of every masked-language-model type, made from a vocabulary at hand.

transformers' mapping names the class of a type, its converters write the tokenizer.json, and
AutoTokenizer opens the folder. Only the vocabulary is not the one published with the type.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bpe_families import FAMILIES
from sequences import ESM2
from spm_conversion import class_named, converted, default_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# The class of a checkpoint whose tokenizer.json says everything.
GENERIC = ("PreTrainedTokenizerFast", "TokenizersBackend")


@dataclass(frozen=True)
class Recipe:
    """How the folder of a tokenizer is made."""

    vocabulary: str
    """The published tokenizer whose vocabulary it has: a folder's name, or "ESM-2"."""
    write: Callable[[Path, str, Path], None]
    """Writes its files: into a folder, for a class (without "Fast"), from the published folder."""


def class_of(kind: str) -> str | None:
    """The class that transformers' mapping gives a type: the fast one, if it has one."""
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    names = TOKENIZER_MAPPING_NAMES.get(kind)
    return (names[1] or names[0]) if isinstance(names, tuple) else names


def recipe(kind: str) -> Recipe | None:
    """How to make the tokenizer of a type.

    None if its class exists only in Python, or if it has none and no file of it is known here.
    """
    name = class_of(kind)
    if name is None or name in GENERIC:
        return OF_FILES.get(kind)
    found = OF_CLASSES.get(name.removesuffix("Fast"))
    return found if found and (is_fast(name) or found.vocabulary == "ESM-2") else None


def is_fast(name: str) -> bool:
    """Whether a class stands on the `tokenizers` library."""
    from transformers import PreTrainedTokenizerFast

    return issubclass(class_named(name), PreTrainedTokenizerFast)


@contextmanager
def folder_of(kind: str, folder: Path, published: Path) -> Iterator[Path]:
    """Write the tokenizer of a type into an empty folder; it can be opened in the context.

    Args:
        kind: A type with a recipe.
        folder: The folder.
        published: A folder of folders with published tokenizers.
    """
    made = recipe(kind)
    assert made is not None, kind
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    name = (class_of(kind) or GENERIC[0]).removesuffix("Fast")
    made.write(folder, name, published / made.vocabulary)
    splitter = "rjieba"  # RoFormer's; opening needs no more of it than that it can be imported
    lent = name == "RoFormerTokenizer" and splitter not in sys.modules
    if lent:
        sys.modules[splitter] = ModuleType(splitter)
    try:
        yield folder
    finally:
        if lent:
            del sys.modules[splitter]


def _read(published: Path) -> dict[str, Any]:
    return json.loads((published / "tokenizer.json").read_text("utf-8"))


def _with_special_tokens(pieces: dict[str, int], name: str) -> list[str]:
    return list(
        dict.fromkeys([*default_tokens(name).values(), *sorted(pieces, key=pieces.__getitem__)])
    )


def _words(folder: Path, name: str, published: Path) -> None:
    pieces = _with_special_tokens(_read(published)["model"]["vocab"], name)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")


def _bytes(folder: Path, name: str, published: Path) -> None:
    model = _read(published)["model"]
    pieces = _with_special_tokens(model["vocab"], name)
    ids = {piece: number for number, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    lines = "\n".join(["#version: 0.2", *merges])
    (folder / "merges.txt").write_text(lines + "\n", encoding="utf-8")
    if name == "LukeTokenizer":
        entities = ("[MASK]", "[UNK]", "[PAD]", "[MASK2]")
        numbers = {entity: number for number, entity in enumerate(entities)}
        (folder / "entity_vocab.json").write_text(json.dumps(numbers))


def _pieces(folder: Path, name: str, published: Path) -> None:
    made = converted(_read(published), name)
    (folder / "tokenizer.json").write_text(made.to_str(), encoding="utf-8")


def _pieces_of(name: str) -> Callable[[Path, str, Path], None]:
    """What another class's converter writes, for a type whose class reads the file as it is."""

    def write(folder: Path, generic: str, published: Path) -> None:
        _pieces(folder, name, published)
        _name_class(folder, generic)

    return write


def _llama3(folder: Path, generic: str, published: Path) -> None:
    form = FAMILIES["llama3"](published.parent, [])
    (folder / "tokenizer.json").write_text(form, encoding="utf-8")
    _name_class(folder, generic)


def _file(folder: Path, generic: str, published: Path) -> None:
    (folder / "tokenizer.json").write_bytes((published / "tokenizer.json").read_bytes())
    _name_class(folder, generic)


def _name_class(folder: Path, name: str) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))


def _amino_acids(folder: Path, _name: str, _published: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join(ESM2), encoding="utf-8")


_WORDPIECE = (
    *("BertTokenizer", "ConvBertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"),
    *("FunnelTokenizer", "LayoutLMTokenizer", "MPNetTokenizer", "MobileBertTokenizer"),
    *("RoFormerTokenizer", "SqueezeBertTokenizer"),
)
_BYTE_LEVEL = (
    *("BartTokenizer", "DebertaTokenizer", "LongformerTokenizer", "LukeTokenizer"),
    *("MvpTokenizer", "RobertaTokenizer"),
)
_ENGLISH = (
    *("AlbertTokenizer", "BigBirdTokenizer", "DebertaV2Tokenizer", "FNetTokenizer"),
    "ReformerTokenizer",
)
_OF_LANGUAGES = ("CamembertTokenizer", "MBartTokenizer", "RemBertTokenizer", "XLMRobertaTokenizer")
OF_CLASSES: dict[str, Recipe] = {
    **dict.fromkeys(_WORDPIECE, Recipe("bert-base-uncased", _words)),
    **dict.fromkeys(_BYTE_LEVEL, Recipe("roberta-base", _bytes)),
    **dict.fromkeys(_ENGLISH, Recipe("xlnet-base-cased", _pieces)),
    **dict.fromkeys(_OF_LANGUAGES, Recipe("xlm-roberta-base", _pieces)),
    **dict.fromkeys(("EsmTokenizer", "EsmcTokenizer"), Recipe("ESM-2", _amino_acids)),
}
OF_FILES: dict[str, Recipe] = {
    "eurobert": Recipe("roberta-base", _llama3),
    "modernbert": Recipe("modernbert-base", _file),
    "modernvbert": Recipe("modernbert-base", _file),
    "nystromformer": Recipe("xlnet-base-cased", _pieces_of("AlbertTokenizer")),
    "xlm-roberta-xl": Recipe("xlm-roberta-base", _pieces_of("XLMRobertaTokenizer")),
}

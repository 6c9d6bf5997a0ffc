"""The contenders of P4: how each is made, and how it encodes a text."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

SEPARATOR = "\x1e"
"""Between the texts of a file; none of the texts holds it."""

OURS, LIBRARY = "mlmfast", "tokenizers of this environment"
NEWER, NEXT = "tokenizers 0.23.3", "tokenizers 1.0.0rc3"
GIGA, NANO, SNAP = "gigatoken 0.10.0", "nanotoken 0.1.0", "snaptokens 0.2.6"
MORPHEME, TOKTIER = "morpheme 0.5.0", "toktier 0.3.0"


@dataclass(frozen=True)
class Text:
    """The same paragraphs in all forms that a contender may like best."""

    column: pa.Array
    strings: list[str]
    file: Path
    size: int
    """Bytes of the paragraphs in UTF-8."""


class Way(Protocol):
    """A contender, made ready for one tokenizer."""

    def encode(self, text: Text) -> Any:
        """Encode, into whatever the library gives."""

    def ids(self, found: Any) -> tuple[np.ndarray, np.ndarray]:
        """What `encode` gave as tokens in each text, and all ids."""


class Ours:
    """mlmfast, from Arrow to Arrow."""

    def __init__(self, file: Path, threads: int) -> None:
        from mlmfast.data.tokenization import encoder as text_encoder
        from mlmfast.data.tokenization.load import load_tokenizer

        text_encoder._ready.clear()  # noqa: SLF001 - what an earlier encoder remembers
        self.encoder = text_encoder.TextEncoder(load_tokenizer(file), threads=threads)

    def encode(self, text: Text) -> pa.LargeListArray:
        return self.encoder.encode(text.column)

    def ids(self, found: pa.LargeListArray) -> tuple[np.ndarray, np.ndarray]:
        return np.diff(found.offsets.to_numpy()), found.values.to_numpy()


class Library:
    """tokenizers of this environment, by its fastest call; the ids stay inside its objects."""

    def __init__(self, file: Path, threads: int) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(file))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    def forget(self) -> None:
        """Be as fresh: to read the file again would take longer than the measurement."""
        # WordPiece has no cache.
        getattr(self.tokenizer.model, "_clear_cache", lambda: None)()

    def encode(self, text: Text) -> list:
        return self.tokenizer.encode_batch_fast(text.strings, add_special_tokens=False)

    def ids(self, found: list) -> tuple[np.ndarray, np.ndarray]:
        return _of_objects(found)


class Next:
    """tokenizers 1.0, which has one call for batches."""

    def __init__(self, file: Path, threads: int) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(file)

    def encode(self, text: Text) -> list:
        return self.tokenizer.encode_batch(
            text.strings, add_special_tokens=False, padding=None, truncation=None
        )

    def ids(self, found: list) -> tuple[np.ndarray, np.ndarray]:
        return _of_objects(found)


class Giga:
    """gigatoken, given strings."""

    def __init__(self, file: Path, threads: int) -> None:
        import gigatoken

        self.library, self.parallel = gigatoken, threads > 1
        self.tokenizer = gigatoken.Tokenizer(file)

    def encode(self, text: Text) -> Any:
        return self.tokenizer.encode_batch(text.strings, parallel=self.parallel)

    def ids(self, found: Any) -> tuple[np.ndarray, np.ndarray]:
        import awkward

        return awkward.num(found).to_numpy(), awkward.flatten(found).to_numpy()


class GigaFile(Giga):
    """gigatoken, given a file: the interface that it calls its fastest."""

    def encode(self, text: Text) -> Any:
        source = self.library.TextFileSource([text.file], separator=SEPARATOR)
        return self.tokenizer.encode_files(source, parallel=self.parallel)


class Nano:
    """nanotoken, given strings."""

    def __init__(self, file: Path, threads: int) -> None:
        import nanotoken

        self.library, self.parallel = nanotoken, threads > 1
        self.tokenizer = nanotoken.Tokenizer(file)
        self.tokenizer.clear_cache()

    def encode(self, text: Text) -> Any:
        return self.tokenizer.encode_batch(
            text.strings, add_special_tokens=False, parallel=self.parallel
        )

    def ids(self, found: Any) -> tuple[np.ndarray, np.ndarray]:
        return found.lengths, found.ids


class NanoFile(Nano):
    """nanotoken, given a file."""

    def encode(self, text: Text) -> Any:
        source = self.library.TextFileSource(text.file, separator=SEPARATOR)
        return self.tokenizer.encode_files(source, add_special_tokens=False, parallel=self.parallel)


class Snap:
    """snaptokens, whose ids stay inside its objects."""

    def __init__(self, file: Path, threads: int) -> None:
        from snaptokens import Tokenizer

        # It does not know every post-processor, and none is needed here.
        self.tokenizer = Tokenizer.from_json_str(_plain(file, post_processor=None))

    def encode(self, text: Text) -> Any:
        return self.tokenizer.encode_batch(text.strings, add_special_tokens=False)

    def ids(self, found: Any) -> tuple[np.ndarray, np.ndarray]:
        return _of_objects(found)


class SnapFlat(Snap):
    """snaptokens, into flat buffers: the interface that it calls its fastest."""

    def encode(self, text: Text) -> Any:
        return self.tokenizer.encode_batch_flat(text.strings, add_special_tokens=False)

    def ids(self, found: Any) -> tuple[np.ndarray, np.ndarray]:
        ids, offsets = found
        lengths = np.diff(np.frombuffer(offsets, np.uint64)).astype(np.int64)
        return lengths, np.frombuffer(ids, np.uint32)


class Morpheme:
    """morpheme, which has one call for batches."""

    def __init__(self, file: Path, threads: int) -> None:
        import morpheme

        self.tokenizer = morpheme.Tokenizer.from_str(_plain(file))

    def encode(self, text: Text) -> list:
        return self.tokenizer.encode_batch(text.strings, add_special_tokens=False)

    def ids(self, found: list) -> tuple[np.ndarray, np.ndarray]:
        return _of_objects(found)


class TokTier:
    """toktier, whose own encoders take the files of its registry only."""

    def __init__(self, file: Path, threads: int) -> None:
        import toktier

        tables = Path(toktier.__file__).parent / "routing" / "tables"
        registry = json.loads((tables / "support_registry.v1.json").read_text(encoding="utf-8"))
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        known = {each["artifact_sha256"]: each["family"] for each in registry["artifacts"]}
        if digest not in known:
            raise ValueError(
                f"this file is none of the {len(known)} that its registry certifies; it encodes "
                "others with the tokenizers library"
            )
        self.tokenizer = toktier.load(known[digest], device="cpu")

    def encode(self, text: Text) -> list:
        return self.tokenizer.encode_batch(text.strings)

    def ids(self, found: list) -> tuple[np.ndarray, np.ndarray]:
        return _of_objects(found)


@dataclass(frozen=True)
class Contender:
    """A way, and how it is measured. Whether it takes a tokenizer is found out by trying it.

    Attributes:
        label: In the table.
        make: Makes it ready, from a tokenizer.json and a number of threads; raises where it cannot.
        peer: The library to install for it, if it is none of this environment.
    """

    label: str
    make: Callable[[Path, int], Way]
    peer: str | None
    slow: bool = False
    """Gets as much of a text as it can take in a moment; the others get all of it."""


CONTENDERS = (
    Contender(OURS, Ours, None),
    Contender(LIBRARY, Library, None, slow=True),
    Contender(NEWER, Library, NEWER, slow=True),
    Contender(NEXT, Next, NEXT, slow=True),
    Contender(f"{GIGA}, strings", Giga, GIGA),
    Contender(f"{GIGA}, file", GigaFile, GIGA),
    Contender(f"{NANO}, strings", Nano, NANO),
    Contender(f"{NANO}, file", NanoFile, NANO),
    Contender(f"{SNAP}, objects", Snap, SNAP, slow=True),
    Contender(f"{SNAP}, flat", SnapFlat, SNAP),
    Contender(MORPHEME, Morpheme, MORPHEME, slow=True),
    Contender(TOKTIER, TokTier, TOKTIER, slow=True),
)


def named(label: str) -> Contender:
    """The contender of that label."""
    return next(contender for contender in CONTENDERS if contender.label == label)


def _plain(file: Path, **changes: Any) -> str:
    """A tokenizer.json without truncation and padding, which are for single texts."""
    content = json.loads(file.read_text(encoding="utf-8"))
    return json.dumps({**content, "truncation": None, "padding": None, **changes})


def _of_objects(found: list) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.fromiter(map(len, found), np.int64, len(found))
    ids = itertools.chain.from_iterable(each.ids for each in found)
    return lengths, np.fromiter(ids, np.uint32, int(lengths.sum()))

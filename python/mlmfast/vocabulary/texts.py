"""The texts that a vocabulary shall fit, in a temporary file, since they are read several times."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlmfast.data.arrow_numpy import text_bytes
from mlmfast.data.prepare.options import SOURCE_OPTIONS
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.sources.open import open_sources, read_texts
from mlmfast.data.tokenization.encoder import MIN_BYTES_FOR_CORE, TextEncoder, is_ready
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlmfast.data.tokenization.loaded import LoadedTokenizer

_READING = {each.name for each in fields(ReadOptions)}
_SCHEMA = pa.schema([("text", pa.large_string())])


@dataclass(frozen=True)
class SampleTexts:
    """Documents in a file of Arrow."""

    file: Path
    texts: int
    bytes: int
    """Their size in UTF-8."""

    def batches(self) -> Iterator[pa.LargeStringArray]:
        """Yield the documents in their order."""
        with pa.memory_map(str(self.file)) as source:
            reader = pa.ipc.open_file(source)
            for at in range(reader.num_record_batches):
                yield reader.get_batch(at).column(0)

    def first(self, most: int) -> pa.Table:
        """Return the first documents of about `most` bytes as a table, one document at least."""
        kept, size = [], 0
        for batch in self.batches():
            for row in range(len(batch)):
                kept.append(batch[row].as_py())
                size += len(kept[-1].encode())
                if size >= most:
                    return pa.table({"text": pa.array(kept, pa.large_string())})
        return pa.table({"text": pa.array(kept, pa.large_string())})

    def encoder(self, loaded: LoadedTokenizer) -> TextEncoder:
        """Return the encoder for these texts: the library's for few, to which the core is equal."""
        few = self.bytes < MIN_BYTES_FOR_CORE and not is_ready(loaded)
        return TextEncoder(loaded, engine="library" if few else "auto")


def read_sample(inputs: Any, file: Path, reading: dict[str, Any], *, name: str) -> SampleTexts:
    """Read texts from whatever `mlmfast.prepare` reads, and write them to a file.

    Args:
        inputs: as `mlmfast.prepare` takes them.
        file: the file to write.
        reading: options of `mlmfast.prepare` that say what is read and how.
        name: the option that names the texts, for errors.

    Raises:
        InputError: an option is unknown, or there is no text.
        NotFoundError: a file or a data set does not exist.
    """
    if unknown := reading.keys() - set(SOURCE_OPTIONS):
        raise InputError(
            f"{', '.join(sorted(unknown))}: no option for reading texts; there are "
            f"{', '.join(SOURCE_OPTIONS)}."
        )
    options = ReadOptions(**{key: value for key, value in reading.items() if key in _READING})
    where = {key: value for key, value in reading.items() if key not in _READING}
    texts = size = 0
    # Compressed, since the sample may be gigabytes.
    how = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(str(file), _SCHEMA, options=how) as writer:
        for array in read_texts(open_sources(inputs, **where), options):
            present = array.drop_null().cast(pa.large_string())
            if len(present):
                writer.write_batch(pa.record_batch([present], schema=_SCHEMA))
                texts += len(present)
                size += text_bytes(present)
    if not size:
        raise InputError(f"There is no text in {name}: nothing says which tokens are needed.")
    return SampleTexts(file, texts, size)

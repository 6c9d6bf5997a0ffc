"""Decompression with the fastest installed library."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

_FEED_BYTES = 1 << 18


def decompress(raw: Any, packing: str) -> Any:
    """Return a stream with `read(size)` over the decompressed bytes of `raw`.

    gzip is decompressed by `isal` if it is installed, which is two to three times as fast; the
    other formats by Arrow, or by Python for xz. Concatenated members form one stream. Damaged or
    truncated data raises OSError.

    Args:
        raw: A file of Python or Arrow, open for reading bytes.
        packing: "gzip", "zstd", "bz2", "xz" or "lz4".
    """
    if packing == "xz":
        import lzma

        return lzma.LZMAFile(raw)
    if packing == "gzip":
        try:
            from isal import isal_zlib
        except ImportError:
            pass
        else:
            return _Gzip(raw, isal_zlib)
    if not isinstance(raw, pa.NativeFile):
        raw = pa.PythonFile(raw, "r")
    return pa.CompressedInputStream(raw, packing)


def damages() -> tuple[type[Exception], ...]:
    """Return the exceptions that the libraries raise for damaged or unreadable data."""
    import lzma
    import tarfile
    import zipfile
    import zlib

    # Zip archives raise RuntimeError for encrypted files, and its subclass NotImplementedError for
    # compression methods that Python does not support.
    kinds = (lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error)
    return (OSError, EOFError, RuntimeError, *kinds)


class _Gzip:
    """Decompresses consecutive gzip members, with a library that has zlib's interface."""

    def __init__(self, raw: Any, library: Any) -> None:
        self._raw = raw
        self._library = library
        self._member = library.decompressobj(wbits=31)
        self._packed = b""

    def read(self, size: int = -1) -> bytes:
        parts = []
        while size and (part := self._part(size)):
            parts.append(part)
            if size > 0:
                size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _part(self, size: int) -> bytes:
        """Return the next bytes, at most `size` if it is positive; b"" at the end."""
        while True:
            if self._member.eof and not self._next_member():
                return b""
            if not self._packed:
                self._packed = self._raw.read(_FEED_BYTES)
            ended = not self._packed
            try:
                part = self._member.decompress(self._packed, max(size, 0))
            except self._library.error as error:
                raise OSError(str(error)) from error
            self._packed = (
                self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            )
            if part:
                return part
            if ended and not self._member.eof:
                raise OSError("the file ends before its gzip data do")

    def _next_member(self) -> bool:
        """Start the next member; False at the end. Zero bytes may follow a member, as on tapes."""
        while not self._packed.lstrip(b"\0"):
            self._packed = self._raw.read(_FEED_BYTES)
            if not self._packed:
                return False
        self._packed = self._packed.lstrip(b"\0")
        self._member = self._library.decompressobj(wbits=31)
        return True

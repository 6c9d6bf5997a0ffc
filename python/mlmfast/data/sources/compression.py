"""Unpacking what is compressed, by the fastest library that is there."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

_FEED_BYTES = 1 << 18


def decompress(raw: Any, packing: str) -> Any:
    """Return a stream with `read(size)` over the unpacked bytes of `raw`.

    gzip goes through `isal` where that is installed, which is two to three times as fast; all else
    through Arrow. Members that follow each other are one stream. What is damaged or cut off raises
    OSError.

    Args:
        raw: A file, open for reading bytes, of Python's or Arrow's.
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
    """Return what the libraries raise where packed bytes are damaged, or cannot be read."""
    import lzma
    import tarfile
    import zipfile
    import zlib

    # Zip archives raise RuntimeError for what is encrypted, and NotImplementedError, which is one,
    # for a method of packing that Python does not know.
    kinds = (lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error)
    return (OSError, EOFError, RuntimeError, *kinds)


class _Gzip:
    """Gzip members, one after the other, by a library with zlib's interface."""

    def __init__(self, raw: Any, library: Any) -> None:
        self._raw = raw
        self._library = library
        self._member = library.decompressobj(wbits=31)
        self._packed = b""
        self._begun = False

    def read(self, size: int = -1) -> bytes:
        parts = []
        while size and (part := self._part(size)):
            parts.append(part)
            if size > 0:
                size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _part(self, size: int) -> bytes:
        """Return the next bytes, `size` at most where it is positive; none at the end."""
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
            self._begun = True
            self._packed = (
                self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            )
            if part:
                return part
            if ended and not self._member.eof:
                raise OSError("the file ends before its gzip data do")

    def _next_member(self) -> bool:
        """Go on to the next member; False at the end. Zeros may follow a member, as on tapes."""
        while not self._packed.lstrip(b"\0"):
            self._packed = self._raw.read(_FEED_BYTES)
            if not self._packed:
                return False
        self._packed = self._packed.lstrip(b"\0")
        self._member = self._library.decompressobj(wbits=31)
        return True

"""Detecting compression, archives and binary formats by the first bytes of a file."""

from __future__ import annotations

import codecs

from mlmfast.errors import InputError

HEAD_BYTES = 1 << 16
"""Number of bytes that are examined."""
_TAR_BYTES = 512
_UTF16_BYTES = 512

_PACKED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "xz",
    b"\x04\x22\x4d\x18": "lz4",
}
SUFFIXES = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz", ".lz4": "lz4"}
"""How a file is packed by its name; its first bytes must agree."""
_BZ2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_LFS = b"version https://git-lfs.github.com/spec/"
_UNSUPPORTED = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"LZIP": "packed by lzip",
    b"\x1f\x9d": "packed by compress",
}
_NOT_TEXT = {
    b"PAR1": "a Parquet file: use --format parquet (format='parquet')",
    b"ARROW1\0\0": "an Arrow file: use --format arrow (format='arrow')",
    b"%PDF-": "a PDF: take the text out of it first, for example with docling or pdftotext",
    b"SQLite format 3\0": "an SQLite database, not text",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, not text",
    b"\x89PNG\r\n\x1a\n": "a picture, not text",
    b"\xff\xd8\xff": "a picture, not text",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "a document of an office program, not text",
    b"\x7fELF": "a program, not text",
}


def compression_of(head: bytes) -> str | None:
    """Return the compression of a file that begins with `head`; None if there is no known one."""
    for magic, name in _PACKED.items():
        if head.startswith(magic) and (name != "bz2" or head[4:10] in _BZ2_BLOCKS):
            return name
    after = _after_skippable(head)
    if after is None:
        return None
    # zstd and lz4 share the format of skippable frames; pzstd starts every file with one.
    return compression_of(after) or "zstd"


def archive_of(head: bytes) -> str | None:
    """Return "zip" or "tar"; None if `head` is the start of neither."""
    import tarfile

    if head.startswith(_ZIP):
        return "zip"
    try:
        tarfile.TarInfo.frombuf(head[:_TAR_BYTES], tarfile.ENCODING, "surrogateescape")
    except tarfile.TarError:
        return None
    return "tar"


def check_readable(head: bytes, name: str) -> None:
    """Raise InputError for unsupported formats, and for pointers of Git LFS."""
    if head.startswith(_LFS):
        raise InputError(
            f"{name!r} is a pointer of Git LFS, not the file itself: fetch that by `git lfs pull` "
            "in the repository."
        )
    for magic, what in _UNSUPPORTED.items():
        if head.startswith(magic):
            raise InputError(f"{name!r} is {what}, which cannot be read here: unpack it first.")


def check_text(head: bytes, name: str) -> None:
    """Raise InputError if `head` is not the start of text in UTF-8 or a similar encoding."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or _is_bare_utf16(head):
        raise InputError(
            f"{name!r} is UTF-16 or UTF-32 text. Convert it first: "
            "iconv -f UTF-16 -t UTF-8 FILE > NEW."
        )
    for magic, what in _NOT_TEXT.items():
        if head.startswith(magic):
            raise InputError(f"{name!r} is {what}.")


def _after_skippable(head: bytes) -> bytes | None:
    """Return the bytes after a skippable frame; None if `head` does not start with one."""
    if len(head) < 8 or head[1:4] != b"\x2a\x4d\x18" or head[0] & 0xF0 != 0x50:
        return None
    return head[8 + int.from_bytes(head[4:8], "little") :]


def _is_bare_utf16(head: bytes) -> bool:
    """Whether this looks like UTF-16 without a byte order mark, in a mostly Latin script."""
    head = head[:_UTF16_BYTES]
    pairs = len(head) // 2
    counts = sorted(head[first::2].count(0) for first in (0, 1))
    return pairs >= 8 and counts[0] == 0 and counts[1] > 0.7 * pairs

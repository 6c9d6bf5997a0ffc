"""Which shared libraries a library needs and the loader does not find: all of them at once.

The loader's own message names the first one only, so that one would install them one by one.
"""

from __future__ import annotations

import ctypes
import re
import struct
from pathlib import Path

_LOAD, _DYNAMIC = 1, 2
_NEEDED, _STRING_TABLE = 1, 5


def missing_libraries(library: Path) -> list[str]:
    """Return the names of the missing shared libraries that `library` needs."""
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        message = str(error)
    else:
        return []
    missing = named_in(message)
    beside = {entry.name for entry in library.parent.iterdir()} if library.exists() else set()
    for name in needed_libraries(library):
        if name not in beside and not _loads(name) and name not in missing:
            missing.append(name)
    return missing


def named_in(message: str) -> list[str]:
    """Return the libraries that the loader's message names as missing."""
    names = re.findall(r"([\w.+-]+\.so[\w.]*): cannot open shared object", message)
    return list(dict.fromkeys(names))


def needed_libraries(library: Path) -> list[str]:
    """Return the DT_NEEDED names of a 64-bit little-endian ELF file; [] for any other file.

    See `man 5 elf`.
    """
    try:
        with library.open("rb") as file:
            header = file.read(64)
            if header[:6] != b"\x7fELF\x02\x01":
                return []
            start, size, count = (
                *struct.unpack_from("<Q", header, 32),
                *struct.unpack_from("<HH", header, 54),
            )
            file.seek(start)
            segments = [struct.unpack("<IIQQQQQQ", file.read(56)) for _ in range(count)]
            if size != 56:
                return []
            _, _, offset, _, _, length, _, _ = next(s for s in segments if s[0] == _DYNAMIC)
            file.seek(offset)
            entries = list(struct.iter_unpack("<qQ", file.read(length // 16 * 16)))
            table = next(value for tag, value in entries if tag == _STRING_TABLE)
            base = next(
                table - address + place
                for kind, _, place, address, _, extent, _, _ in segments
                if kind == _LOAD and address <= table < address + extent
            )
            names = []
            for tag, value in entries:
                if tag == _NEEDED:
                    file.seek(base + value)
                    names.append(file.read(256).partition(b"\0")[0].decode("utf-8", "replace"))
            return names
    except (OSError, StopIteration, struct.error):
        return []


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True

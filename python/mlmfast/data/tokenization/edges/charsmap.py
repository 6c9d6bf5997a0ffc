"""Reading the keys of SentencePiece's precompiled map of characters."""

from __future__ import annotations

import base64
import binascii

import numpy as np

_MOST_NODES = 60_000
_HAS_LEAF = 1 << 8
_EXTENDED = 1 << 9
# The bits of a node that name the byte that leads to it; the highest is set in leaves.
_LABEL = 0x800000FF
_BYTES = np.arange(1, 256, dtype=np.int64)


def keys_of(charsmap: str) -> list[str]:
    """Return the keys of several characters, which no comparison of single ones tries.

    Args:
        charsmap: The map as tokenizer.json holds it: a double array and texts, in base64.
    """
    try:
        content = base64.b64decode(charsmap)
        size = int.from_bytes(content[:4], "little")
        units = np.frombuffer(content, np.uint32, size // 4, offset=4).astype(np.int64)
    except (binascii.Error, ValueError):
        return []
    keys: list[str] = []
    todo = [(0, b"")] if len(units) else []
    nodes = 0
    while todo and nodes < _MOST_NODES:
        nodes += 1
        node, key = todo.pop()
        unit = int(units[node])
        children = node ^ (unit >> 10 << ((unit & _EXTENDED) >> 6)) ^ _BYTES
        children = np.where(children < len(units), children, 0)
        for byte in _BYTES[(units[children] & _LABEL) == _BYTES].tolist():
            child = int(children[byte - 1])
            longer = key + bytes([byte])
            todo.append((child, longer))
            if units[child] & _HAS_LEAF:
                text = longer.decode(errors="ignore")
                keys += [text] if len(text) > 1 else []
    return keys

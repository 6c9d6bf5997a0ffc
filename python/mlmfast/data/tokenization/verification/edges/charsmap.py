"""Reading the keys of SentencePiece's precompiled map of characters."""

from __future__ import annotations

import base64
import binascii
import random

import numpy as np

_MOST_NODES = 60_000
_HAS_LEAF = 1 << 8
_EXTENDED = 1 << 9
# The bits of a node that name the byte that leads to it; the highest is set in leaves.
_LABEL = 0x800000FF
_BYTES = np.arange(1, 256, dtype=np.int64)


def keys_of(charsmap: str) -> list[str]:
    """Return keys of several characters, which no comparison of single ones tries.

    Of a large map they are a sample, the same in every process.

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
    draw = random.Random(5)  # noqa: S311 - no secret
    for _ in range(_MOST_NODES):
        if not todo:
            break
        at = draw.randrange(len(todo))
        todo[at], todo[-1] = todo[-1], todo[at]
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

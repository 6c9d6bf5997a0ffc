"""File descriptors: each connection is one."""

from __future__ import annotations

import contextlib
import logging

from mlmfast.serving.http.sockets.acceptor import RESERVE

logger = logging.getLogger("mlmfast.serve")

# Files, sockets and pipes that are no connections.
_OTHERS = 128
_MIN_CONNECTIONS = 16


def connections_allowed(wanted: int) -> int:
    """Raise this process's limit of descriptors as far as needed and allowed.

    Returns:
        How many connections fit below the limit, `wanted` at most.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVE + _OTHERS
    if soft != resource.RLIM_INFINITY and soft < needed:
        new = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (new, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    allowed = min(wanted, max(_MIN_CONNECTIONS, soft - RESERVE - _OTHERS))
    logger.warning(
        "the limit of %d open files (ulimit -n) allows %d connections, not the %d of "
        "--max-connections",
        soft,
        allowed,
        wanted,
    )
    return allowed

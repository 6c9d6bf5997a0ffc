"""Which connections have sent something that the event loop has not read yet.

A connection that waits for a request, as far as the event loop knows, may have one in the kernel:
a busy loop reads it late. Closing such a connection loses the request and resets the client.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable


class HasFileno(Protocol):
    """A connection whose socket is known by its descriptor."""

    def fileno(self) -> int:
        """Return the descriptor of its socket; -1 once it is closed."""


Each = TypeVar("Each", bound=HasFileno)


def with_unread(connections: Iterable[Each]) -> set[Each]:
    """Return those with unread bytes, or whose client has closed: the next turn reads either."""
    by_descriptor = {one.fileno(): one for one in connections}
    by_descriptor.pop(-1, None)
    poll = select.poll()
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    return {by_descriptor[descriptor] for descriptor, _ in poll.poll(0)}

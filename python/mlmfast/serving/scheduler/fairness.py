"""Who is next: masked texts get virtual times at which it is their turn, so that clients share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmfast.serving.scheduler.request import InferenceRequest

# How much longer than in order of arrival the last text of a large request may take, because
# smaller requests of the same client pass it.
_MAX_SLOWDOWN = 4.0


@dataclass(slots=True)
class _Client:
    """What one client has in the queue.

    Attributes:
        tokens: tokens of its masked texts.
        of_requests: those of each request.
    """

    tokens: int = 0
    of_requests: dict[InferenceRequest, int] = field(default_factory=dict)


class VirtualClock:
    """Gives each masked text the virtual time of its turn: self-clocked fair queueing.

    The clock stands at the time of the masked text that led the latest batch. The texts of a
    request follow each other from there, at distances that grow with their lengths and with the
    number of requests that its client has in the queue, and shrink with its weight. So clients
    share the batches equally whatever the sizes of their requests, the requests of one client share
    its part, and a lone text is behind the next text of every other request and not behind all.
    Since the clock only advances, every text becomes the earliest one some time.

    Attributes:
        now: the time of the clock.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._clients: dict[str, _Client] = {}

    def enter(self, request: InferenceRequest, tokens: int) -> float:
        """Return the time of a request's next masked text, which is put into the queue."""
        share = request.share
        client = self._clients.setdefault(share.client, _Client())
        before = client.of_requests.get(request, 0)
        client.of_requests[request] = before + tokens
        own = max(request.masked_tokens, 1)
        in_order = (client.tokens - before + own) / own
        client.tokens += tokens
        distance = tokens * min(len(client.of_requests), _MAX_SLOWDOWN * in_order)
        request.turn = max(self.now, request.turn) + distance / share.weight
        return request.turn

    def leave(self, request: InferenceRequest, tokens: int) -> None:
        """Note that a masked text has left the queue."""
        client = self._clients[request.share.client]
        client.tokens -= tokens
        client.of_requests[request] -= tokens
        if not client.of_requests[request]:
            del client.of_requests[request]
        if not client.of_requests:
            del self._clients[request.share.client]

    def requests(self) -> Iterator[InferenceRequest]:
        """Return the requests that have masked texts in the queue."""
        return (request for client in self._clients.values() for request in client.of_requests)

    def advance(self, turn: float) -> None:
        """Advance to the time of the masked text that leads a batch."""
        self.now = max(self.now, turn)

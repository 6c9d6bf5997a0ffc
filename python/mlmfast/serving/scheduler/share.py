"""Whose a request is, and how large a share of the batches it gets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """Whose a request is, and how large a share of the batches it gets.

    Attributes:
        client: whose it is. All requests of one client together get one share.
        weight: how many times as large the share is as that of a request with weight 1.
    """

    client: str = ""
    weight: float = 1.0


ONE_SHARE = Share()
"""The share of a client that has no name."""

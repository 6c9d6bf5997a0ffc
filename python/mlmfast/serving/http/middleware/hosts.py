"""The `Host` header: there must be one, and it may have to name this server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmfast.serving.http.errors import HTTPError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Scope

# Load balancers and scrapers call these by addresses that nobody knows beforehand.
_ANY_HOST = frozenset({"/health", "/v2/health/live", "/v2/health/ready", "/metrics"})


class AllowedHosts:
    """Refuse requests to other hosts.

    A page on another site can point its own name at a server within its visitors' network, and
    then read the answers (DNS rebinding). Such requests carry that name.

    Args:
        names: names without a port, where `*.` stands for any subdomain; empty: any name.
    """

    def __init__(self, names: Sequence[str]):
        lower = [name.lower().removesuffix(".") for name in names]
        self._names = frozenset(lower)
        self._suffixes = tuple(name[1:] for name in lower if name.startswith("*."))

    def check(self, scope: Scope) -> None:
        """Check the host of a request.

        Raises:
            HTTPError: it names no host or several (status 400), or another one (421).
        """
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        # https://www.rfc-editor.org/rfc/rfc9112#section-3.2
        if len(hosts) > 1 or (not hosts and scope.get("http_version") == "1.1"):
            raise HTTPError(
                400,
                "bad_host",
                f"The request has {len(hosts)} Host headers, and must have one.",
                close=True,
            )
        if self._names and scope["path"] not in _ANY_HOST:
            name = _name_of(hosts[0].decode("latin-1")) if hosts else ""
            if name not in self._names and not (self._suffixes and name.endswith(self._suffixes)):
                raise HTTPError(
                    421, "wrong_host", f"This server does not answer for the host {name[:100]!r}."
                )


def _name_of(host: str) -> str:
    """Return a host without its port."""
    name = host.strip().lower()
    if name.startswith("["):  # an address of IPv6
        return name[1:].partition("]")[0]
    return name.partition(":")[0].removesuffix(".")

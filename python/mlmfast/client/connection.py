"""How a client reaches its server: address, key, headers and times, and the errors of httpx."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmfast.client.exchange import LATE
from mlmfast.errors import InputError, MissingDependencyError, ServerError, first_line
from mlmfast.options import check_choice

if TYPE_CHECKING:
    from types import ModuleType

    import httpx

# The least that a response may take longer than the server was given for it.
_GRACE_SECONDS = 5.0
_CONNECT_SECONDS = 10.0


def load_httpx() -> ModuleType:
    """Import httpx.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import httpx
    except ImportError as error:
        raise MissingDependencyError(
            "mlmfast.Client needs httpx, which is not installed: pip install 'mlmfast[client]'."
        ) from error
    return httpx


def client_arguments(
    url: str, *, api_key: str | None, timeout: float, priority: str | None
) -> dict[str, Any]:
    """Return the arguments for `httpx.Client` and `httpx.AsyncClient`.

    Raises:
        InputError: the URL, the key or the time cannot be used.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"The URL of a server begins with http:// or https://; got {url!r}.")
    if not timeout > 0:
        raise InputError(f"timeout must be above 0 seconds, and is {timeout:g}.")
    headers = {"x-request-timeout": f"{timeout:.3f}", "content-type": "application/json"}
    if api_key is not None:
        key = api_key.strip()
        if not key or not key.isascii() or not key.isprintable():
            raise InputError("api_key must be ASCII text, and not empty.")
        headers["authorization"] = f"Bearer {key}"
    if priority is not None:
        check_choice("priority", priority, ("high", "normal", "low"))
        headers["x-priority"] = priority
    times = load_httpx().Timeout(timeout + _GRACE_SECONDS, connect=_CONNECT_SECONDS)
    return {"base_url": url, "headers": headers, "timeout": times}


def transport_error(error: httpx.TransportError, url: str) -> ServerError:
    """Return the error for one of httpx."""
    httpx = load_httpx()
    late = isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout)
    return ServerError(
        f"The server {url} did not answer: {first_line(error)}.", reason=LATE if late else None
    )

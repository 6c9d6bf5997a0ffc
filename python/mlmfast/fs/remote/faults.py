"""What goes wrong with files at URLs: which errors another try may cure, and what messages say."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from mlmfast.errors import InputError, MlmfastError, NotFoundError, first_line
from mlmfast.fs.remote.urls import redacted, scheme_of, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

ATTEMPTS = 4
"""How often an operation is tried in all; the libraries below try some again themselves."""
FIRST_PAUSE = 0.25
"""Seconds before the second try; the pause doubles from try to try."""

_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile of ~/.aws",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or `gcloud auth application-default login`",
    "abfs": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "hf": "HF_TOKEN, or `hf auth login`",
}
_ALIASES = {"s3a": "s3", "gcs": "gs", "abfss": "abfs", "az": "abfs"}
_DENIED = ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError")
_DENIED_STATUS = (401, 403)
_ABSENT_STATUS = (404, 410)


class ShortReadError(OSError):
    """A connection ended before all bytes had come."""


def retried(
    operation: Callable[[], Result], url: str, wanted: Callable[[], bool] = lambda: True
) -> Result:
    """Call `operation`, again after errors that another try may cure.

    Args:
        operation: What to call.
        url: What messages name.
        wanted: Whether somebody still waits for the result; without that, no error is tried again.

    Raises:
        NotFoundError: There is nothing at `url`.
        InputError: It cannot be reached, or the credentials do not allow it.
    """
    with named(url):
        for attempt in range(1, ATTEMPTS):
            try:
                return operation()
            except Exception as error:
                reason = _reason(error)
                if is_final(reason) or not wanted():
                    raise
                pause = FIRST_PAUSE * 2 ** (attempt - 1)
                logger.info("%s: %s; trying again in %.2g s", shown(url), _said(reason), pause)
                time.sleep(pause)
        return operation()


def is_final(error: Exception) -> bool:
    """Whether an error comes again with every try."""
    kinds = (MlmfastError, FileNotFoundError, FileExistsError, IsADirectoryError, ValueError)
    return isinstance(error, kinds) or _is_denied(error)


@contextmanager
def named(url: str) -> Iterator[None]:
    """Turn the errors of a file system into errors of mlmfast that name the URL."""
    try:
        yield
    except MlmfastError:
        raise
    except Exception as error:  # each file system has errors of its own
        reason = _reason(error)
        if isinstance(reason, FileNotFoundError):
            raise NotFoundError(
                f"There is nothing at {shown(url)!r}: no such bucket, folder or file."
            ) from error
        what = _said(reason)
        if _is_denied(reason):
            scheme = scheme_of(url)
            given = _CREDENTIALS.get(_ALIASES.get(scheme, scheme))
            advice = f"Check the credentials: {given}" if given else "Check the credentials"
            raise InputError(f"{shown(url)!r} may not be accessed: {what}. {advice}.") from error
        raise InputError(f"{shown(url)!r} cannot be accessed: {what}.") from error


def _said(reason: Exception) -> str:
    """Return the first line of an error; libraries write whole URLs into theirs."""
    return redacted(first_line(reason)).rstrip(".")


def _reason(error: Exception) -> Exception:
    """Return what is behind an error: fsspec calls any failed look-up on the web a missing file."""
    cause = error.__cause__
    if not isinstance(error, FileNotFoundError) or not isinstance(cause, Exception):
        return error
    of_web = isinstance(cause, OSError) or type(cause).__module__.startswith("aiohttp")
    return cause if of_web and getattr(cause, "status", 0) not in _ABSENT_STATUS else error


def _is_denied(error: Exception) -> bool:
    status = getattr(error, "status", None)
    return (
        isinstance(error, PermissionError)
        or type(error).__name__ in _DENIED
        or status in _DENIED_STATUS
    )

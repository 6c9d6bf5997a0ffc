"""API keys: their names, their limits, and the file that they come from."""

from __future__ import annotations

import hmac
import logging
import math
import re
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlmfast.errors import InputError, MlmfastError, NotFoundError
from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.scheduler.queue import QueueFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mlmfast.serving.http.settings import ServeSettings

logger = logging.getLogger("mlmfast.serve")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# What a key on the command line or in the environment is called.
_UNNAMED = "default"


class KeyBusyError(QueueFullError):
    """A key has as many texts in hand as it may have."""

    reason = "key_texts"


@dataclass(eq=False)
class ApiKey:
    """A key, its limits, and how much of them is in use.

    Attributes:
        name: what logs and metrics call its holder.
        secret: what its holder sends.
        requests_per_second: how many requests it may send, after a first second's worth at once;
            None: any number.
        max_texts: texts that it may have in hand; None: as many as the queue takes.
        texts: texts that it has in hand.
    """

    name: str
    secret: bytes
    requests_per_second: float | None = None
    max_texts: int | None = None
    texts: int = field(default=0, init=False)
    _allowance: float = field(default=math.inf, init=False)
    _counted: float = field(default_factory=time.monotonic, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def count_request(self) -> None:
        """Count a request.

        Raises:
            HTTPError: it is one too many for now.
        """
        rate = self.requests_per_second
        if rate is None:
            return
        with self._lock:
            now = time.monotonic()
            most = max(1.0, rate)
            self._allowance = min(most, self._allowance + (now - self._counted) * rate)
            self._counted = now
            if self._allowance < 1:
                raise HTTPError(
                    429,
                    "key_rate",
                    f"The key {self.name} may send {rate:g} requests a second: try again later.",
                    retry_after=math.ceil((1 - self._allowance) / rate),
                )
            self._allowance -= 1

    def take_texts(self, texts: int) -> None:
        """Count texts that are in hand from now on.

        Raises:
            HTTPError: a request may not have so many.
            KeyBusyError: they are too many for now.
        """
        with self._lock:
            if self.max_texts is not None and self.texts + texts > self.max_texts:
                limit = f"The key {self.name} may have {self.max_texts:,} texts in progress"
                if texts > self.max_texts:
                    raise HTTPError(
                        422, "too_many_texts", f"{limit}, and the request has {texts:,}."
                    )
                raise KeyBusyError(f"{limit}, and has {self.texts:,}: try again later.", 1)
            self.texts += texts

    def release_texts(self, texts: int) -> None:
        """Count texts no longer."""
        with self._lock:
            self.texts -= texts


class ApiKeys:
    """The keys of a server; those of a file are read again by `reload`.

    Raises:
        InputError: a line of the file cannot be used.
        NotFoundError: there is no such file.
    """

    def __init__(self, settings: ServeSettings):
        self._file = settings.api_key_file
        self._fixed = [
            ApiKey(_UNNAMED if number == 1 else f"{_UNNAMED}-{number}", key.encode())
            for number, key in enumerate(settings.api_keys, 1)
        ]
        self._keys = [*self._fixed, *(read_key_file(self._file) if self._file else ())]
        self.required = settings.needs_key

    def holder(self, authorization: bytes) -> ApiKey:
        """Return the key that an `Authorization` header holds.

        Raises:
            HTTPError: it holds none of them.
        """
        kind, _, secret = authorization.partition(b" ")
        secret = secret.strip()
        # All keys are compared, so that the time does not reveal which one was similar.
        found = [key for key in self._keys if hmac.compare_digest(secret, key.secret)]
        if kind.lower() != b"bearer" or not found:
            raise HTTPError(
                401, "unauthorized", "This server requires a key: send Authorization: Bearer KEY."
            )
        return found[0]

    def reload(self) -> None:
        """Read the file again; one that cannot be used leaves the keys as they were."""
        if self._file is None:
            return
        try:
            keys = read_key_file(self._file)
        except MlmfastError as error:
            logger.error("the keys were not reloaded: %s", error)  # noqa: TRY400
            return
        known = {key.secret: key for key in self._keys}
        for number, new in enumerate(keys):
            old = known.get(new.secret)
            if old is not None:  # what it has in use still counts
                old.name = new.name
                old.requests_per_second, old.max_texts = new.requests_per_second, new.max_texts
                keys[number] = old
        self._keys = [*self._fixed, *keys]
        logger.info("the keys were reloaded", extra={"fields": {"keys": len(self._keys)}})


def read_key_file(file: Path) -> list[ApiKey]:
    """Read a file of keys, one a line: KEY, or NAME KEY [requests_per_second=N] [max_texts=N].

    Empty lines and those that begin with # are left out.

    Raises:
        InputError: a line cannot be used, or there is no key.
        NotFoundError: there is no such file.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise NotFoundError(f"There is no file of keys {file}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The file of keys {file} cannot be read: {error}.") from error
    keys = [
        _key(line.split(), f"line {number} of the keys {file}", number)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not keys:
        raise InputError(f"The file of keys {file} is empty.")
    names = [key.name for key in keys]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"Two lines of the keys {file} have the name {twice!r}.")
    if len({key.secret for key in keys}) < len(keys):
        raise InputError(f"Two lines of the keys {file} have the same key.")
    return keys


def _key(words: Sequence[str], where: str, number: int) -> ApiKey:
    """Make a key from the words of a line; no message repeats a key."""
    name, secret, *limits = words if len(words) > 1 else (f"key-{number}", words[0])
    if not _NAME.fullmatch(name):
        raise InputError(
            f"The name in {where} must be letters, digits, '.', '_' and '-', at most 64 of them."
        )
    if not secret.isascii():
        raise InputError(f"The key in {where} must be ASCII text.")
    key = ApiKey(name, secret.encode())
    for limit in limits:
        option, _, value = limit.partition("=")
        if option not in _LIMITS:
            raise InputError(
                f"{where} has the limit {option[:40]!r}, and there is {' and '.join(_LIMITS)}."
            )
        try:
            count = _LIMITS[option](value)
        except ValueError:
            count = 0
        if not 0 < count <= _MOST:
            raise InputError(
                f"{option} in {where} must be a number above 0, and is {value[:40]!r}."
            )
        setattr(key, option, count)
    return key


_LIMITS: dict[str, Callable[[str], float]] = {"requests_per_second": float, "max_texts": int}
_MOST = 1_000_000

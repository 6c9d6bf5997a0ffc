"""The one tree of errors.

Every error that mlmfast raises on purpose is a `MlmfastError`, and also the built-in a Python
programmer would expect (`ValueError`, `FileNotFoundError` ...), so that either can be caught.
The command line prints the message of a `MlmfastError` as one sentence and exits with status 2.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class MlmfastError(Exception):
    """Base of all errors raised by mlmfast. The message names the value and says what to do."""


def first_line(error: BaseException, lines: int = 1) -> str:
    """Quote a library's error: its first line, or the name of its type where it says nothing.

    Args:
        error: the error.
        lines: how many lines to quote, joined by blanks.
    """
    text = str(error).strip() or type(error).__name__
    return " ".join(line.strip() for line in text.splitlines()[:lines])


def first_sentence(error: BaseException, lines: int = 1) -> str:
    """Quote a library's error as `first_line` does, ended by a full stop."""
    line = first_line(error, lines)
    return line if line.endswith((".", "!", "?")) else f"{line}."


class InputError(MlmfastError, ValueError):
    """A value, an option, a text or a file's content that cannot be used as it is."""

    def prefixed(self, prefix: str) -> Self:
        """Return the same error with `prefix` before its message, to say what it is about."""
        error = copy(self)
        error.args = (f"{prefix} {self}",)
        return error


class NotFoundError(MlmfastError, FileNotFoundError):
    """A file, a folder or a name that does not exist."""

    # FileNotFoundError would format its arguments as an OSError.
    def __str__(self) -> str:
        return str(self.args[0])


class OutputExistsError(MlmfastError, FileExistsError):
    """The output exists, and `overwrite` was not given."""

    def __str__(self) -> str:
        return str(self.args[0])


class StoreError(InputError):
    """A folder that is no block store, is damaged, or has another format version."""


class MissingDependencyError(MlmfastError, ImportError):
    """An optional package is not installed; the message names the extra that installs it."""


class ExportMismatchError(MlmfastError, RuntimeError):
    """The exported graph does not compute what the checkpoint computes."""


class NoMaskError(InputError):
    """A text without the model's mask token; the message names the token to write."""


class TooManyTokensError(InputError):
    """A text with more tokens than the model takes.

    Attributes:
        tokens: tokens of the text, special tokens included.
        max_tokens: tokens that the model takes.
    """

    def __init__(self, message: str, tokens: int = 0, max_tokens: int = 0):
        super().__init__(message)
        self.tokens = tokens
        self.max_tokens = max_tokens


class InputTypeError(MlmfastError, TypeError):
    """A value of a type that cannot be used."""


class NonFiniteLossError(MlmfastError, ArithmeticError):
    """The loss of a training is NaN or Inf; the message names the step and its blocks.

    Attributes:
        step: the optimizer step, counted from 0.
        epoch: its epoch, counted from 0.
        block_ids: its blocks, those of all processes, in their order.
    """

    def __init__(self, message: str, *, step: int, epoch: int, block_ids: list[int]) -> None:
        super().__init__(message)
        self.step = step
        self.epoch = epoch
        self.block_ids = block_ids


class DeviceMemoryError(MlmfastError, MemoryError):
    """The device has too little memory; the message names a batch size that would fit."""


class DeviceNotFoundError(MlmfastError):
    """The machine has no device of the kind that was asked for."""


class OtherProcessError(MlmfastError, RuntimeError):
    """Another process of the same training failed, and reports why; this one ends too."""


class ServerError(MlmfastError, ConnectionError):
    """A server that cannot be reached, refuses a request, or fails to answer it.

    Attributes:
        status: the HTTP status; None where there was no response.
        reason: the server's word for programs, such as "queue_full" or "unauthorized".
        request_id: the id under which the server has logged the request.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        reason: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.request_id = request_id


def is_panic(error: BaseException) -> bool:
    """Whether an extension written in Rust panicked; no module exports the class of that error."""
    return type(error).__name__ == "PanicException"

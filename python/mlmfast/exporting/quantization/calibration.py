"""The texts that a lower precision is judged on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlmfast.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_texts(given: str | Path | Sequence[str] | None) -> list[str] | None:
    """Read a text file, one text a line without the blank ones, or take the texts that are given.

    Raises:
        NotFoundError: there is no such file.
        InputError: it is no UTF-8 text, or holds no text.
    """
    if given is None:
        return None
    if not isinstance(given, (str, Path)):
        texts = [*given]
        if not texts or not all(isinstance(text, str) for text in texts):
            raise InputError("The calibration texts must be strings, at least one.")
        return texts
    path = Path(given)
    if not path.is_file():
        raise NotFoundError(f"There is no file {path} to take calibration texts from.")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not valid UTF-8 (byte {error.start}).") from error
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise InputError(f"{path} holds no text: calibration takes one text a line.")
    return texts

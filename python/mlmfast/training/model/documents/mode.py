"""Whether attention stays inside documents: the option `documents`."""

from __future__ import annotations

from typing import Literal, get_args

from mlmfast.errors import InputError

DocumentMode = Literal["separate", "joined"]


def check_document_mode(documents: str | None) -> DocumentMode | None:
    """Return the option, checked.

    Raises:
        InputError: it is neither `separate` nor `joined`, nor None.
    """
    if documents is not None and documents not in get_args(DocumentMode):
        raise InputError(f"documents is {documents!r}; expected separate or joined.")
    return documents  # type: ignore[return-value]

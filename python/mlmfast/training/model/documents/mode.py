"""Whether attention stays inside documents: the option `documents`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, get_args

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.store.store import BlockStore

logger = logging.getLogger(__name__)

DocumentMode = Literal["separate", "joined"]


def check_document_mode(documents: str | None) -> DocumentMode | None:
    """Return the option, checked.

    Raises:
        InputError: it is neither `separate` nor `joined`, nor None.
    """
    if documents is not None and documents not in get_args(DocumentMode):
        raise InputError(f"documents is {documents!r}; expected separate or joined.")
    return documents  # type: ignore[return-value]


def numbers_documents(store: BlockStore, documents: DocumentMode | None) -> bool:
    """Whether the batches of a store shall have `document_ids`.

    A store with one document per block needs none: its attention mask keeps padding out.

    Args:
        store: the blocks.
        documents: the option; None keeps documents apart where the store knows them.

    Raises:
        InputError: documents shall be separate, and the store does not know where they begin.
    """
    if documents == "joined" or store.manifest.packing == "none":
        return False
    if documents == "separate":
        store.check_document_starts()
    elif not store.manifest.document_starts:
        logger.info(
            "attention crosses documents: %s does not say where they begin; blocks that are "
            "prepared with this version do",
            store.path,
        )
    return store.manifest.document_starts

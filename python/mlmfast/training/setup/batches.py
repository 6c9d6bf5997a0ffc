"""What a batch holds: options that contradict each other."""

from __future__ import annotations

from typing import Any

from mlmfast.errors import InputError
from mlmfast.options import check_int


def check_batches(
    arguments: dict[str, Any],
    pack_documents: bool,
    tokens_per_batch: int | None,
    documents: str | None,
) -> None:
    """Raise InputError for options that contradict each other about what a batch holds."""
    if tokens_per_batch is not None:
        check_int("tokens_per_batch", tokens_per_batch, 1, 2**31 - 1)
        for name in ("per_device_train_batch_size", "auto_find_batch_size"):
            if arguments.get(name):
                raise InputError(
                    f"tokens_per_batch ({tokens_per_batch:,}) and {name} ({arguments[name]}) both "
                    "say how large a batch is: give one of them."
                )
    if pack_documents and documents == "joined":
        raise InputError(
            "pack_documents puts documents into a row that have nothing to do with each other: "
            "documents=joined, where attention crosses them, does not go with it."
        )
    strategy = arguments.get("train_sampling_strategy")
    if pack_documents and (arguments.get("group_by_length") or strategy == "group_by_length"):
        raise InputError(
            "group_by_length puts documents of similar length into a batch, and the rows of "
            "pack_documents are all of one length: give one of them."
        )

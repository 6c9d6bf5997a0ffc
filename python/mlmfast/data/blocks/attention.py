"""`block_diagonal_mask`: attention within the documents of a packed block."""

from __future__ import annotations

from typing import Any

from mlmfast.errors import InputTypeError


def block_diagonal_mask(document_ids: Any) -> Any:
    """Return the attention mask of blocks that hold several documents each.

    A token attends to the tokens of its own document. Padding attends to padding, since a row
    without any True would make the softmax of its position NaN.

    Args:
        document_ids: Integers [B, L], numpy or torch, from `group_blocks` with
            `boundaries="document_ids"`: -1 on padding.

    Returns:
        Booleans [B, 1, L, L] of the same library (and device), True where attention is allowed, as
        `torch.nn.functional.scaled_dot_product_attention` and the models of transformers 5 accept
        them. BERT, RoBERTa and their like in transformers 4 expect `mask[:, 0].float()`.

    Raises:
        InputTypeError: `document_ids` is not a two-dimensional array of integers.

    >>> import numpy as np
    >>> block_diagonal_mask(np.array([[0, 0, 1, -1]])).astype(int).tolist()
    [[[[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]]]
    """
    if getattr(document_ids, "ndim", None) != 2 or not hasattr(document_ids, "dtype"):
        raise InputTypeError(
            "document_ids must be a numpy array or a torch tensor [B, L]; got "
            f"{type(document_ids).__name__}"
        )
    if "int" not in str(document_ids.dtype):
        raise InputTypeError(f"document_ids must be integers; got {document_ids.dtype}")
    return document_ids[:, None, :, None] == document_ids[:, None, None, :]

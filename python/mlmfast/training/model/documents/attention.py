"""Attention inside documents, computed document by document: `DocumentMask`.

A mask `[B, 1, L, L]` alone saves nothing: the attention of all pairs is computed, and most of it is
thrown away. `DocumentMask` is such a mask that also knows the documents. Every function of torch
treats it as the tensor it is, except `scaled_dot_product_attention`, which runs on each document
separately. It reaches the attention as an argument, as any mask does, so it works in every model
that computes attention with that function, and in layers that run again in the backward pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from mlmfast.training.model.documents.layout import Documents


class DocumentMask(torch.Tensor):
    """A mask `[B, 1, L, L]` of attention inside documents, with the documents.

    Attributes:
        documents: the documents of the batch.
        plain: True if the mask separates documents and does nothing else; otherwise its values
            also matter inside of a document (a sliding window, for example).
    """

    documents: Documents
    plain: bool

    @staticmethod
    def of(values: torch.Tensor, documents: Documents, *, plain: bool) -> DocumentMask:
        """Return a mask with these values, which keep the documents apart."""
        mask = values.as_subclass(DocumentMask)
        mask.documents, mask.plain = documents, plain
        return mask

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            result = attend_inside(*args, **kwargs)
            if result is not None:
                return result
        with torch._C.DisableTorchFunctionSubclass():  # noqa: SLF001 - as torch's own subclasses do
            return func(*args, **kwargs)


def attend_inside(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor | None:
    """Attend inside each document; None to use the mask as it is.

    That is so on other devices than the CPU, and if the mask does not belong to these tensors.

    Args:
        query: `[B, H, L, D]`.
        key: the same; fewer heads with `enable_gqa`.
        value: as `key`.
        attn_mask: a `DocumentMask`.
        dropout_p: as in `scaled_dot_product_attention`, as all others.
    """
    if not isinstance(attn_mask, DocumentMask) or is_causal:
        return None
    if query.device.type != "cpu":
        return None  # elsewhere, a call for each document costs more than the mask
    documents = attn_mask.documents
    rows, length = documents.ids.shape
    if any(each.dim() != 4 or each.shape[0::2] != (rows, length) for each in (query, key, value)):
        return None
    lengths = documents.lengths
    # One split and one concatenation: their gradients are a copy each. The gradient of a slice
    # would be as large as the whole batch, for every document.
    parts = [each.transpose(1, 2).flatten(0, 1).split(lengths) for each in (query, key, value)]
    masks = [None] * len(lengths) if attn_mask.plain else _squares(attn_mask, lengths, length)
    outputs = [
        functional.scaled_dot_product_attention(
            q.transpose(0, 1)[None],
            k.transpose(0, 1)[None],
            v.transpose(0, 1)[None],
            attn_mask=mask,
            dropout_p=dropout_p,
            scale=scale,
            enable_gqa=enable_gqa,
        )[0].transpose(0, 1)
        for q, k, v, mask in zip(*parts, masks, strict=True)
    ]
    return torch.cat(outputs).unflatten(0, (rows, length)).transpose(1, 2)


def _squares(mask: DocumentMask, lengths: list[int], length: int) -> list[torch.Tensor]:
    """Cut the part of the mask out that belongs to each document, `[1, H or 1, l, l]`."""
    values = mask.as_subclass(torch.Tensor)
    squares = []
    start = 0
    for each in lengths:
        row, column = divmod(start, length)
        inside = slice(column, column + each)
        squares.append(values[row : row + 1, :, inside, inside])
        start += each
    return squares

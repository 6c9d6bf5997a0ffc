"""ESM's compensation for masks, document by document.

ESM sets the embeddings of mask tokens to zero and scales the others by the share of masks in the
row, as dropout does. In a row of several documents, each must be scaled by its own share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from mlmfast.training.model.documents.layout import Documents

# 80 % of 15 %, the share of masks in the training of all ESM models.
_SHARE_IN_TRAINING = 0.15 * 0.8


def scale_by_document(model: nn.Module, current: Callable[[], Documents | None]) -> list[Any]:
    """Register hooks on embeddings with `token_dropout`, and return their handles.

    Args:
        model: a masked language model of transformers; most have no such embeddings.
        current: returns the documents of the present call; None leaves it as it is.
    """

    def hook(module: Any, args: Any, kwargs: Any) -> Any:
        documents = current()
        ids = kwargs.get("input_ids")
        if documents is None or ids is None:
            return None
        masked = ids == module.mask_token_id
        scale = (1 - _SHARE_IN_TRAINING) / (1 - documents.share(masked))
        embeddings = module.word_embeddings(ids)
        scaled = embeddings.masked_fill(masked[..., None], 0.0) * scale[..., None]
        # With embeddings given, the module does not scale them again.
        given = {"input_ids": None, "inputs_embeds": scaled.to(embeddings.dtype)}
        return args, kwargs | given

    return [
        module.register_forward_pre_hook(hook, with_kwargs=True)
        for module in model.modules()
        if getattr(module, "token_dropout", False) is True and hasattr(module, "word_embeddings")
    ]

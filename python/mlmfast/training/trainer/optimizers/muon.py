"""Muon for the matrices of the layers and AdamW for the rest, as one optimizer: `MuonWithAdamW`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# So that an update has the size of AdamW's, and one learning rate serves both (Liu et al. 2025,
# "Muon is Scalable for LLM Training").
_ADJUSTMENT = "match_rms_adamw"


class MuonWithAdamW(torch.optim.Optimizer):
    """`torch.optim.Muon` and `torch.optim.AdamW` with one state, one schedule and one step.

    Args:
        matrices: What Muon trains, `[A, B]` each.
        others: Groups of parameters for AdamW, as torch's optimizers take them.
        lr: The learning rate of both.
        weight_decay: Decoupled weight decay of the matrices.
        betas: Of AdamW.
        eps: Of AdamW.

    Raises:
        InputError: This version of torch has no Muon.
    """

    def __init__(
        self,
        matrices: Sequence[torch.Tensor],
        others: Sequence[dict[str, Any]],
        *,
        lr: float,
        weight_decay: float,
        betas: tuple[float, float],
        eps: float,
    ) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise InputError(
                f"optim muon needs torch 2.9 or newer, and this is {torch.__version__}: update "
                "torch, or train with another optimizer."
            )
        muon = torch.optim.Muon(
            matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn=_ADJUSTMENT
        )
        adamw = torch.optim.AdamW(list(others), lr=lr, betas=betas, eps=eps)
        self._parts: tuple[torch.optim.Optimizer, ...] = (muon, adamw)
        self._first = len(muon.param_groups)
        super().__init__([*muon.param_groups, *adamw.param_groups], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        groups = (self.param_groups[: self._first], self.param_groups[self._first :])
        for part, own in zip(self._parts, groups, strict=True):
            # Loading a state replaces both.
            part.param_groups, part.state = own, self.state
            part.step()
        return loss


def matrices_of(model: Any) -> list[torch.Tensor]:
    """Return what Muon trains: the weights of the linear maps in the layers of a model.

    Embeddings and what follows the last layer (the head) are not among them.

    Args:
        model: A model of transformers.

    Raises:
        InputError: There is none.
    """
    body = getattr(model, model.base_model_prefix, model)
    tied = {
        id(module.weight) for module in body.modules() if isinstance(module, torch.nn.Embedding)
    }
    found = [
        module.weight
        for name, module in body.named_modules()
        if isinstance(module, torch.nn.Linear)
        and module.weight.requires_grad
        and "embed" not in name
        and id(module.weight) not in tied
    ]
    if not found:
        raise InputError(
            f"optim muon is for the matrices of layers, and a {model.config.model_type} model has "
            "none that are trained: train with another optimizer."
        )
    return found

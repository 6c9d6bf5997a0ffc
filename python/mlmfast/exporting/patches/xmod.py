"""X-MOD: the adapters of one language, that of the checkpoint's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError
from mlmfast.exporting.patches.forwards import replaced

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import torch


def patch(model: Any) -> AbstractContextManager[None]:
    """Replace the split of a batch by language.

    Raises:
        InputError: the configuration names no default language.
    """
    language = model.config.default_language
    if language is None:
        languages = ", ".join(model.config.languages)
        raise InputError(
            "An xmod model speaks with the adapters of one language, and its config.json names no "
            f'default one. Write one of {languages} there, as "default_language".'
        )
    return replaced(
        model, "XmodOutput", lambda module: _adapter(module, language), method="lang_adapter"
    )


def _adapter(module: Any, language: str) -> Any:
    def lang_adapter(_lang_ids: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        residual = hidden
        if module.adapter_layer_norm is not None:
            hidden = module.adapter_layer_norm(hidden)
        elif module.adapter_reuse_layer_norm:
            hidden = module.LayerNorm(hidden)
        if module.ln_before_adapter:
            residual = hidden
        return module.dropout(module.adapter_modules[language](hidden)) + residual

    return lang_adapter

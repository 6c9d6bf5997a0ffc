"""The packages by whose versions a store's bytes may differ."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING

from mlmfast.data.tokenization.python_classes.slow import SlowTokenizer

if TYPE_CHECKING:
    from mlmfast.data.tokenization.load import LoadedTokenizer


def versions_of(tokenizer: LoadedTokenizer) -> dict[str, str]:
    """Return the versions of the packages on which the blocks of a tokenizer depend."""
    packages = ["mlmfast", "tokenizers", "pyarrow"]
    if isinstance(tokenizer.tokenizer, SlowTokenizer):
        packages.append("transformers")  # whose Python code it is
    return {package: importlib.metadata.version(package) for package in packages}

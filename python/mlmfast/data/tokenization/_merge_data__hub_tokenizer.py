"""A tokenizer of the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlmfast.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable


def download(name: str, files: Iterable[str]) -> Path:
    """Return the folder of a tokenizer on the Hugging Face Hub.

    Raises:
        NotFoundError: It is not there, or the Hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    missing = f"No tokenizer {name!r}: there is no such file or folder, and "
    try:
        return Path(snapshot_download(name, allow_patterns=[*files, "config.json"]))
    except HFValidationError as error:
        raise NotFoundError(f"{missing}it is no name of the Hugging Face Hub either.") from error
    except RepositoryNotFoundError as error:
        raise NotFoundError(
            f"{missing}the Hugging Face Hub has no such model (or it is private: log in with "
            "`hf auth login`)."
        ) from error
    except (OSError, ValueError) as error:
        raise NotFoundError(
            f"{missing}the Hugging Face Hub, where it may be, cannot be reached from here, nor is "
            "it in the local cache. Give the folder of a tokenizer, or train one with "
            "`mlmfast train-tokenizer`."
        ) from error

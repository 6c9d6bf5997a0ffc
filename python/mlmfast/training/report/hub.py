"""Uploading a finished model to the Hugging Face Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError
from mlmfast.fs.paths import as_path

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import TrainingArguments


def make_repository(name: str, arguments: TrainingArguments) -> str:
    """Make the repository before a training, so that a missing right to write shows at once.

    Args:
        name: the output folder's name, taken where `hub_model_id` was not given.
        arguments: `hub_model_id`, `hub_token` and `hub_private_repo` are used.

    Returns:
        The repository's full name, `owner/name`.

    Raises:
        InputError: the Hub cannot be reached, or refuses.
    """
    from huggingface_hub import create_repo

    wanted = arguments.hub_model_id or name
    try:
        url = create_repo(
            wanted, token=arguments.hub_token, private=arguments.hub_private_repo, exist_ok=True
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"The Hub does not let us write to {wanted!r} ({error}): log in with "
            "`huggingface-cli login`, or train without --push-to-hub."
        ) from error
    return url.repo_id


def uploading(push_to_hub: bool, given: dict[str, Any], output: str | Path) -> dict[str, Any]:
    """What the Trainer must know to upload checkpoints too, where `hub_strategy` asks for them."""
    if not push_to_hub or str(given.get("hub_strategy", "end")) == "end":
        return {}
    return {"push_to_hub": True, "hub_model_id": given.get("hub_model_id") or as_path(output).name}


def upload(folder: Path, repository: str, arguments: TrainingArguments) -> str:
    """Upload a checkpoint folder in one commit and return the commit's address.

    Raises:
        InputError: the upload failed; the folder stays, and the message says how to upload it.
    """
    from huggingface_hub import upload_folder

    try:
        commit = upload_folder(
            repo_id=repository,
            folder_path=folder,
            token=arguments.hub_token,
            commit_message="Model trained with mlmfast",
            revision=getattr(arguments, "hub_revision", None),
            ignore_patterns=["checkpoint-*", "training_args.bin"],
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"The model is whole in {folder}, but its upload failed ({error}): "
            f"`huggingface-cli upload {repository} {folder}` uploads it."
        ) from error
    return commit.commit_url

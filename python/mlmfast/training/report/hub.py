"""Uploading a finished model to the Hugging Face Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError
from mlmfast.fs.paths import as_path

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import TrainingArguments


def make_repository(name: str, arguments: TrainingArguments) -> str:
    """Create the repository before a training, so that missing write access fails at once.

    Args:
        name: the name of the output folder, used if `hub_model_id` is not set.
        arguments: the function reads `hub_model_id`, `hub_token` and `hub_private_repo`.

    Returns:
        The full name of the repository, `owner/name`.

    Raises:
        InputError: the Hub cannot be reached, or refuses the request.
    """
    from huggingface_hub import create_repo

    repository = arguments.hub_model_id or name
    try:
        url = create_repo(
            repository, token=arguments.hub_token, private=arguments.hub_private_repo, exist_ok=True
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"The Hub does not let us write to {repository!r} ({error}): log in with "
            "`huggingface-cli login`, or train without --push-to-hub."
        ) from error
    return url.repo_id


def upload_arguments(
    push_to_hub: bool, given: dict[str, Any], output: str | Path
) -> dict[str, Any]:
    """Return the arguments with which the Trainer uploads checkpoints, as `hub_strategy` says."""
    if not push_to_hub or str(given.get("hub_strategy", "end")) == "end":
        return {}
    return {"push_to_hub": True, "hub_model_id": given.get("hub_model_id") or as_path(output).name}


def upload(folder: Path, arguments: TrainingArguments) -> str:
    """Upload a checkpoint folder to `arguments.hub_model_id` in one commit; return its URL.

    Raises:
        InputError: the upload failed; the folder stays, and the message says how to upload it.
    """
    from huggingface_hub import upload_folder

    repository = arguments.hub_model_id
    try:
        commit = upload_folder(
            repo_id=str(repository),
            folder_path=folder,
            token=arguments.hub_token,
            commit_message="Model trained with mlmfast",
            revision=getattr(arguments, "hub_revision", None),
            ignore_patterns=["checkpoint-*", "training_args.bin"],
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"The model is complete in {folder}, but its upload failed ({error}): "
            f"`huggingface-cli upload {repository} {folder}` uploads it."
        ) from error
    return commit.commit_url

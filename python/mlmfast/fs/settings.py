"""Files of settings, in YAML or JSON, that replace flags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlmfast.errors import InputError, MissingDependencyError, NotFoundError

SUFFIXES = (".yaml", ".yml", ".json")


def read_settings(file: str) -> dict[str, Any]:
    """Read a mapping of flag names, written with - or _, to values; null means "not given".

    Raises:
        NotFoundError: there is no such file.
        InputError: it holds no such mapping.
    """
    settings = read_mapping(file, "`model: bert/`")
    return {
        str(name).replace("_", "-"): value for name, value in settings.items() if value is not None
    }


def read_mapping(file: str, example: str) -> dict[Any, Any]:
    """Read a mapping in YAML or JSON.

    Args:
        file: the file.
        example: what an entry looks like, for the error.

    Raises:
        NotFoundError: there is no such file.
        InputError: it holds no mapping.
    """
    path = Path(file).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"The settings {file} must be a {', '.join(SUFFIXES)} file.")
    if not path.is_file():
        raise NotFoundError(f"There is no file of settings {file}.")
    text = path.read_text(encoding="utf-8")
    try:
        settings = json.loads(text) if path.suffix.lower() == ".json" else _yaml(text)
    except ValueError as error:
        raise InputError(f"The settings {file} cannot be read: {error}.") from error
    if not isinstance(settings, dict):
        raise InputError(f"The settings {file} must hold names and values, such as {example}.")
    return settings


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingDependencyError(
            "Settings in YAML need the package pyyaml: pip install pyyaml; or write JSON."
        ) from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error

"""Write ONNX folders and what they answer, for tests with a library that the exporter cannot use.

`python tests/tools/write_fill_masks.py FOLDER`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

KINDS = ("bert", "roberta")
QUESTIONS: tuple[tuple[Any, dict[str, Any]], ...] = (
    ("the milky way is a {mask} galaxy", {}),
    ("paris is the {mask} of france , {mask} far !", {"top_k": 3}),
    (["a {mask} city", "{mask} is n't far", "the {mask} {mask} <s> [SEP]"], {}),
    ("a {mask} city", {"targets": ["paris", "galaxyparis", "berlin"]}),
    ("a {mask} is the capital of france " * 9, {"tokenizer_kwargs": {"truncation": True}}),
    (
        "{mask} is the capital of france",
        {"tokenizer_kwargs": {"truncation": True, "max_length": 6}},
    ),
    ("a {mask} city", {"tokenizer_kwargs": {"add_special_tokens": False}}),
    (
        "a {mask} city in germany",
        {"tokenizer_kwargs": {"truncation": True, "max_length": 3, "add_special_tokens": False}},
    ),
)


def answers(folder: Path) -> list[Any]:
    """Return what the model in `folder` answers to all questions."""
    from mlmfast.serving.fill_mask import FillMask

    fill_mask = FillMask(folder, device="cpu", threads=1)

    def filled(text: Any) -> Any:
        if isinstance(text, list):
            return [filled(part) for part in text]
        return text.replace("{mask}", fill_mask.mask_token)

    return [fill_mask(filled(text), **options) for text, options in QUESTIONS]


def main(folder: Path) -> None:
    """Write all folders, each with its answers."""
    from mlmfast.exporting.export import export
    from tiny_models import save_checkpoint

    for kind in KINDS:
        checkpoint = save_checkpoint(kind, folder / kind / "checkpoint")
        export(checkpoint, folder / kind / "onnx", overwrite=True)
        found = json.dumps(answers(folder / kind / "onnx"))
        (folder / kind / "answers.json").write_text(found, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

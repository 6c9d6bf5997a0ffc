"""The files of an ONNX folder, read and checked before anything heavy is loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlmfast.errors import InputError, NotFoundError
from mlmfast.fs.paths import as_path

GRAPH = "model.onnx"
# fill_mask.onnx with a constant `top_k`, which `mlmfast export --cuda-graphs` writes.
FIXED = "fill_mask_fixed.onnx"
# The graphs of each task, the preferred one first. `mlmfast export` writes fill_mask.onnx, which
# outputs the best tokens, and with `--task sparse` sparse.onnx.
_GRAPHS = {"fill-mask": ("fill_mask.onnx", GRAPH), "sparse": ("sparse.onnx",)}

# Types whose position table keeps its first `pad_token_id + 1` rows for padding: a RoBERTa with
# max_position_embeddings 514 takes 512 tokens. Only for folders of Optimum: fill_mask.onnx has the
# limit that `mlmfast export` read from the model itself.
_POSITIONS_AFTER_PADDING = frozenset(
    {
        "camembert",
        "data2vec-text",
        "esm",
        "ibert",
        "layoutlmv3",
        "lilt",
        "longformer",
        "luke",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)

# Types in which padding changes the logits in spite of the attention mask: by convolution, Fourier
# transform, pooling or landmarks. (Measured: in all other types it does not.)
_PADDING_SENSITIVE = frozenset({"convbert", "fnet", "funnel", "nystromformer", "yoso"})


@dataclass(frozen=True)
class OnnxFolder:
    """Paths and parsed JSON files of one ONNX folder."""

    path: Path
    config: dict[str, Any]
    tokenizer_config: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path, task: str = "fill-mask") -> OnnxFolder:
        """Check that `path` holds a graph, config.json and tokenizer.json, and read the JSON.

        Args:
            path: the folder.
            task: what its graph is for: "fill-mask" or "sparse".

        Raises:
            NotFoundError: the folder, or one of its files, is not there.
            InputError: `path` is a PyTorch checkpoint or a file, or a JSON file is broken.
        """
        folder = as_path(path)
        if not folder.exists():
            raise NotFoundError(
                f"There is no folder {folder}. {_READERS[task]} reads an ONNX folder on this "
                f"machine; `{_command('CHECKPOINT', task)}` writes one."
            )
        if not folder.is_dir():
            raise InputError(f"{folder} is a file; give the ONNX folder that holds {GRAPH}.")
        if not any((folder / name).is_file() for name in _GRAPHS[task]):
            raise _no_graph(folder, task)
        for name in ("config.json", "tokenizer.json"):
            if not (folder / name).is_file():
                raise NotFoundError(
                    f"{folder} has no {name}, which belongs beside {GRAPH}; "
                    "`mlmfast export` writes all of them."
                )
        special = read_json(folder / "special_tokens_map.json")
        return cls(
            path=folder,
            config=read_json(folder / "config.json"),
            tokenizer_config={**special, **read_json(folder / "tokenizer_config.json")},
        )

    def graph(self, task: str = "fill-mask") -> Path:
        """Return the file of the graph to use: fill_mask.onnx where it exists, or sparse.onnx."""
        files = [self.path / name for name in _GRAPHS[task]]
        return next((file for file in files if file.is_file()), files[-1])

    def special_token(self, name: str) -> str | None:
        """Return the `mask_token`, `pad_token` ...; None where the folder names none."""
        token = self.tokenizer_config.get(name)
        return token.get("content") if isinstance(token, dict) else token

    @property
    def max_length(self) -> int | None:
        """Tokens a text may have, special tokens included; None if config.json sets no limit."""
        positions = self.config.get("max_position_embeddings")
        if not isinstance(positions, int) or positions < 1:
            return None
        if self.config.get("model_type") in _POSITIONS_AFTER_PADDING:
            return positions - (self.config.get("pad_token_id") or 0) - 1
        return positions

    @property
    def padding_sensitive(self) -> bool:
        """Whether padding changes the predictions, so that only equal lengths share a batch."""
        return self.config.get("model_type") in _PADDING_SENSITIVE


def tasks_of(folder: Path) -> tuple[str, ...]:
    """Return the tasks that an ONNX folder can be opened for; "fill-mask" always, and first."""
    has_sparse = any((folder / name).is_file() for name in _GRAPHS["sparse"])
    return ("fill-mask", "sparse") if has_sparse else ("fill-mask",)


def _no_graph(folder: Path, task: str) -> InputError | NotFoundError:
    weights = [*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")]
    if weights:
        reader = "sparse encoding" if task == "sparse" else "fill-mask"
        return InputError(
            f"{folder} is a PyTorch checkpoint ({weights[0].name}), and {reader} reads an ONNX "
            f"folder. Write one first: {_command(str(folder), task)}"
        )
    name = _GRAPHS[task][-1]
    if task == "sparse" and (folder / GRAPH).is_file():
        source = read_json(folder / "export_report.json").get("checkpoint", "CHECKPOINT")
        return NotFoundError(
            f"{folder} has no {name}: it was exported for fill-mask alone. This writes it again, "
            f"with both: mlmfast export {source} {folder} --task sparse --overwrite"
        )
    return NotFoundError(
        f"{folder} has no {name}. Write an ONNX folder first: {_command('CHECKPOINT', task)}"
    )


_READERS = {"fill-mask": "FillMask", "sparse": "SparseEncoder"}


def _command(checkpoint: str, task: str) -> str:
    """Return the command that writes an ONNX folder for a task."""
    return f"mlmfast export {checkpoint} ONNX_FOLDER{' --task sparse' if task == 'sparse' else ''}"


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in `file`; a missing file gives an empty object."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"{file} is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} must hold a JSON object.")
    return content

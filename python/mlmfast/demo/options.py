"""The options of the demonstration and its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# A ModernBERT learns grammar within minutes on two cores: it has rotary positions and narrow local
# attention (8 tokens to either side, in two layers of three), which a RoBERTa would have to learn.
SMALL_MODEL = {
    "hidden_size": 256,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "local_attention": 16,
    # A quarter faster than sdpa in bf16 on a CPU, whose backward pass is slow there.
    "_attn_implementation": "eager",
    # Compiling takes longer than the demonstration.
    "reference_compile": False,
}


@dataclass(frozen=True)
class DemoOptions:
    """The options of the demonstration; the defaults need no network and no file."""

    output: Path = Path("demo")
    """The folder for all outputs."""
    seconds: float = 200
    """How long the training should take."""
    least_steps: int = 600
    """Fewest training steps of a new model, on a slow machine too; with fewer it learns nothing."""
    data: tuple[str, ...] = ()
    """Text files, as `prepare` takes them; empty for Python's own documentation."""
    text_column: str = "text"
    """The column with the text in `data`."""
    model: str | None = None
    """A checkpoint to adapt; None trains a small model from scratch."""
    texts: tuple[str, ...] = ()
    """Sentences with `<mask>` to fill at the end; empty for the built-in ones."""
    block_size: int = 128
    """Tokens of a block."""
    test_size: float = 0.05
    """Share of the documents held out for the evaluation."""
    vocab_size: int = 4096
    """Tokens of the new tokenizer."""
    config: dict[str, Any] = field(default_factory=lambda: dict(SMALL_MODEL))
    """The new model's configuration, a ModernBERT's."""
    fresh: bool = False
    """Run every stage again."""


@dataclass(frozen=True)
class DemoResult:
    """The result of a demonstration.

    Attributes:
        model: the checkpoint's folder.
        onnx: the ONNX folder.
        before: the evaluation before the training, as `Evaluation.to_dict`.
        after: the evaluation after it.
        answers: a text with its mask -> the words that fill it, best first.
        reused: names of the stages that an earlier run had finished.
    """

    model: Path
    onnx: Path
    before: dict[str, Any]
    after: dict[str, Any]
    answers: dict[str, list[str]]
    reused: list[str]

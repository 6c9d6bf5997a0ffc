"""Compare model.onnx with the checkpoint, at shapes other than the traced ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import ExportMismatchError, InputError
from mlmfast.exporting.architectures import max_graph_length
from mlmfast.torch_models import text_config

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from mlmfast.exporting.checkpoint import Checkpoint

# (batch, length, padded). Optimum traces with 2 x 16; other shapes reveal sizes frozen in a graph.
SHAPES = ((1, 9, False), (2, 16, False), (3, 24, True), (5, 40, False))
LONGEST = 512


@dataclass(frozen=True)
class ShapeParity:
    """The comparison at one shape.

    Attributes:
        batch: rows.
        length: tokens a row, padding included.
        padded: whether some rows end in padding. Only tokens that are no padding are compared.
        difference: the largest |ONNX - PyTorch| at any logit.
        limit: the largest difference that passes.
        top1_agreement: share of the tokens at which both find the same likeliest token.
        masks: how many positions were compared; None: all tokens.
    """

    batch: int
    length: int
    padded: bool
    difference: float
    limit: float
    top1_agreement: float
    masks: int | None = None

    @property
    def passed(self) -> bool:
        """Whether the difference is within its limit (NaN is not)."""
        return self.difference <= self.limit

    def __str__(self) -> str:
        padding = ", padded" if self.padded else ""
        masks = "" if self.masks is None else f", {self.masks} masks"
        return f"{self.batch} x {self.length}{padding}{masks}"


@dataclass(frozen=True)
class Reference:
    """The inputs of one shape, and the checkpoint's logits.

    Attributes:
        inputs: int64 [batch, length] each, by the names of the graph's inputs.
        logits: float32 [batch, length, vocabulary].
        real: bool [batch, length], False at padding.
        padded: whether some rows end in padding.
    """

    inputs: dict[str, np.ndarray]
    logits: np.ndarray
    real: np.ndarray
    padded: bool

    def __str__(self) -> str:
        return f"{self.real.shape[0]} x {self.real.shape[1]}"


def open_graph(graph: Path) -> Any:
    """Open a graph in onnxruntime on the CPU.

    Raises:
        ExportMismatchError: onnxruntime cannot.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base but this
        raise ExportMismatchError(f"onnxruntime cannot open the exported graph: {error}") from error


def references(checkpoint: Checkpoint, names: Iterable[str]) -> Iterator[Reference]:
    """Run the checkpoint on random tokens, shape by shape.

    Args:
        checkpoint: the model.
        names: the inputs that the graphs take of it.
    """
    import torch

    names = [plain_name(name) for name in names]
    model = checkpoint.model
    main = getattr(model, "main_input_name", "input_ids")  # Perceiver's is `inputs`
    for batch, length, padded in shapes(max_graph_length(model), padding="attention_mask" in names):
        inputs = random_inputs(checkpoint, batch, length, padded=padded)
        feed = {name: inputs[name] for name in names}
        given = {
            main if name == "input_ids" else name: torch.from_numpy(value)
            for name, value in feed.items()
        }
        with torch.no_grad():
            # Perceiver gives logits for every position it has; the rest give as many as tokens.
            logits = model(**given).logits[:, :length].numpy()
        yield Reference(feed, logits, inputs["attention_mask"].astype(bool), padded)


def compare(graph: Path, checkpoint: Checkpoint, *, max_difference: float) -> list[ShapeParity]:
    """Run random tokens through both, on the CPU, and compare their logits.

    Args:
        graph: the ONNX file.
        checkpoint: the model it was written from.
        max_difference: the largest |ONNX - PyTorch| allowed, as a share of the largest |logit| of
            the shape, or of 1 where that is smaller: float32 rounds in proportion.

    Returns:
        One comparison a shape.

    Raises:
        ExportMismatchError: onnxruntime cannot run the graph at one of the shapes.
        InputError: `max_difference` is not above 0.
    """
    require_limit(max_difference)
    session = open_graph(graph)
    names = [entry.name for entry in session.get_inputs()]
    return [
        compare_logits(session, reference, max_difference=max_difference)
        for reference in references(checkpoint, names)
    ]


def compare_logits(session: Any, reference: Reference, *, max_difference: float) -> ShapeParity:
    """Compare every logit of one shape; the arguments are those of `compare_fused`."""
    names = [entry.name for entry in session.get_inputs()]
    try:
        feed = {name: reference.inputs[plain_name(name)] for name in names}
        actual = session.run(["logits"], feed)[0][:, : reference.real.shape[1]]
    except Exception as error:  # onnxruntime's own exceptions share no base but this
        raise ExportMismatchError(
            f"The exported graph fails at {reference} tokens: {error}"
        ) from error
    return _compare_logits(
        actual, reference.logits, reference.real, reference.padded, max_difference
    )


def plain_name(name: str) -> str:
    """Return what most models call an input; Perceiver's `inputs` are input_ids."""
    return "input_ids" if name == "inputs" else name


def require_limit(max_difference: float) -> None:
    """Refuse a limit that nothing or everything passes."""
    if not max_difference > 0:
        raise InputError(f"max_difference must be above 0, and is {max_difference}.")


def require_parity(results: list[ShapeParity]) -> None:
    """Raise ExportMismatchError where a shape differs by more than its limit."""
    failed = [result for result in results if not result.passed]
    if failed:
        worst = max(failed, key=lambda result: result.difference / result.limit)
        raise ExportMismatchError(
            f"The exported graph does not compute what the checkpoint computes: at {worst} tokens "
            f"its logits differ by up to {worst.difference:.2g}, and {worst.limit:.2g} is allowed "
            f"({len(failed)} of {len(results)} shapes failed). Nothing was written."
        )


def shapes(max_length: int | None, *, padding: bool) -> list[tuple[int, int, bool]]:
    """Return the shapes to compare: the standard ones, up to `max_length`, and that (or 512)."""
    limit = min(max_length or LONGEST, LONGEST)
    candidates = [*SHAPES, (1, limit, False)]
    return list(
        dict.fromkeys(
            (rows, min(length, limit), pads and padding) for rows, length, pads in candidates
        )
    )


def random_inputs(
    checkpoint: Checkpoint, batch: int, length: int, *, padded: bool
) -> dict[str, np.ndarray]:
    """Draw tokens from the whole vocabulary, one in seven a mask, the same in every call.

    Returns:
        `input_ids`, `attention_mask`, `token_type_ids` and `position_ids`, int64 [batch, length].
        With `padded`, every row but the first ends in padding.
    """
    config, tokenizer = text_config(checkpoint.model.config), checkpoint.tokenizer
    draw = np.random.default_rng([batch, length])
    segments = getattr(config, "type_vocab_size", 0) or 1  # DeBERTa has 0: no segments at all
    pad_id = config.pad_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    ids = draw.integers(0, config.vocab_size, (batch, length))
    if pad_id is not None:  # padding inside a text would move the positions of the rest
        ids[ids == pad_id] = tokenizer.mask_token_id
    ids[draw.random((batch, length)) < 1 / 7] = tokenizer.mask_token_id
    real = np.ones((batch, length), dtype=np.int64)
    if padded:
        for row in range(1, batch):
            real[row, length - row * (length // (batch + 1)) :] = 0
        ids[real == 0] = pad_id or 0
    return {
        "input_ids": ids,
        "attention_mask": real,
        "token_type_ids": draw.integers(0, segments, (batch, length)),
        "position_ids": np.tile(np.arange(length), (batch, 1)),
    }


def _compare_logits(
    actual: np.ndarray, expected: np.ndarray, real: np.ndarray, padded: bool, max_difference: float
) -> ShapeParity:
    if actual.shape != expected.shape:
        raise ExportMismatchError(
            f"The exported graph gives logits {actual.shape}, and the checkpoint {expected.shape}."
        )
    difference, largest, agreed = 0.0, 1.0, 0
    # Row by row: the logits of one shape can be hundreds of megabytes, and need no third copy.
    for row, mask in enumerate(real):
        ours, theirs = actual[row][mask], expected[row][mask]
        # np.maximum keeps a NaN, which the builtin would lose.
        difference = float(np.maximum(difference, np.abs(ours - theirs).max()))
        largest = max(largest, float(np.abs(theirs).max()))
        agreed += int((ours.argmax(axis=-1) == theirs.argmax(axis=-1)).sum())
    return ShapeParity(
        batch=actual.shape[0],
        length=actual.shape[1],
        padded=padded,
        difference=difference,
        limit=max_difference * largest,
        top1_agreement=agreed / int(real.sum()),
    )

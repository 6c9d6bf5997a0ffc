"""What mlmfast makes of one model type: trained, exported, fused, and how near to PyTorch.

The tests run it on every type, and write_architectures.py writes docs/architectures.md from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from architectures import LONGEST, VOCABULARY, tiny_model
from mlmfast.errors import MissingDependencyError, MlmfastError
from tolerances import KERNELS, LAYERS

# (batch, length, padded). Graphs are traced with 2 x 16 (Optimum) and 2 x 19 (mlmfast).
SHAPES = ((2, 16, False), (3, 24, True), (1, 9, False), (4, 5, False), (1, LONGEST, False))
PAD, MASK = 1, 4
TARGETS = np.array([7, 50, 4])
KNOWN, REGISTERED = "knows it", "registered"


@dataclass
class Outcome:
    """What became of one type.

    Attributes:
        kind: the model type.
        trains: what training runs on masked rows: `MaskedHead.scope`.
        documents: how training keeps the documents of a row apart, or why it does not.
        optimum: whether Optimum knows the type or mlmfast registers it; "" without Optimum.
        inputs: those of model.onnx as mlmfast writes it.
        model_difference: the largest |ONNX - PyTorch| of a logit, of both exporters' graphs.
        fused: how the fused graph's head takes the masked rows.
        moved: what of the last layer runs on masked rows: "", "feed-forward" or "queries too".
        fused_difference: the largest |ONNX - PyTorch| of a log-probability.
        padding: whether padding behind a text changes its logits in PyTorch, and so in the graphs.
        top1: share of the masks at which both find the same likeliest token.
        refused: why there is no graph.
    """

    kind: str
    trains: str = ""
    documents: str = ""
    optimum: str = ""
    inputs: tuple[str, ...] = ()
    model_difference: float = float("nan")
    fused: str = ""
    moved: str = ""
    fused_difference: float = float("nan")
    padding: bool = False
    top1: float = float("nan")
    refused: str = ""


@cache
def measure(kind: str) -> Outcome:
    """Build a tiny model of the type `kind`, train, export and compare it."""
    from mlmfast.exporting.architectures import require_exportable
    from mlmfast.exporting.checkpoint import quiet

    outcome = Outcome(kind)
    try:
        model = tiny_model(kind)
    except ImportError:  # QDQBert's library
        model = None
    if model is not None and model.main_input_name != "input_values":
        outcome.trains = _train(model)
        outcome.documents = documents_of(kind)
    try:
        require_exportable(kind)
    except MlmfastError as error:
        outcome.refused = str(error)
        return outcome
    with quiet():
        _measure_graphs(model, outcome)
    return outcome


def documents_of(kind: str) -> str:
    """Try documents of a type in the attention that transformers chooses; say what became of it."""
    import torch

    from mlmfast.training.model.documents import attention
    from mlmfast.training.model.documents.document_attention import DocumentAttention

    try:
        model = tiny_model(kind, attention="sdpa")
    except ValueError:  # the type has no such attention
        model = tiny_model(kind)
    ids = torch.from_numpy(draw(model, ("input_ids",), 3, 48)["input_ids"])
    documents = DocumentAttention(model)
    with mock.patch.object(attention, "attend_inside", wraps=attention.attend_inside) as attend:
        if not documents.separates(ids):
            reason = documents.reason or ""
            # The numbers differ between machines and versions.
            return "joined: " + re.sub(r" \(.*\)| by \S+", "", reason)
    return "each alone" if attend.called else "by mask"


def _measure_graphs(model: Any, outcome: Outcome) -> None:
    import tempfile

    from mlmfast.exporting.fill_mask_graph import write_logits

    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "model.onnx"
        write_logits(model, own)
        outcome.inputs, outcome.model_difference = _compare(model, own)
        by_optimum = Path(folder) / "optimum" / "model.onnx"
        outcome.optimum = _write_by_optimum(model, by_optimum)
        if outcome.optimum:
            _, difference = _compare(model, by_optimum)
            outcome.model_difference = max(outcome.model_difference, difference)
        _measure_fused(model, outcome, Path(folder) / "fill_mask.onnx")
        outcome.padding = padding_shows(model, outcome.inputs)


def _measure_fused(model: Any, outcome: Outcome, path: Path) -> None:
    from mlmfast.exporting.fill_mask_graph import write_fill_mask_graph

    fused = write_fill_mask_graph(model, path, inputs=outcome.inputs)
    outcome.fused = fused.layout
    if fused.moved.feed_forward:
        outcome.moved = "queries too" if fused.moved.queries else "feed-forward"
    session = open_graph(path)
    differences, agreed = [], []
    for inputs, logits in every_shape(model, outcome.inputs):
        for positions in some_positions(inputs["input_ids"]):
            wanted = log_softmax(logits.reshape(-1, logits.shape[-1])[positions])
            answers = run_fused(session, inputs, positions)
            differences += compare_answers(answers, wanted)
            agreed += list(answers["tokens"][:, 0] == wanted.argmax(axis=-1))
    outcome.fused_difference, outcome.top1 = max(differences), float(np.mean(agreed))


def _compare(model: Any, graph: Path) -> tuple[tuple[str, ...], float]:
    """Return the inputs of a graph, and the largest difference of a logit at every shape."""
    session = open_graph(graph)
    names = tuple(entry.name for entry in session.get_inputs())
    differences = [
        np.abs(session.run(["logits"], inputs)[0][:, : logits.shape[1]] - logits).max()
        for inputs, logits in every_shape(model, names)
    ]
    return names, float(max(differences))


def _write_by_optimum(model: Any, graph: Path) -> str:
    """Write model.onnx as `mlmfast export --exporter optimum` does, if Optimum is installed."""
    from mlmfast.exporting.architectures import REPLACED
    from mlmfast.exporting.checkpoint import Checkpoint
    from mlmfast.exporting.exporters import by_optimum

    try:
        by_optimum.require()
    except MissingDependencyError:
        return ""
    kind = model.config.model_type
    known = kind in optimum_types() and kind not in REPLACED
    by_optimum.write(Checkpoint(kind, model, None), graph, None)
    return KNOWN if known else REGISTERED


@cache
def optimum_types() -> set[str]:
    """The types Optimum registers for fill-mask of its own, told by the classes it registered."""
    import optimum.exporters.onnx.model_configs  # noqa: F401 - registers them
    from optimum.exporters.tasks import TasksManager

    return {
        kind
        for kind, exporters in TasksManager._SUPPORTED_MODEL_TYPE.items()
        if "mlmfast" not in exporters.get("onnx", {}).get("fill-mask", _Nowhere).func.__module__
    }


class _Nowhere:
    class func:  # noqa: N801 - as functools.partial has it
        __module__ = "mlmfast: not registered at all"


def every_shape(model: Any, names: tuple[str, ...]):
    """Yield (inputs, PyTorch's logits [B, L, V]) at every shape the model takes."""
    import torch

    from mlmfast.exporting.architectures import max_graph_length

    limit = max_graph_length(model) or LONGEST
    for batch, length, padded in SHAPES:
        inputs = draw(model, names, batch, min(length, limit), padded=padded)
        with torch.inference_mode():
            given = {name: torch.from_numpy(value) for name, value in inputs.items()}
            logits = model(**given).logits[:, :length]
        yield inputs, logits.numpy()


def padding_shows(model: Any, names: tuple[str, ...]) -> bool:
    """Whether a text has other logits alone than before padding."""
    import torch

    batch = draw(model, names, 3, 24, padded=True)
    real = int((batch["input_ids"][2] != PAD).sum())
    with torch.inference_mode():
        padded, alone = (
            model(**{name: torch.from_numpy(value[2:, :length]) for name, value in batch.items()})
            for length in (24, real)
        )
    return bool((padded.logits[:, :real] - alone.logits[:, :real]).abs().max() > 1e-3)


def draw(model: Any, names: tuple[str, ...], batch: int, length: int, *, padded: bool = False):
    """Draw words, with masks among them and segments of all numbers the model has."""
    random = np.random.default_rng([batch, length])
    ids = random.integers(5, len(VOCABULARY), (batch, length))
    ids[:, 2::5] = MASK
    real = np.ones_like(ids)
    if padded:
        for row in range(1, batch):
            real[row, length - 5 * row :] = 0
        ids[real == 0] = PAD
    segments = np.sort(random.integers(0, 2, ids.shape), axis=1)
    if model.config.model_type == "funnel":
        segments[:, 0] = 2  # as its tokenizer writes for <cls>
    every = {"input_ids": ids, "attention_mask": real, "token_type_ids": segments}
    return {name: every[name] for name in names}


def some_positions(ids: np.ndarray) -> list[np.ndarray]:
    """One mask, and every mask in no order."""
    masks = np.flatnonzero(ids.reshape(-1) == MASK)
    return [masks[-1:], np.random.default_rng(0).permutation(masks)]


def open_graph(path: Path):
    """Open an ONNX file on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_fused(session: Any, inputs: dict[str, np.ndarray], positions: np.ndarray):
    """Ask a fused graph for everything it can tell."""
    asked = {
        **inputs,
        "mask_positions": positions,
        "top_k": np.array(6),
        "targets": TARGETS,
        "want_probabilities": np.array(True),
    }
    names = [entry.name for entry in session.get_outputs()]
    return dict(zip(names, session.run(names, asked), strict=True))


def compare_answers(answers: dict[str, np.ndarray], wanted: np.ndarray) -> list[float]:
    """Differences of log-probabilities, answer by answer, from `wanted` [M, V]."""
    best = np.take_along_axis(wanted, answers["tokens"], axis=-1)
    pairs = (
        (answers["scores"], best),
        (answers["scores"], np.sort(wanted, axis=-1)[:, : -best.shape[1] - 1 : -1]),
        (answers["target_scores"], wanted[:, TARGETS]),
        (answers["probabilities"], wanted),
    )
    assert all(found.shape == expected.shape for found, expected in pairs)
    return [float(np.abs(np.log(found) - expected).max()) for found, expected in pairs]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities, in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _train(model: Any) -> str:
    """Compare loss and gradients with those of all rows; say what ran on the masked ones."""
    import torch

    from mlmfast.training.model.masked_head import MaskedHead

    inputs = {"input_ids": torch.from_numpy(draw(model, ("input_ids",), 3, 16)["input_ids"])}
    labels = torch.where(inputs["input_ids"] == MASK, 9, -100)
    head = MaskedHead(model)
    head(model, inputs, labels)
    # Reformer and Mega differ between training and evaluating by more than their dropout.
    without_dropout(model).train()
    found, grads = _loss_and_gradients(model, lambda: head(model, inputs, labels))
    whole = MaskedHead(model, allowed=False)
    dense, expected = _loss_and_gradients(model, lambda: whole(model, inputs, labels))
    model.eval()
    torch.testing.assert_close(found, dense, rtol=KERNELS, atol=0)
    assert grads.keys() == expected.keys()
    largest = max(grad.abs().max() for grad in expected.values())
    assert torch.isfinite(largest)
    assert largest > 0
    for name, grad in expected.items():
        torch.testing.assert_close(grads[name], grad, rtol=LAYERS, atol=KERNELS * float(largest))
    assert head.scope is not None
    return head.scope


def without_dropout(model: Any) -> Any:
    """Switch every dropout of a model off, those that are a mere number of a module too."""
    for module in model.modules():
        for name, value in vars(module).items():
            if isinstance(value, float) and (name == "p" or "drop" in name):
                setattr(module, name, 0.0)
    return model


def _loss_and_gradients(model: Any, masked: Any) -> tuple[Any, dict[str, Any]]:
    import torch

    from mlmfast.training.model.loss import masked_loss_sum

    torch.manual_seed(0)
    loss = masked_loss_sum(masked())
    loss.backward()
    grads = {name: w.grad for name, w in model.named_parameters() if w.grad is not None}
    model.zero_grad(set_to_none=True)
    return loss.detach(), grads

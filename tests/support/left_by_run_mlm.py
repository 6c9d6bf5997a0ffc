"""What two runs of run_mlm.py's command line leave, compared."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from peers_run_mlm import table_of

# Files of ours in a checkpoint that docs/run_mlm.md names.
FURTHER_FILES = {"mlmfast_checkpoint.json", "mlmfast_arguments.json"}
# What "Files that differ" there tells of a file.
LISTED = {
    "tokenizer.json": {"truncation", "padding"},
    "README.md": {"base_model"},
    "training_args.bin": {"logging_nan_inf_filter"},
}
_RESULTS = tuple(f"{name}_results.json" for name in ("all", "train", "eval"))
# Chance: other masks, another order, how fast the machine was, and its memory.
_BY_CHANCE = {"loss", "train_loss", "eval_loss", "perplexity"}
_LEFT_OUT = {"eval_accuracy", "grad_norm", "best_metric", "best_global_step"}
_MEASURED = re.compile(r"_runtime$|_per_second$|_preparation_time$|_mem_")
_PATHS = {"output_dir", "logging_dir", "best_model_checkpoint", "resume_from_checkpoint"}
_NEAR = 0.15  # each draws masks of its own, a few hundred tokens


@dataclass(frozen=True)
class Run:
    """How a program ended: its exit status, its output folder and what it printed."""

    status: int
    output: Path
    log: str = ""

    def last_line(self) -> str:
        """The last line that it printed, which is the error of one that failed."""
        lines = [line for line in self.log.splitlines() if line.strip()]
        return lines[-1].strip() if lines else ""

    def results(self, name: str) -> dict | None:
        """A JSON file of the output folder, if it is there."""
        path = self.output / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def summary(self) -> str:
        """What happened, in a few words."""
        if self.status:
            return f"fails with {self.last_line()[:140]!r}"
        found = self.results("all_results.json") or {}
        names = "train_samples", "eval_samples", "epoch", "train_loss", "eval_loss"
        return ", ".join(f"{name} {found[name]:.4g}" for name in names if name in found) or "runs"


def compare(theirs: Run, ours: Run) -> list[str]:
    """Describe what differs and is not listed in docs/run_mlm.md."""
    if (theirs.status == 0) != (ours.status == 0):
        return [
            f"exit status {theirs.status} and {ours.status}",
            f"theirs ends with {theirs.last_line()}",
            f"ours ends with {ours.last_line()}",
        ]
    found = [
        *_sets("files", _files(theirs.output), _files(ours.output), FURTHER_FILES),
        *_training_arguments(theirs.output, ours.output),
        *_weights(theirs.output, ours.output),
        *_card(theirs.output, ours.output),
    ]
    for name in _RESULTS:
        found += _values(name, theirs.results(name), ours.results(name))
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        found += _equal(name, theirs.results(name), ours.results(name))
    found += _states(theirs.results("trainer_state.json"), ours.results("trainer_state.json"))
    return found


def _files(output: Path) -> set[str]:
    return {str(path.relative_to(output)) for path in output.rglob("*")}


def _sets(name: str, theirs: set, ours: set, allowed: set) -> list[str]:
    further = {each for each in ours - theirs if Path(each).name not in allowed}
    missing = theirs - ours
    found = [f"{name} of theirs alone: {', '.join(sorted(missing))}"] if missing else []
    return found + ([f"{name} of ours alone: {', '.join(sorted(further))}"] if further else [])


def _equal(name: str, theirs: dict | None, ours: dict | None) -> list[str]:
    if theirs is None or ours is None:
        return []  # the list of files tells
    return [
        f"{name}, {key}: {theirs.get(key)!r} and {ours.get(key)!r}"
        for key in sorted((theirs.keys() | ours.keys()) - LISTED.get(name, set()))
        if theirs.get(key) != ours.get(key)
    ]


def _values(name: str, theirs: dict | None, ours: dict | None) -> list[str]:
    """Compare figures: keys, those that chance moves by their size, all others exactly."""
    if theirs is None or ours is None:
        return []
    found = _sets(f"keys of {name}", set(theirs), set(ours), table_of("Further figures"))
    for key in sorted((theirs.keys() & ours.keys()) - _LEFT_OUT - _PATHS):
        own, other = ours[key], theirs[key]
        if _MEASURED.search(key) or own == other:
            continue
        if key in _BY_CHANCE and abs(own - other) <= _NEAR * other:
            continue
        found.append(f"{name}, {key}: {other!r} and {own!r}")
    return found


def _states(theirs: dict | None, ours: dict | None) -> list[str]:
    if theirs is None or ours is None:
        return []
    their_log, our_log = theirs.pop("log_history"), ours.pop("log_history")
    found = _values("trainer_state.json", theirs, ours)
    last = ours["global_step"]
    if not any("loss" in row and row["step"] == last for row in their_log):
        our_log = [row for row in our_log if "loss" not in row or row["step"] != last]
    if len(their_log) != len(our_log):
        steps = " and ".join(str([row["step"] for row in each]) for each in (their_log, our_log))
        return [*found, f"steps in the log: {steps}"]
    for their_row, our_row in zip(their_log, our_log, strict=True):
        found += _values(f"the log of step {their_row['step']}", their_row, our_row)
    return found


def _training_arguments(theirs: Path, ours: Path) -> list[str]:
    import torch

    paths = [folder / "training_args.bin" for folder in (theirs, ours)]
    if not all(path.is_file() for path in paths):
        return []
    both = [torch.load(path, weights_only=False).to_dict() for path in paths]
    for each in both:
        for name in _PATHS:
            each.pop(name, None)
    return _equal("training_args.bin", *both)


def _weights(theirs: Path, ours: Path) -> list[str]:
    """Compare the names, shapes and types of the weights."""
    from safetensors import safe_open

    paths = [folder / "model.safetensors" for folder in (theirs, ours)]
    if not all(path.is_file() for path in paths):
        return []
    shapes = []
    for path in paths:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes.append(
                {name: (each.get_shape(), each.get_dtype()) for name, each in slices.items()}
            )
    return _equal("model.safetensors", *shapes)


def _card(theirs: Path, ours: Path) -> list[str]:
    """Compare the cards but for their figures: the front matter, the headings and the lists."""
    paths = [folder / "README.md" for folder in (theirs, ours)]
    if not all(path.is_file() for path in paths):
        return []
    texts = [path.read_text(encoding="utf-8") for path in paths]
    fronts = [yaml.safe_load(text.split("---")[1]) for text in texts]
    for front in fronts:
        front.pop("model-name", None)
        for index in front.get("model-index", []):
            index.pop("name")
            for result in index["results"]:
                result["metrics"] = [metric["type"] for metric in result["metrics"]]
    lines = [
        {line.partition(":")[0] for line in text.splitlines()[2:] if line.startswith(("##", "- "))}
        for text in texts
    ]
    further = {line for line in lines[1] - lines[0] if _figure(line) in table_of("Further figures")}
    differ = sorted(lines[0] ^ (lines[1] - further))
    found = _equal("README.md", *fronts)
    return [*found, *(f"README.md, a line in one alone: {line}" for line in differ)]


def _figure(line: str) -> str:
    """The name of a figure from its line in a card, such as `- Bits Per Byte` or `- eval_top1`."""
    name = line.removeprefix("- ").strip().lower().replace(" ", "_")
    return f"eval_{name.removeprefix('eval_')}"

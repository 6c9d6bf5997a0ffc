"""The model card: model, data, training and results."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.data.masking.mask_rates import RowRates, parse_mask_rate
from mlmfast.data.masking.schedule import MaskRateSchedule
from mlmfast.training.options.distillation import DistillationWeights
from mlmfast.training.report.phases import passes, phases_table
from mlmfast.training.report.sources import sources_table

if TYPE_CHECKING:
    from mlmfast.data.store.store import BlockStore
    from mlmfast.training.fit import TrainResult

# Training arguments that every card lists; it lists others only if the user set them.
_ALWAYS_LISTED = (
    "learning_rate",
    "weight_decay",
    "lr_scheduler_type",
    "warmup_steps",
    "warmup_ratio",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "num_train_epochs",
    "max_steps",
    "optim",
    "seed",
)
# Those of them that a recipe sets, in whose phases they have other values.
_OF_PHASES = {*_ALWAYS_LISTED[:1], *_ALWAYS_LISTED[2:5], "num_train_epochs", "max_steps"}
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
PACKAGES = ("mlmfast", "transformers", "torch", "tokenizers")


def model_card(
    result: TrainResult,
    store: BlockStore,
    *,
    base_model: str | None,
    masks: dict[str, Any],
    arguments: dict[str, Any],
    picture: str | None = None,
    distillation: dict[str, Any] | None = None,
) -> str:
    """Write a model card in Markdown, with the Hub's front matter.

    Args:
        result: the finished training.
        store: the training blocks.
        base_model: the checkpoint that the training started from; None for random weights.
        masks: the mask options.
        arguments: the training arguments to list, from `card_arguments`.
        picture: the file beside the card with the curves of the training.
        distillation: teacher, student and weights of the loss, if there is a teacher.
    """
    taught = _taught(distillation) if distillation else ""
    sections = [
        _front_matter(base_model, result),
        f"# {result.output.absolute().name}\n\n{_origin(result, base_model)}",
        f"## Results\n\n{_results(result)}",
        f"## Data\n\n{_data(result, store)}",
        f"## Training\n\n{taught}{_training(result, masks, picture)}\n\n{_table(arguments)}",
        f"## Versions\n\n{_versions()}",
    ]
    return "\n\n".join(sections) + "\n"


def card_arguments(
    arguments: dict[str, Any], given: dict[str, Any], *, phases: bool = False
) -> dict[str, Any]:
    """Choose the arguments to list: the important ones and the given ones, but no token.

    Args:
        arguments: all arguments.
        given: those that the user set.
        phases: whether the training had phases, which have a table of their own.
    """
    hidden = _OF_PHASES if phases else set()
    return {
        name: arguments[name]
        for name in sorted(arguments)
        if (name in _ALWAYS_LISTED or name in given)
        and name not in hidden
        and not name.endswith("_token")
    }


def _origin(result: TrainResult, base_model: str | None) -> str:
    origin = f"`{base_model}`" if base_model else "random weights"
    model = f"masked language model of {result.parameters:,} parameters"
    by = "with [mlmfast](https://pypi.org/project/mlmfast/)"
    if result.adapter is None:
        return f"A {model}, trained from {origin} {by}."
    if result.adapter.kept:
        return f"An adapter for {origin}, a {model}, trained {by}: {result.adapter}."
    return (
        f"A {model}, trained from {origin} {by}: {result.adapter} were trained and merged into "
        "the weights."
    )


def _front_matter(base_model: str | None, result: TrainResult) -> str:
    kept = result.adapter is not None and result.adapter.kept
    library = "peft" if kept else "transformers"
    lines = [f"library_name: {library}", "pipeline_tag: fill-mask", "tags:"]
    lines += ["- fill-mask", "- masked-lm", "- mlmfast"]
    if result.adapter is not None:
        lines.append(f"- {result.adapter.method.lower()}")
    if base_model and is_hub_name(base_model):
        lines.append(f"base_model: {base_model}")
        if kept:
            lines.append("base_model_relation: adapter")
    return "\n".join(["---", *lines, "---"])


def is_hub_name(model: str) -> bool:
    """Whether a model is one of the Hub, to which the card can link, and not a local folder."""
    return bool(HUB_NAME.fullmatch(model)) and not Path(model).exists()


def _results(result: TrainResult) -> str:
    after = result.after
    if after is None:
        return "Not measured."
    measured = {"before": result.before, "last weights": result.last_weights, "after": after}
    columns = [(title, each) for title, each in measured.items() if each is not None]
    rows = [
        ("perplexity", "perplexity", "{:,.2f}"),
        ("loss (nats a masked token)", "loss", "{:.4f}"),
        ("top-1 at masks", "top1", "{:.2%}"),
        ("top-5 at masks", "top5", "{:.2%}"),
        ("bits per byte", "bits_per_byte", "{:.4f}"),
    ]
    table = ["| | " + " | ".join(title for title, _ in columns) + " |"]
    table.append("|---|" + "---|" * len(columns))
    for title, field, form in rows:
        values = [getattr(evaluation, field) for _, evaluation in columns]
        cells = ["" if value is None else form.format(value) for value in values]
        table.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(table) + (
        f"\n\nMeasured in {after.precision} on {after.masked_tokens:,} masked tokens of "
        f"{after.of_blocks} blocks of {after.block_size} tokens (`{after.data}`), masked once at "
        f"{after.mlm_probability:.0%} with seed {after.seed}. `{after.command}` measures the same "
        "masks again."
    )


def blocks_trained_on(result: TrainResult, store: BlockStore) -> str:
    """Describe how many blocks of the store the training used."""
    count = store.manifest.blocks
    if result.blocks in (None, count):
        return f"{count:,}"
    return f"the first {result.blocks:,} of {count:,}"


def _data(result: TrainResult, store: BlockStore) -> str:
    manifest = store.manifest
    blocks = f"{blocks_trained_on(result, store)} blocks of {manifest.block_size} tokens"
    if result.blocks in (None, manifest.blocks):
        blocks = f"{blocks}:"
    else:
        blocks = f"T{blocks[1:]}; all {manifest.blocks:,} are of"
    inputs = manifest.source.get("inputs")
    origin = f" from {', '.join(f'`{name}`' for name in inputs)}" if inputs else ""
    return (
        f"{blocks} {manifest.documents:,} documents, {manifest.text_bytes:,} bytes of text"
        f"{origin}. Tokenizer: `{manifest.tokenizer}`, {manifest.vocab_size:,} tokens "
        f"(sha256 of tokenizer.json: `{manifest.tokenizer_sha256}`)."
        f"{sources_table(result)}"
    )


def _training(result: TrainResult, masks: dict[str, Any], picture: str | None) -> str:
    replaced, random = masks["mask_replace_prob"], masks["random_replace_prob"]
    share = "" if result.mfu is None else f" (MFU {result.mfu:.1%} of {result.peak})"
    padded = result.fill_rate is not None and result.fill_rate < 1
    full = f" (batches {result.fill_rate:.1%} full)" if padded else ""
    text = (
        f"{result.steps:,} steps, {passes(result)}, {result.seconds:,.0f} s in "
        f"{result.precision} on {result.device}, {result.tokens_per_second:,.0f} tokens/s"
        f"{share}{full}; mean training loss {result.train_loss:.4f}. "
        f"{_chosen(masks, result)} were chosen, others in every epoch; of the chosen tokens "
        f"{replaced:.0%} became the mask token and {random:.0%} a random token."
        f"{_average(result)}{_changes(result)}{phases_table(result)}"
    )
    return text if picture is None else f"{text}\n\n![Curves of the training]({picture})"


def _taught(options: dict[str, Any]) -> str:
    """Describe the teacher, what the student began as, and the loss."""
    teacher = options["teacher"]
    layers = ", ".join(map(str, options.get("student_layers", ())))
    start = f"; it began as the teacher's layers {layers} (counted from 0)" * bool(layers)
    if "student" in options:
        start = f"; it has the shape of `{options['student']}`"
    weights = DistillationWeights(
        options["distillation_temperature"],
        options["distillation_weight"],
        options["mlm_weight"],
        options["hidden_weight"],
    )
    return (
        f"The model was distilled from the teacher `{teacher}`{start}. The loss is {weights}, each "
        "a mean over the masked tokens. "
    )


def _average(result: TrainResult) -> str:
    """Describe which weights the model has, if not those of the last step."""
    if result.average is None:
        return ""
    return f" The model has {result.average}; those of the last step are in `last/`."


def _changes(result: TrainResult) -> str:
    """Describe the options that a resume changed; the table has their last values."""
    by_step: dict[int, list[str]] = {}
    for change in result.changes:
        by_step.setdefault(change.step, []).append(f"`{change.name}` from {change.before}")
    parts = [
        f" At step {step:,} a resume changed {', '.join(names)}." for step, names in by_step.items()
    ]
    return "".join(parts)


def _chosen(masks: dict[str, Any], result: TrainResult) -> str:
    rates = masks.get("mask_rate_schedule")
    rate = parse_mask_rate(masks["mlm_probability"])
    share = rate.describe() if isinstance(rate, RowRates) else f"{rate:.0%}"
    if rates is not None:
        schedule = MaskRateSchedule(rates, 1)
        way = "in a straight line" if schedule.shape == "linear" else "as a cosine"
        share = f"{schedule.start:.0%}, changing to {schedule.end:.0%} {way} over the steps,"
    if result.phases:
        share = "As many as the phases say"
    units = {"whole_word": ", whole words at a time,", "span": ", in spans,"}
    return f"{share} of the ordinary tokens{units.get(masks.get('mode', ''), '')}"


def _table(arguments: dict[str, Any]) -> str:
    rows = [f"| {name} | `{value}` |" for name, value in arguments.items()]
    return "\n".join(["| argument | value |", "|---|---|", *rows])


def _versions() -> str:
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES) + "."

"""`mlmfast.probe`: labelled texts and checkpoints to a table of accuracies."""

from __future__ import annotations

import importlib.util
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError, MissingDependencyError
from mlmfast.fs.atomic import atomic_output_dir
from mlmfast.fs.paths import as_path
from mlmfast.options import takes_fields_of
from mlmfast.training.probing.files import FILES, RESULT_FILE
from mlmfast.training.probing.options import ProbeOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmfast.training.probing.result import ProbeResult
    from mlmfast.training.probing.scores import Score


@takes_fields_of(ProbeOptions)
def probe(options: ProbeOptions) -> ProbeResult:
    """Measure how well checkpoints tell the classes of labelled texts apart.

    A linear probe is a logistic regression on the states of the frozen model, pooled to one vector
    a text. Each text runs through each model once. Every seed divides the training texts anew: 80 %
    to fit, 20 % to choose the strength of the penalty, or the epoch of a fine-tuning. The divisions
    and the test texts are the same for all models, so that differences are paired.

    Args:
        models: a checkpoint folder or a Hub name, or a list of them; the later ones are compared
            with the first.
        train: texts with labels: files, patterns, folders of `datasets`, Arrow tables, data frames,
            data sets, or a list of these.
        test: texts with labels to test on; None takes a part of `train`, with the shares of the
            classes kept.
        text_column: the column with the texts.
        label_column: the column with the labels: text, numbers, true and false, or a `ClassLabel`.
        test_size: the share of `train` to test on, without `test`.
        split: the split of a data set to train on, such as `train[:5000]`.
        test_split: the split of a data set to test on.
        format: the format of the files; None goes by their names.
        csv_delimiter: the character between fields; None: comma in CSV, tab in TSV.
        csv_quoting: `minimal`, or `none` where quotes are text.
        seeds: number of divisions of the training texts.
        seed: the first seed.
        pooling: `mean` of the states of all tokens, or `cls`, the state of the first.
        layer: the layer of the states; 0 is the embeddings, -1 the last layer.
        max_length: cut longer texts to this many tokens; None: what the model takes, at most 512.
        batch_size: texts of a batch.
        finetune: also fine-tune each model with a new head, with every seed.
        epochs: epochs of a fine-tuning; the best on the held-out texts counts.
        learning_rate: peak learning rate of a fine-tuning.
        finetune_batch_size: texts of a fine-tuning's batch.
        confidence: confidence level of the intervals.
        device: a torch device; None takes the GPU if there is one.
        precision: `auto`, `fp32` or `bf16`; see `choose_precision`.
        output: a folder for `probe.json`, `probe.html`, `probe.png` and the fine-tuned models, of
            each checkpoint the one that is best on its held-out texts, as a folder of
            `AutoModelForSequenceClassification`; None writes nothing.
        overwrite: replace the output of an earlier run.
        progress: show bars on stderr (if it is a terminal).

    Raises:
        NotFoundError: no such model or file.
        InputError: a column, a text or a label is missing, there are too few texts of a class, the
            test has a class that the training texts do not have, or a model has no tokenizer.
        OutputExistsError: the output exists and may not be replaced.
        MissingDependencyError: scikit-learn is not installed.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise MissingDependencyError(
            "A probe needs scikit-learn, which is not installed: pip install 'mlmfast[probe]'."
        )
    names = _names_of(options.models)
    with _output(options) as folder:
        return _probe(options, names, folder)


def _probe(options: ProbeOptions, names: dict[str, str], folder: Path | None) -> ProbeResult:
    from mlmfast.training.probing.encoder import open_encoder
    from mlmfast.training.probing.measure import FINE_TUNED, LINEAR, measure
    from mlmfast.training.probing.report import write_report
    from mlmfast.training.probing.result import ProbeResult
    from mlmfast.training.probing.scores import difference_of, macro_f1s
    from mlmfast.training.probing.tasks import read_task

    task = read_task(options)
    for source in names.values():  # before the first of them has run for an hour
        open_encoder(source, options)
    divisions = {
        seed: task.divide(seed) for seed in range(options.seed, options.seed + options.seeds)
    }
    rows: list[Score] = []
    predictions: dict[str, list[tuple[str, np.ndarray]]] = {LINEAR: [], FINE_TUNED: []}
    for name, source in names.items():
        target = None if folder is None else folder / name
        for score, answers in measure(name, source, task, divisions, options, target):
            rows.append(score)
            predictions[score.method].append((name, answers))
    majority = np.bincount(task.train_classes).argmax()
    always = np.full((1, len(task.test)), majority)
    output = None if options.output is None else as_path(options.output)
    result = ProbeResult(
        rows=rows,
        differences=[
            difference_of(each, measured[0], method, task.test_classes, options.confidence)
            for method, measured in predictions.items()
            for each in measured[1:]
        ],
        majority_class=task.classes[majority],
        majority_accuracy=float((task.test_classes == majority).mean()),
        majority_f1=float(macro_f1s(always, task.test_classes)[0]),
        class_shares=task.class_shares(),
        models=names,
        origin=task.origin,
        train_texts=len(task.train),
        test_texts=len(task.test),
        repeated=task.repeated,
        seeds=options.seeds,
        seed=options.seed,
        settings=_settings(options),
        output=output,
        folders={name: output / name for name in names} if options.finetune and output else {},
    )
    if folder is not None:
        write_report(folder, result)
    return result


def _names_of(models: Any) -> dict[str, str]:
    """Return a short name for each model: the last part of its path, or all parts.

    Raises:
        InputError: there is no model, or one is given twice.
    """
    given = [str(each) for each in (models if isinstance(models, list | tuple) else [models])]
    if not given:
        raise InputError("There is no model: name a checkpoint folder, or a model on the Hub.")
    if len(set(given)) < len(given):
        twice = next(each for each in given if given.count(each) > 1)
        raise InputError(f"The model {twice} is given twice.")
    short = [as_path(each).absolute().name for each in given]
    if len(set(short)) < len(short):
        short = ["-".join(each.strip("/.").split("/")) for each in given]
    names = dict(zip(short, given, strict=True))
    if len(names) < len(given) or set(FILES) & set(names):
        raise InputError(f"The models {', '.join(given)} need names that differ: rename a folder.")
    return names


@contextmanager
def _output(options: ProbeOptions) -> Iterator[Path | None]:
    """Yield the folder to write; None without `output`."""
    if options.output is None:
        yield None
        return

    def is_ours(path: Path) -> bool:
        return (path / RESULT_FILE).is_file()

    with atomic_output_dir(options.output, overwrite=options.overwrite, is_ours=is_ours) as folder:
        yield folder


def _settings(options: ProbeOptions) -> dict[str, Any]:
    names = ["pooling", "layer", "max_length", "precision"]
    if options.finetune:
        names += ["epochs", "learning_rate", "finetune_batch_size"]
    return {name: getattr(options, name) for name in names}

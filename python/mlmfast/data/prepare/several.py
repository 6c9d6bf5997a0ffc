"""Several named sources, each with options of its own: a block store for each, in one folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.data.prepare.checkpoint import run_fingerprint
from mlmfast.data.prepare.options import SOURCE_OPTIONS, PrepareOptions
from mlmfast.data.prepare.report import PrepareReport, counted
from mlmfast.data.prepare.run import run_prepare, store_at
from mlmfast.data.sources.open import open_sources
from mlmfast.data.store.folder import holds_store_alone
from mlmfast.data.store.store import open_splits
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError, MlmfastError
from mlmfast.fs.atomic import write_atomic
from mlmfast.fs.paths import is_stray
from mlmfast.fs.remote.urls import is_url
from mlmfast.fs.staging import StagingDir, resumable
from mlmfast.options import did_you_mean

if TYPE_CHECKING:
    from mlmfast.data.tokenization.load import LoadedTokenizer

OWN_OPTIONS = (
    *SOURCE_OPTIONS,
    "test_size",
    "test_by",
    "test_from",
    "drop_empty",
    "limit",
    "shuffle_documents",
    "deduplicate",
    "near_ngram",
    "near_threshold",
    "filters",
)
"""The options that a source may have for itself; the others decide what the ids mean."""
_INPUTS = "inputs"
_RESERVED = {"train", "test"}  # the folders of a store with splits


def run_prepare_several(
    sources: Mapping[str, Any], output: str | Path, options: PrepareOptions
) -> dict[str, PrepareReport]:
    """Turn several sources into a block store each, `output`/NAME.

    The folder appears when all are complete. A killed run keeps the stores that are complete, and
    what the one in work can resume.

    Args:
        sources: By name, what `prepare` takes as inputs, or a mapping of `inputs` and of
            `OWN_OPTIONS`.
        output: The folder to write, or its URL.
        options: The options of all sources that have none of their own.

    Raises:
        InputError: A name, an option or a text cannot be used.
        NotFoundError: A file, a data set or the tokenizer does not exist.
        OutputExistsError: `output` exists already, or another run is writing it.
    """
    if is_url(output):
        with store_at(str(output), options) as folder:
            reports = run_prepare_several(sources, folder, options)
            for report in reports.values():
                report.stores.clear()
        for name, report in reports.items():
            report.output = f"{str(output).rstrip('/')}/{name}"
            report.stores = open_splits(report.output)
        return reports
    tokenizer = load_tokenizer(options.tokenizer)
    options = replace(options, tokenizer=tokenizer)
    given = {name: _own(name, source, options) for name, source in sources.items()}
    if not given:
        raise InputError("There are no sources: give at least one name with its inputs.")
    # All files are looked for before the first source is read.
    keys = {
        name: _fingerprint(name, inputs, tokenizer, own) for name, (inputs, own) in given.items()
    }
    output = Path(output)
    reports = {}
    with resumable(output, overwrite=options.overwrite, is_ours=holds_stores_alone) as work:
        finished = _Finished(work)
        for path in _entries(work.output):
            if path.name not in {*given, *map(_staging_name, given)}:
                _remove(path)
        for name, (inputs, own) in given.items():
            folder = work.output / name
            work.claimed = True
            if own.resume and finished.is_same(name, keys[name]):
                reports[name] = _kept_report(folder)
                continue
            reports[name] = _run(name, inputs, folder, own)
            finished.add(name, keys[name])
    for name, report in reports.items():
        report.output = output / name
        report.stores = open_splits(report.output)
    return reports


def is_several(inputs: Any) -> bool:
    """Whether inputs are several sources by name; a `DatasetDict` is one."""
    return isinstance(inputs, Mapping) and not hasattr(inputs, "select_columns")


def holds_stores_alone(folder: Path) -> bool:
    """Whether `folder` holds folders of block stores and nothing else, and may be replaced."""
    entries = _entries(folder)
    return bool(entries) and all(one.is_dir() and holds_store_alone(one) for one in entries)


def _entries(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if not is_stray(path)]


def _own(name: Any, source: Any, options: PrepareOptions) -> tuple[Any, PrepareOptions]:
    """Return the inputs of a source, and its options."""
    parts = Path(name).parts if isinstance(name, str) else ()
    if parts != (name,) or name.startswith(".") or name in _RESERVED:
        raise InputError(
            f"A source is named like a folder, and neither train nor test; got {name!r}."
        )
    if not isinstance(source, Mapping):
        return source, replace(options, overwrite=False)
    for key in source:
        if key not in (_INPUTS, *OWN_OPTIONS):
            hint = did_you_mean(str(key), (_INPUTS, *OWN_OPTIONS))
            raise InputError(f"The source {name!r} has no option {key!r}{hint}")
    own = {key: value for key, value in source.items() if key != _INPUTS}
    try:
        return source.get(_INPUTS), replace(options, **{**own, "overwrite": False})
    except MlmfastError as error:
        _name_source(name, error)
        raise


def _run(name: str, inputs: Any, folder: Path, options: PrepareOptions) -> PrepareReport:
    _remove(folder)
    try:
        report = run_prepare(inputs, folder, options)
    except MlmfastError as error:
        _name_source(name, error)
        raise
    report.warnings = [f"The source {name!r}: {warning}" for warning in report.warnings]
    report.stores.clear()  # the folder will move
    return report


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _name_source(name: str, error: MlmfastError) -> None:
    error.args = (f"The source {name!r}: {error}",)


def _fingerprint(
    name: str, inputs: Any, tokenizer: LoadedTokenizer, options: PrepareOptions
) -> dict[str, Any] | None:
    """Describe everything that the bytes of a store depend on; None if that is not known."""
    if options.dataset_name is not None or hasattr(inputs, "__arrow_c_stream__"):
        return None
    try:
        opened = open_sources(inputs, format=options.format, split=options.split)
    except MlmfastError as error:
        _name_source(name, error)
        raise
    return run_fingerprint(opened, tokenizer, options)


def _staging_name(name: str) -> str:
    return f".{name}.partial-prepare"


def _kept_report(folder: Path) -> PrepareReport:
    """Return the report of a store that an earlier run completed."""
    report = PrepareReport(folder)
    manifests = [store.manifest for store in open_splits(folder).values()]
    report.documents = sum(each.documents for each in manifests)
    report.text_bytes = report.kept_text_bytes = sum(each.text_bytes for each in manifests)
    report.dropped_tokens = sum(each.dropped_tokens for each in manifests)
    report.tokens = report.kept_tokens = sum(
        each.tokens - each.padding_tokens + each.dropped_tokens for each in manifests
    )
    report.kept_shards = sum(len(each.shards) for each in manifests)
    report.seconds = 1e-3
    return report


class _Finished:
    """The sources whose stores are complete, in the state file of the run."""

    def __init__(self, work: StagingDir) -> None:
        self._work = work
        try:
            content = json.loads(work.state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            content = {}
        self._keys: dict[str, Any] = content if isinstance(content, dict) else {}
        work.output.mkdir(exist_ok=True)
        work.kept = self._describe

    def is_same(self, name: str, key: dict[str, Any] | None) -> bool:
        """Whether the store of a source is complete, and made of the same input."""
        folder = self._work.output / name
        if key is None or self._keys.get(name) != key or not folder.is_dir():
            return False
        try:
            open_splits(folder)
        except MlmfastError:
            return False
        return True

    def add(self, name: str, key: dict[str, Any] | None) -> None:
        """Record that the store of a source is complete."""
        self._keys[name] = key
        write_atomic(self._work.state, json.dumps(self._keys).encode())

    def _describe(self) -> str | None:
        entries = [path.name for path in _entries(self._work.output)]
        begun = any(name.startswith(".") for name in entries)
        if not begun and not self._keys:
            return None
        kept = f"{counted(len(self._keys), 'finished source')} kept in {str(self._work.root)!r}"
        return f"{kept}: the same command resumes from there, and starts over with --no-resume."

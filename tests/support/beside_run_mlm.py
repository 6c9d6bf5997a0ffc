"""Command lines that run_mlm.py and `mlmfast run-mlm` both run, and what each of them leaves.

`tests/tools/run_beside_run_mlm.py` is the program. A process that has imported what takes seconds
forks one for every run.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import runpy
import shlex
import shutil
import sys
import traceback
from pathlib import Path

from left_by_run_mlm import Run
from run_mlm_cases import CASES, USUAL
from toy import TINY, sentences

# evaluate.load("accuracy") fetches the metric from the Hub.
_STAND_IN = """
class Accuracy:
    def compute(self, predictions, references):
        return {"accuracy": float((predictions == references).mean())}


def load(name, cache_dir=None):
    assert name == "accuracy"
    return Accuracy()
"""


def preload(home: Path) -> None:
    """Import what takes seconds, before anything computes: threads do not outlive a fork."""
    (home / "stand_in").mkdir()
    (home / "stand_in" / "evaluate.py").write_text(_STAND_IN)
    sys.path.insert(0, str(home / "stand_in"))
    for module in ("transformers.trainer", "mlmfast.training.run_mlm.command"):
        importlib.import_module(module)


def make_inputs(home: Path) -> None:
    """Write the texts, the tokenizer and the model that the command lines name."""
    _forked(_write_inputs, home)


def run_case(home: Path, case: str, script: Path | None) -> Run:
    """Run a case by the script, or by `mlmfast run-mlm` where there is none."""
    given = CASES[case]
    folder = home / "runs" / ("theirs" if script else "ours")
    output = folder / "out"
    output.parent.mkdir(parents=True)
    if given.found is not None:
        output.mkdir()
        (output / given.found).write_text("mine")
    status = 0
    for line in filter(None, (given.first, given.words)):
        words = shlex.split(
            f"{USUAL} --output_dir {output} " + line.format(home=home, output=output)
        )
        if given.as_file:
            words = [_settings_file(folder, words)]
        status = _forked(_program, script, words, log=folder / "log")
    return Run(status, output, (folder / "log").read_text(errors="replace"))


def _settings_file(folder: Path, words: list[str]) -> str:
    flags = {}
    for at, word in enumerate(words):
        if word.startswith("--"):
            value = words[at + 1] if at + 1 < len(words) else "--"
            flags[word[2:]] = True if value.startswith("--") else _number(value)
    (folder / "flags.json").write_text(json.dumps(flags))
    return str(folder / "flags.json")


def _number(value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return value == "True" or value


def _forked(function, *args, log: Path | None = None) -> int:
    """Run a function in a process of its own, and give its exit status."""
    process = multiprocessing.get_context("fork").Process(target=_child, args=(function, args, log))
    process.start()
    process.join()
    if log is None and process.exitcode:
        raise RuntimeError(f"{function.__name__} failed")
    return process.exitcode or 0


def _child(function, args: tuple, log: Path | None) -> None:
    if log is not None:
        opened = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, 1)
        os.dup2(opened, 2)
    try:
        function(*args)
    except SystemExit:
        raise
    except BaseException:  # noqa: BLE001 (a program in place of this process may raise any)
        traceback.print_exc()
        sys.exit(1)


def _program(script: Path | None, words: list[str]) -> None:
    if script is None:
        sys.argv = ["mlmfast", "run-mlm", *words]
        runpy.run_module("mlmfast", run_name="__main__", alter_sys=True)
    else:
        sys.argv = [str(script), *words]
        runpy.run_path(str(script), run_name="__main__")


def _write_inputs(home: Path) -> None:
    import datasets
    import transformers

    from mlmfast.data.tokenization.train import train_tokenizer

    lines = sentences(120)
    held_out = sentences(40, seed=1)
    (home / "train.txt").write_text("\n".join([*lines[:3], "", "   ", *lines[3:]]) + "\n")
    (home / "valid.txt").write_text("\n".join(held_out) + "\n")
    table = [f'"{line}",{at}' for at, line in enumerate(lines)]
    (home / "train.csv").write_text("\n".join(["sentence,number", *table]) + "\n")
    records = (json.dumps({"number": at, "text": line}) for at, line in enumerate(lines))
    (home / "train.json").write_text("\n".join(records) + "\n")
    numbers = [f"{at},{line}" for at, line in enumerate(lines)]
    (home / "numbers.csv").write_text("\n".join(["number,sentence", *numbers]) + "\n")
    (home / "short.txt").write_text("the old cat\n" * 3)
    (home / "empty.txt").write_text("")
    (home / "dataset").mkdir()
    for split, rows in (("train", lines), ("validation", held_out)):
        datasets.Dataset.from_dict({"text": rows}).to_json(home / "dataset" / f"{split}.jsonl")
    (home / "train_alone").mkdir()
    shutil.copy(home / "train.json", home / "train_alone" / "train.json")
    train_tokenizer(lines, home / "tokenizer", vocab_size=300)
    tokenizer = transformers.AutoTokenizer.from_pretrained(home / "tokenizer")
    tokenizer.model_max_length = 32
    tokenizer.save_pretrained(home / "model")
    transformers.set_seed(0)
    config = transformers.BertConfig(vocab_size=300, max_position_embeddings=40, **TINY)
    transformers.BertForMaskedLM(config).save_pretrained(home / "model")
    tokenizer.add_tokens([f"word{at}" for at in range(300 - len(tokenizer) + 5)])
    tokenizer.save_pretrained(home / "larger")

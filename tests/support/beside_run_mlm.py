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
from dataclasses import dataclass
from pathlib import Path

from left_by_run_mlm import Run
from toy import TINY, sentences

_USUAL = "--use_cpu --report_to none --disable_tqdm True --seed 3 --max_seq_length 16"
_MODEL = "--model_name_or_path {home}/model"
_TEXT = "--train_file {home}/train.txt --validation_file {home}/valid.txt"
_BOTH = f"{_MODEL} {_TEXT} --do_train --do_eval"
_SCRATCH = "--model_type bert --tokenizer_name {home}/tokenizer --config_overrides " + ",".join(
    f"{name}={value}" for name, value in {**TINY, "vocab_size": 300}.items()
)
# evaluate.load("accuracy") fetches the metric from the Hub.
_STAND_IN = """
class Accuracy:
    def compute(self, predictions, references):
        return {"accuracy": float((predictions == references).mean())}


def load(name, cache_dir=None):
    assert name == "accuracy"
    return Accuracy()
"""


@dataclass(frozen=True)
class Case:
    """A command line.

    Attributes:
        words: the flags, beside the usual ones; `{home}` is the folder of the inputs, `{output}`
            the output folder.
        first: flags of an earlier run with the same output folder.
        found: a file that lies in the output folder before.
        resumes_by_itself: it takes a version of the script that looks for checkpoints.
        as_file: the flags are in a JSON file, which is the sole argument.
        listed: a flag of "Flags that do something else" in docs/run_mlm.md that makes a difference.
    """

    words: str
    first: str | None = None
    found: str | None = None
    resumes_by_itself: bool = False
    as_file: bool = False
    listed: str | None = None


CASES = {
    "train and evaluate": Case(f"{_BOTH} --num_train_epochs 2 --logging_steps 4 --save_steps 10"),
    "defaults": Case(_BOTH),
    "learns": Case(f"{_BOTH} --num_train_epochs 8 --learning_rate 5e-3 --logging_steps 20"),
    "length of the tokenizer": Case(f"{_BOTH} --max_seq_length 200"),
    "evaluate alone": Case(f"{_MODEL} --validation_file {{home}}/valid.txt --do_eval"),
    "train alone": Case(
        f"{_MODEL} --train_file {{home}}/train.txt --do_train --num_train_epochs 1 "
        "--logging_steps 1 --learning_rate 1e-3 --warmup_steps 3 --lr_scheduler_type cosine "
        "--gradient_accumulation_steps 2 --weight_decay 0.1 --mlm_probability 0.3"
    ),
    "neither": Case(f"{_MODEL} {_TEXT}"),
    "lines": Case(f"{_BOTH} --line_by_line --eval_strategy epoch --logging_steps 5"),
    "lines, padded": Case(f"{_BOTH} --line_by_line --pad_to_max_length --max_steps 5"),
    "lines, grouped by length": Case(f"{_BOTH} --line_by_line --group_by_length --max_steps 3"),
    "a share held out": Case(
        f"{_MODEL} --train_file {{home}}/train.txt --validation_split_percentage 20 --do_train "
        "--do_eval --max_steps 4"
    ),
    "samples": Case(
        f"{_BOTH} --max_train_samples 20 --max_eval_samples 5 --num_train_epochs 1 "
        "--per_device_train_batch_size 4 --dataloader_drop_last"
    ),
    "more samples than there are": Case(
        f"{_BOTH} --max_train_samples 2000 --max_eval_samples 500 --max_steps 2"
    ),
    "csv": Case(
        f"{_MODEL} --train_file {{home}}/train.csv --do_train --do_eval --line_by_line "
        "--max_steps 3 --validation_split_percentage 10"
    ),
    "json": Case(
        f"{_MODEL} --train_file {{home}}/train.json --validation_file {{home}}/train.json "
        "--do_train --do_eval --max_steps 3"
    ),
    "data set": Case(
        f"{_MODEL} --dataset_name {{home}}/dataset --do_train --do_eval --max_steps 3"
    ),
    "data set, streamed": Case(
        f"{_MODEL} --dataset_name {{home}}/dataset --do_train --max_steps 3 --streaming",
        listed="--streaming",
    ),
    "flags in a file": Case(f"{_BOTH} --max_steps 3 --learning_rate 1e-3", as_file=True),
    "random weights": Case(
        f"{_SCRATCH} {_TEXT} --do_train --do_eval --max_steps 6", listed="--model_type"
    ),
    "checkpoints": Case(
        f"{_BOTH} --max_steps 8 --save_steps 2 --save_total_limit 2 --eval_strategy steps "
        "--eval_steps 2 --logging_steps 2 --load_best_model_at_end "
        "--metric_for_best_model eval_accuracy --save_only_model"
    ),
    "resumed": Case(
        f"{_BOTH} --max_steps 6 --save_steps 2 --logging_steps 1 "
        "--resume_from_checkpoint {output}/checkpoint-4 --overwrite_output_dir",
        first=f"{_BOTH} --max_steps 4 --save_steps 2 --logging_steps 1",
    ),
    "goes on by itself": Case(
        f"{_BOTH} --max_steps 6 --save_steps 2 --logging_steps 1",
        first=f"{_BOTH} --max_steps 4 --save_steps 2 --logging_steps 1",
        resumes_by_itself=True,
    ),
    "output not empty": Case(f"{_BOTH} --max_steps 2", found="notes.txt", resumes_by_itself=True),
    "output overwritten": Case(f"{_BOTH} --max_steps 2 --overwrite_output_dir", found="notes.txt"),
    "evaluate into a folder with files": Case(
        f"{_MODEL} --validation_file {{home}}/valid.txt --do_eval", found="notes.txt"
    ),
    "bf16 weights": Case(f"{_BOTH} --dtype bfloat16 --max_steps 3 --logging_steps 1"),
    "fp16 weights": Case(f"{_BOTH} --dtype float16 --max_steps 3 --logging_steps 1"),
    "flags of the optimizer": Case(
        f"{_BOTH} --max_steps 4 --logging_first_step --optim adafactor --max_grad_norm 0.5 "
        "--label_smoothing_factor 0.1 --neftune_noise_alpha 5 --gradient_checkpointing "
        "--lr_scheduler_type constant_with_warmup --warmup_ratio 0.5 --logging_steps 2"
    ),
    "flags of the loop": Case(
        f"{_BOTH} --num_train_epochs 1 --eval_on_start --save_strategy epoch --eval_strategy epoch "
        "--logging_strategy epoch --include_num_input_tokens_seen --save_safetensors False "
        "--per_device_train_batch_size 3 --per_device_eval_batch_size 5"
    ),
    "parts of the steps": Case(
        f"{_BOTH} --max_steps 10 --eval_strategy steps --eval_steps 0.2 --save_steps 0.4 "
        "--logging_steps 0.1 --eval_delay 4 --preprocessing_num_workers 2 --overwrite_cache"
    ),
    "a larger tokenizer": Case(f"{_BOTH} --tokenizer_name {{home}}/larger --max_steps 2"),
    "a slow tokenizer": Case(f"{_BOTH} --use_fast_tokenizer False --max_steps 2"),
    "other data set": Case(
        f"{_MODEL} --dataset_name {{home}}/train_alone --dataset_config_name default "
        "--validation_split_percentage 30 --do_train --do_eval --max_steps 2 --line_by_line"
    ),
    "missing file": Case(f"{_MODEL} --train_file {{home}}/none.txt --do_train"),
    "other ending": Case(f"{_MODEL} --train_file {{home}}/train.docx --do_train"),
    "no tokenizer": Case(f"--model_type bert {_TEXT} --do_train"),
    "no text": Case(f"{_MODEL} --do_train"),
    "no train split": Case(f"{_MODEL} --validation_file {{home}}/valid.txt --do_train"),
    "unknown flag": Case(f"{_BOTH} --lerning_rate 1"),
    "overrides of a checkpoint": Case(f"{_BOTH} --config_overrides hidden_size=8"),
}


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
            f"{_USUAL} --output_dir {output} " + line.format(home=home, output=output)
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

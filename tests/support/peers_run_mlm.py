"""run_mlm.py's flags, and what it does with a line a row, made of the Trainer and its collator.

The script is no part of transformers' package, so its steps are written down here.
"""

from __future__ import annotations

import math
import re

import datasets
import numpy as np
import transformers

from places import ROOT

DOCS = ROOT / "docs" / "run_mlm.md"
# ModelArguments and DataTrainingArguments of run_mlm.py (transformers 4.57), with their defaults.
THEIRS = {
    "model_name_or_path": None,
    "model_type": None,
    "config_overrides": None,
    "config_name": None,
    "tokenizer_name": None,
    "cache_dir": None,
    "use_fast_tokenizer": True,
    "model_revision": "main",
    "token": None,
    "trust_remote_code": False,
    "dtype": None,
    "low_cpu_mem_usage": False,
    "dataset_name": None,
    "dataset_config_name": None,
    "train_file": None,
    "validation_file": None,
    "overwrite_cache": False,
    "validation_split_percentage": 5,
    "max_seq_length": None,
    "preprocessing_num_workers": None,
    "mlm_probability": 0.15,
    "line_by_line": False,
    "pad_to_max_length": False,
    "max_train_samples": None,
    "max_eval_samples": None,
    "streaming": False,
}


def table_of(heading):
    """Give the names in the first column of a table of docs/run_mlm.md."""
    section = DOCS.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def accuracy(predictions):
    hits, labels = predictions
    asked = labels != -100
    return {"accuracy": float(np.mean(hits[asked] == labels[asked]))}


def peers_run(home, output, *, train_file, validation_file, length, steps, train=True):
    """Train and measure as `--line_by_line --do_train --do_eval` does, or measure alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(home / "model")
    files = {"train": str(train_file), "validation": str(validation_file)}
    lines = datasets.load_dataset("text", data_files=files)

    def tokenize(batch):
        texts = [line for line in batch["text"] if line and not line.isspace()]
        return tokenizer(texts, truncation=True, max_length=length, return_special_tokens_mask=True)

    # Rows from the cache of `datasets` would leave the saved tokenizer without truncation.
    rows = lines.map(tokenize, batched=True, remove_columns=["text"], load_from_cache_file=False)
    arguments = transformers.TrainingArguments(
        output_dir=str(output), do_train=train, do_eval=True, max_steps=steps, save_steps=2,
        eval_strategy="steps", eval_steps=2, load_best_model_at_end=True,
        metric_for_best_model="eval_accuracy", use_cpu=True, report_to="none", disable_tqdm=True,
    )  # fmt: skip
    trainer = transformers.Trainer(
        model=transformers.AutoModelForMaskedLM.from_pretrained(home / "model"),
        args=arguments,
        train_dataset=rows["train"],
        eval_dataset=rows["validation"],
        processing_class=tokenizer,
        data_collator=transformers.DataCollatorForLanguageModeling(tokenizer),
        compute_metrics=accuracy,
        preprocess_logits_for_metrics=lambda logits, _labels: logits.argmax(-1),
    )
    if train:
        metrics = trainer.train().metrics
        trainer.save_model()
        metrics["train_samples"] = len(rows["train"])
        trainer.save_metrics("train", metrics)
        trainer.save_state()
    metrics = trainer.evaluate()
    metrics["eval_samples"] = len(rows["validation"])
    metrics["perplexity"] = math.exp(metrics["eval_loss"])
    trainer.save_metrics("eval", metrics)
    trainer.create_model_card(finetuned_from=str(home / "model"), tasks="fill-mask")

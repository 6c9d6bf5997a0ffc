"""What run_mlm.py does with a line a row, made of the same parts: the Trainer and its collator.

The script is no part of transformers' package, so its steps are written down here.
"""

from __future__ import annotations

import math

import datasets
import numpy as np
import transformers


def accuracy(predictions):
    hits, labels = predictions
    asked = labels != -100
    return {"accuracy": float(np.mean(hits[asked] == labels[asked]))}


def peers_run(home, output, *, train_file, validation_file, length, steps):
    """Train and measure as `--line_by_line --do_train --do_eval` does."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(home / "model")
    files = {"train": str(train_file), "validation": str(validation_file)}
    lines = datasets.load_dataset("text", data_files=files)

    def tokenize(batch):
        texts = [line for line in batch["text"] if line and not line.isspace()]
        return tokenizer(texts, truncation=True, max_length=length, return_special_tokens_mask=True)

    rows = lines.map(tokenize, batched=True, remove_columns=["text"])
    arguments = transformers.TrainingArguments(
        output_dir=str(output), do_train=True, do_eval=True, max_steps=steps, save_steps=2,
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
    metrics = trainer.train().metrics
    trainer.save_model()
    metrics["train_samples"] = len(rows["train"])
    trainer.save_metrics("train", metrics)
    trainer.save_state()
    metrics = trainer.evaluate()
    metrics["eval_samples"] = len(rows["validation"])
    metrics["perplexity"] = math.exp(metrics["eval_loss"])
    trainer.save_metrics("eval", metrics)
    trainer.create_model_card(tasks="fill-mask")

"""Command lines for run_mlm.py and `mlmfast run-mlm`, by what they try."""

from __future__ import annotations

from dataclasses import dataclass

from toy import TINY

USUAL = "--use_cpu --report_to none --disable_tqdm True --seed 3 --max_seq_length 16"
_MODEL = "--model_name_or_path {home}/model"
_TEXT = "--train_file {home}/train.txt --validation_file {home}/valid.txt"
_BOTH = f"{_MODEL} {_TEXT} --do_train --do_eval"
_SCRATCH = "--model_type bert --tokenizer_name {home}/tokenizer --config_overrides " + ",".join(
    f"{name}={value}" for name, value in {**TINY, "vocab_size": 300}.items()
)


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
    "fp16 weights": Case(f"{_BOTH} --dtype float16 --max_steps 3", listed="--dtype"),
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
    # Unusual values.
    "evaluate on a share of the training text": Case(
        f"{_MODEL} --train_file {{home}}/train.txt --do_eval --validation_split_percentage 25"
    ),
    "nothing held out": Case(
        f"{_MODEL} --train_file {{home}}/train.txt --do_train --do_eval "
        "--validation_split_percentage 0 --max_steps 2"
    ),
    "half an epoch": Case(f"{_BOTH} --num_train_epochs 0.5 --save_strategy no --max_steps -1"),
    "no epoch": Case(f"{_BOTH} --num_train_epochs 0"),
    "loss alone": Case(
        f"{_BOTH} --max_steps 2 --prediction_loss_only", listed="--prediction_loss_only"
    ),
    "legacy prediction loop": Case(f"{_BOTH} --max_steps 2 --use_legacy_prediction_loop"),
    "memory": Case(f"{_BOTH} --max_steps 2 --skip_memory_metrics False"),
    "bf16": Case(f"{_BOTH} --max_steps 3 --bf16 --logging_steps 1"),
    "fp16": Case(f"{_BOTH} --max_steps 3 --fp16 --logging_steps 1"),
    "configuration of another": Case(f"{_BOTH} --max_steps 2 --config_name {{home}}/model"),
    "two seeds": Case(f"{_BOTH} --max_steps 2 --data_seed 5 --full_determinism --log_level error"),
    "scheduler": Case(
        f"{_BOTH} --max_steps 4 --logging_steps 1 --lr_scheduler_type polynomial "
        "--lr_scheduler_kwargs '{{\"power\": 2}}' --optim sgd --optim_args momentum=0.5"
    ),
    "checkpoint that is not there": Case(f"{_BOTH} --resume_from_checkpoint {{home}}/none"),
    "best without an evaluation": Case(f"{_BOTH} --load_best_model_at_end"),
    "evaluated without a text": Case(
        f"{_MODEL} --train_file {{home}}/train.txt --do_train --eval_strategy steps --eval_steps 1"
    ),
    "unknown metric": Case(
        f"{_BOTH} --max_steps 2 --eval_strategy steps --eval_steps 1 --save_steps 1 "
        "--load_best_model_at_end --metric_for_best_model eval_bleu"
    ),
    "no samples": Case(f"{_BOTH} --max_train_samples 0 --max_steps 2"),
    "a share of no row": Case(
        f"{_MODEL} --train_file {{home}}/short.txt --do_train --max_steps 1",
        listed="--validation_split_percentage",
    ),
    "no whole block": Case(
        f"{_MODEL} --train_file {{home}}/short.txt --do_train --max_seq_length 32 "
        "--validation_split_percentage 50"
    ),
    "empty file": Case(f"{_MODEL} --train_file {{home}}/empty.txt --do_train"),
    "numbers first": Case(f"{_MODEL} --train_file {{home}}/numbers.csv --do_train --max_steps 1"),
    "a decoder": Case(f"--model_type gpt2 --tokenizer_name {{home}}/tokenizer {_TEXT} --do_train"),
    "a batch of none": Case(f"{_BOTH} --per_device_train_batch_size 0"),
    "another switch": Case(f"{_BOTH} --line_by_line maybe"),
    "no output": Case(f"{_BOTH} --output_dir"),
    # What both refuse.
    "missing file": Case(f"{_MODEL} --train_file {{home}}/none.txt --do_train"),
    "other ending": Case(f"{_MODEL} --train_file {{home}}/train.docx --do_train"),
    "no tokenizer": Case(f"--model_type bert {_TEXT} --do_train"),
    "no text": Case(f"{_MODEL} --do_train"),
    "no train split": Case(f"{_MODEL} --validation_file {{home}}/valid.txt --do_train"),
    "unknown flag": Case(f"{_BOTH} --lerning_rate 1"),
    "overrides of a checkpoint": Case(f"{_BOTH} --config_overrides hidden_size=8"),
}

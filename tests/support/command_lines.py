"""Command lines of run_mlm.py as people write them: its README, courses, papers' repositories.

Names of models, files and folders are as they were, so most cannot run here; all must be taken.
"""

from __future__ import annotations

README = [
    """--model_name_or_path FacebookAI/roberta-base --dataset_name wikitext
    --dataset_config_name wikitext-2-raw-v1 --per_device_train_batch_size 8
    --per_device_eval_batch_size 8 --do_train --do_eval --output_dir /tmp/test-mlm""",
    """--model_name_or_path FacebookAI/roberta-base --train_file path_to_train_file.txt
    --validation_file path_to_validation_file.txt --per_device_train_batch_size 8
    --per_device_eval_batch_size 8 --do_train --do_eval --output_dir /tmp/test-mlm""",
    """--model_type roberta --tokenizer_name roberta-base --line_by_line --pad_to_max_length
    --train_file t.txt --do_train --output_dir o --config_overrides="n_embd=1024,n_head=16" """,
    """--model_name_or_path roberta-base --dataset_name wikitext --streaming --max_steps 100
    --do_train --low_cpu_mem_usage --torch_dtype auto --output_dir o""",
]
PAPERS = [
    # dmitriydligach/Sandbox
    """--model_type bert --config_name bert-base-uncased --tokenizer_name bert-base-uncased
    --dataset_name bookcorpus --dataset_config_name plain_text --per_device_train_batch_size 32
    --per_device_eval_batch_size 32 --do_train --do_eval --output_dir TrainOut
    --overwrite_output_dir --learning_rate 1e-4 --num_train_epochs 10 --max_steps -1
    --log_level passive --logging_dir Logs --save_steps 5000""",
    """--model_type bert --config_name config.json --tokenizer_name bert-base-uncased
    --dataset_name bookcorpus --max_seq_length 512 --dataset_config_name plain_text
    --per_device_train_batch_size 32 --do_train --do_eval --output_dir Output
    --overwrite_output_dir --learning_rate 5e-05 --num_train_epochs 25 --max_steps -1
    --log_level passive --logging_dir Logs --save_steps 50000 --disable_tqdm True""",
    """--line_by_line --model_type bert --config_name config.json --tokenizer_name CuiTokenizer
    --train_file ../Data/mlm-training_data.txt --max_seq_length 100
    --per_device_train_batch_size 128 --per_device_eval_batch_size 128 --do_train --do_eval
    --output_dir Output --overwrite_output_dir --learning_rate 5e-05 --num_train_epochs 500""",
    # ManuelFay/llm-data-hub
    """--model_name_or_path microsoft/deberta-v3-xsmall --dataset_name manu/french_open_subtitles
    --gradient_accumulation_steps 8 --per_device_train_batch_size 16
    --per_device_eval_batch_size 16 --do_train --do_eval --output_dir ./data/test-mlm
    --report_to none --logging_steps 100 --save_total_limit 3 --overwrite_output_dir""",
    # Xiang-Pan/CovidQA
    """--model_name_or_path ./cached_models/roberta_squad1_2epoch
    --train_file ./mlm/context_train_and_dev.txt --validation_file ./mlm/context_dev.txt
    --do_train --do_eval --use_fast_tokenizer False
    --output_dir "./cached_models/roberta-squad1-covidmlm(train_and_dev)" """,
    # iconstantinescu/lm-critical-period
    """--model_type roberta --tokenizer_name data/roberta_tokenizer --cache_dir data/cache
    --train_file raw/train.txt --validation_file raw/validation.txt
    --per_device_train_batch_size 16 --gradient_accumulation_steps 64 --max_seq_length 510
    --do_train --do_eval --evaluation_strategy epoch --output_dir ./checkpoints/roberta-mlm-1
    --overwrite_output_dir --learning_rate 5e-4 --mlm_probability 0.4 --warmup_ratio 0.06
    --num_train_epochs 12 --save_steps 0.1 --streaming --low_cpu_mem_usage --seed 1""",
    # fairlex
    """--model_name_or_path microsoft/MiniLM-L12-H384-uncased --train_file cail_dump.txt
    --max_seq_length 128 --line_by_line true --do_train true --do_eval true
    --overwrite_output_dir false --evaluation_strategy steps --save_strategy steps
    --save_total_limit 2 --num_train_epochs 10 --learning_rate 1e-4 --adam_eps 1e-6
    --per_device_train_batch_size 8 --weight_decay 0.01 --warmup_steps 24000 --output_dir o""",
    """--model_name_or_path roberta-large --train_file data/train.json
    --validation_file data/dev.json --do_train --do_eval --logging_first_step
    --output_dir out/ --per_device_train_batch_size 8 --per_device_eval_batch_size 10
    --save_total_limit 2 --evaluation_strategy steps --logging_steps 2370 --save_steps 2370
    --eval_steps 2370 --load_best_model_at_end --metric_for_best_model eval_loss""",
    """--output_dir o --do_train --per_device_train_batch_size 512 --per_device_eval_batch_size 512
    --eval_accumulation_steps 8 --evaluation_strategy epoch --report_to none
    --learning_rate 1e-5 --num_train_epochs 10 --logging_strategy no --group_by_length
    --model_name_or_path bert-base-uncased --train_file train.json --validation_file valid.json
    --save_strategy epoch --save_total_limit 1 --load_best_model_at_end
    --metric_for_best_model eval_accuracy""",
    """--model_name_or_path bert-base-cased --train_file movie_data.txt
    --validation_file movie_data.txt --do_train --do_eval --evaluation_strategy epoch
    --output_dir runs/bert_base_cased_512bs --preprocessing_num_workers 32 --pad_to_max_length
    --gradient_checkpointing --num_train_epochs 20 --gradient_accumulation_steps 16
    --max_seq_length 512""",
    """--do_train --do_eval --train_file t.txt --validation_file ./val_seqs.txt --model_type bert
    --pad_to_max_length True --save_strategy steps --save_steps 2000 --max_steps 20000
    --evaluation_strategy steps --eval_steps 1000 --seed 42 --dataloader_num_workers 8
    --preprocessing_num_workers 12 --warmup_steps 1000 --logging_steps 1000
    --save_total_limit 10 --output_dir results --tokenizer_name ./tokenizer_unigram_251_v2/
    --config_overrides vocab_size=256 --max_seq_length 280""",
    """--output_dir="${MODEL_DIR}" --model_type="roberta" --config_name="${MODEL_DIR}"
    --tokenizer_name="${MODEL_DIR}" --dataset_name="wikitext"
    --dataset_config_name="wikitext-2-v1" --max_seq_length="128" --weight_decay="0.01"
    --per_device_train_batch_size="128" --per_device_eval_batch_size="128"
    --learning_rate="3e-4" --warmup_steps="1000" --overwrite_output_dir --pad_to_max_length
    --num_train_epochs="18" --adam_beta1="0.9" --adam_beta2="0.98" --do_train="True" """,
]
OTHERS = [
    # what forums and issues show, one trait a line
    """--model_name_or_path m --train_file t.csv --do_train --output_dir o --use_auth_token
    True""",
    """--model_name_or_path m --train_file t.csv --do_train --output_dir o --use_auth_token""",
    """--model_name_or_path m --validation_file v.txt --do_eval --output_dir o""",
    """--model-name-or-path m --train-file t.txt --do-train --output-dir o
    --no-use-fast-tokenizer""",
    """--model_name_or_path m --train_file t.txt --do_train --output_dir o
    --remove_unused_columns no""",
    """--model_name_or_path m --train_file t.txt --do_train --do_eval --output_dir o
    --eval_on_start""",
    """--model_name_or_path m --train_file t.txt --validation_file v.txt --do_train
    --output_dir o --validation_split_percentage 10""",
    """--model_name_or_path m --dataset_name d --do_train --output_dir o --push_to_hub
    --hub_model_id me/m --hub_strategy checkpoint --hub_token secret""",
    """--model_name_or_path m --train_file t.txt --do_train --output_dir o --label_names labels
    --include_for_metrics '["inputs", "loss"]' --report_to '["none"]'""",
    """--model_name_or_path m --train_file t.txt --do_train --output_dir o --lr_scheduler_type
    cosine_with_restarts --lr_scheduler_kwargs '{"num_cycles": 2}'""",
    """--model_name_or_path m --train_file t.txt --do_train --output_dir o --optim adafactor
    --torch_compile False --tf32 False --dataloader_pin_memory no --no_cuda""",
    """--model_name_or_path m --train_file t.txt --do_train --do_predict --output_dir o
    --past_index -1 --logging_nan_inf_filter False --length_column_name len
    --per_gpu_train_batch_size 4""",
    """--model_name_or_path m --train_file t.txt --do_train --output_dir o
    --resume_from_checkpoint o/checkpoint-500 --ignore_data_skip
    --ddp_find_unused_parameters False --bf16""",
    """--model_name_or_path m --train_file t.txt --do_train --output_dir o --fp16
    --fp16_opt_level O2 --half_precision_backend auto""",
    """--model_name_or_path m --train_file t.txt --dataset_config_name en --do_train
    --output_dir o""",
]
COMMAND_LINES = README + PAPERS + OTHERS

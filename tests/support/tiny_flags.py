"""Flags of `mlmfast train` for a model from scratch that trains at once."""

TINY_FLAGS = (
    "--from-scratch",
    "--model-type=roberta",
    "--config-overrides",
    "hidden_size=32,num_hidden_layers=1,num_attention_heads=2,intermediate_size=64",
    "--use-cpu",
    "--precision=fp32",
)

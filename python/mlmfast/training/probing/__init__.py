"""How well the states of a model tell labelled texts apart: linear probes and fine-tuning."""

"""Random masked language models of a few thousand weights, saved as checkpoints.

Their weights are spread wide, so that scores lie far apart and no two tokens tie.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

WORDS = (
    "the milky way is a spiral galaxy that contains our solar system and paris is the capital of "
    "france while berlin is a city in germany it does not rain , it is n't far ! "
)
KINDS = ("bert", "distilbert", "modernbert", "roberta")


@dataclass(frozen=True)
class TinyModel:
    """A checkpoint and the ONNX folder exported from it."""

    kind: str
    checkpoint: Path
    onnx: Path
    mask: str


def save_checkpoint(kind: str, folder: Path, **overrides) -> Path:
    """Write a random checkpoint of the type `kind`, with a tokenizer of its family."""
    import torch
    import transformers

    tokenizer = byte_level_bpe() if kind == "roberta" else wordpiece()
    if kind not in ("bert", "yoso"):  # the others know no segments
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
        tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names
    tokenizer.save_pretrained(folder)
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 66 if kind == "roberta" else 64,
        "initializer_range": 0.4,
        "pad_token_id": tokenizer.pad_token_id,
        **overrides,
    }
    if kind == "distilbert":
        for name, old in (
            ("dim", "hidden_size"),
            ("n_layers", "num_hidden_layers"),
            ("n_heads", "num_attention_heads"),
            ("hidden_dim", "intermediate_size"),
        ):
            sizes[name] = sizes.pop(old)
    if kind == "convbert":
        sizes["embedding_size"] = 32
    if kind == "modernbert":
        sizes |= {
            "reference_compile": False,
            "local_attention": 8,
            "global_attn_every_n_layers": 2,
            "initializer_cutoff_factor": 2.0,
            "bos_token_id": tokenizer.cls_token_id,
            "cls_token_id": tokenizer.cls_token_id,
            "eos_token_id": tokenizer.sep_token_id,
            "sep_token_id": tokenizer.sep_token_id,
        }
    config = transformers.AutoConfig.for_model(kind, **sizes)
    torch.manual_seed(0)
    transformers.AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    return folder


def byte_level_bpe():
    """Train a tokenizer with RoBERTa's layout: `<mask>` eats the blank before it."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    specials = ["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, special=True)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=340, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([WORDS], trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), add_prefix_space=False
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token=specials[-1],
        model_max_length=64,
    )


def wordpiece():
    """Train a tokenizer with BERT's layout, saved with truncation and padding switched on."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from tokenizers.trainers import WordPieceTrainer
    from transformers import PreTrainedTokenizerFast

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    trainer = WordPieceTrainer(vocab_size=150, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator([WORDS], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(6)
    tokenizer.enable_padding(length=12)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        unk_token="[UNK]",
        mask_token="[MASK]",
        model_max_length=64,
        clean_up_tokenization_spaces=True,
    )

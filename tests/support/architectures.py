"""A tiny random model of every masked-language-model type that transformers knows.

Nothing is read from a network or a file. All types share one vocabulary and one tokenizer, laid out
as RoBERTa's: <s> 0, <pad> 1, </s> 2, <unk> 3, <mask> 4, then words.
"""

from __future__ import annotations

from functools import cache
from typing import Any

WORDS = (
    "the milky way is a spiral galaxy that contains our solar system and paris capital of france "
    "while berlin city in germany it does not rain far cat sat on mat quick brown fox jumps over "
    "lazy dog seven wizards mix jar very strange potions nobody notices moon rising again"
)
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
VOCABULARY = [*SPECIALS, *WORDS.split()]
LONGEST = 64
# Wide enough that every input shows in every logit: with the usual 0.02 a graph that forgets an
# input would pass unnoticed.
SPREAD = 0.2

COMMON: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    # Two more than the longest text: RoBERTa's positions begin behind its padding's.
    "max_position_embeddings": LONGEST + 2,
    "type_vocab_size": 2,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "cls_token_id": 0,
    "sep_token_id": 2,
    "mask_token_id": 4,
}
SEQ2SEQ = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": 2,
}
XLM = {
    "emb_dim": 32,
    "n_layers": 2,
    "n_heads": 2,
    "n_words": len(VOCABULARY),
    "bos_index": 0,
    "pad_index": 1,
    "eos_index": 2,
    "unk_index": 3,
    "mask_index": 4,
    "n_langs": 1,
}
# As their published checkpoints are, whatever the defaults.
NO_SEGMENTS = {"type_vocab_size": 1}
LAYERS = {"layer_types": ["sliding_attention", "full_attention"]}
ULTRABERT = {
    "max_position_embeddings": LONGEST,
    "prediction_head_size": 16,
    "sliding_window": 8,
    **LAYERS,
}
IMAGES = {
    "vision_config": {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    },
    "pixel_shuffle_factor": 2,
    "image_token_id": 5,
}
OWN: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 24},
    "bart": SEQ2SEQ,
    "big_bird": {"block_size": 4, "num_random_blocks": 1},
    "camembert": NO_SEGMENTS,
    "data2vec-text": NO_SEGMENTS,
    "ibert": NO_SEGMENTS,
    "roberta": NO_SEGMENTS,
    "xlm-roberta": NO_SEGMENTS,
    "xlm-roberta-xl": NO_SEGMENTS,
    "roberta-prelayernorm": NO_SEGMENTS,
    "convbert": {"embedding_size": 32, "conv_kernel_size": 3},
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "type_vocab_size": 0},
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 8,
        "pos_att_type": ["c2p", "p2c"],
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "type_vocab_size": 0,
    },
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48},
    "electra": {"embedding_size": 24},
    "esm": {
        "position_embedding_type": "rotary",
        "token_dropout": True,
        "emb_layer_norm_before": True,
    },
    "flaubert": XLM,
    "funnel": {
        "num_hidden_layers": None,
        "hidden_size": None,
        "block_sizes": [1, 2],
        "num_decoder_layers": 1,
        "d_model": 32,
        "n_head": 2,
        "d_head": 16,
        "d_inner": 48,
    },
    "longformer": {"attention_window": [8, 8], **NO_SEGMENTS},
    "luke": {"entity_vocab_size": 5, "entity_emb_size": 16},
    "mbart": SEQ2SEQ,
    "mega": {
        "ema_projection_size": 4,
        "shared_representation_size": 16,
        "max_positions": LONGEST,
        "bidirectional": True,
    },
    "mobilebert": {"embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16},
    "modernbert": {
        "reference_compile": False,
        "local_attention": 8,
        "global_attn_every_n_layers": 2,
    },
    "mra": {"block_per_row": 2, "initial_prior_first_n_blocks": 1},
    "mvp": SEQ2SEQ,
    "nystromformer": {"num_landmarks": 4, "segment_means_seq_len": 4, "conv_kernel_size": 5},
    "perceiver": {
        "d_model": 32,
        "d_latents": 32,
        "num_latents": 8,
        "num_self_attends_per_block": 2,
        "num_self_attention_heads": 2,
        "num_cross_attention_heads": 2,
        "qk_channels": 16,
        "v_channels": 32,
    },
    "reformer": {
        "is_decoder": False,
        "attn_layers": ["local", "lsh"],
        "attention_head_size": 16,
        "feed_forward_size": 48,
        "axial_pos_embds": False,
        "local_attn_chunk_length": LONGEST,
        "lsh_attn_chunk_length": LONGEST,
    },
    "rembert": {"input_embedding_size": 16, "output_embedding_size": 24},
    "roc_bert": {
        "pronunciation_embed_dim": 8,
        "pronunciation_vocab_size": 20,
        "shape_embed_dim": 8,
        "shape_vocab_size": 20,
    },
    "roformer": {"embedding_size": 24},
    # Since transformers 5.
    "esmc": {"max_position_embeddings": LONGEST},
    "eurobert": {"max_position_embeddings": LONGEST},
    "gte": {"max_position_embeddings": LONGEST, **NO_SEGMENTS},
    "jina_embeddings_v3": {"max_position_embeddings": LONGEST, **NO_SEGMENTS},
    "nomic_bert": {"max_position_embeddings": LONGEST},
    "neomme": {
        "max_position_embeddings": LONGEST,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "embedding_rank": 16,
        "embedding_dim": 16,
        "sliding_window": 8,
        **LAYERS,
        # Words of the vocabulary that no text here holds.
        "document_token_id": 5,
        "image_token_id": 6,
    },
    "ultrabert": ULTRABERT,
    # They read images too, if they are given any.
    "modernvbert": {"text_config": {**COMMON, "local_attention": 8, **LAYERS}, **IMAGES},
    "ultravbert": {"text_config": {**COMMON, **ULTRABERT}, **IMAGES},
    "squeezebert": {"embedding_size": 32},
    "tapas": {"type_vocab_sizes": [2, 4, 4, 2, 4, 4, 4]},
    "xlm": XLM,
    "xmod": {"languages": ["en_XX", "de_DE"], "default_language": "en_XX", **NO_SEGMENTS},
}


def masked_types() -> list[str]:
    """The model types of the installed transformers that have a masked language model."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    return sorted(MODEL_FOR_MASKED_LM_MAPPING_NAMES)


def tiny_model(kind: str, *, seed: int = 0, attention: str = "eager", **overrides: Any):
    """Build a random model of the type `kind`: float32, on the CPU, evaluating."""
    import torch
    import transformers

    known = transformers.AutoConfig.for_model(kind)
    sizes = {name: value for name, value in COMMON.items() if hasattr(known, name)}
    sizes = {n: v for n, v in (sizes | OWN.get(kind, {}) | overrides).items() if v is not None}
    config = transformers.AutoConfig.for_model(kind, **sizes)
    torch.manual_seed(seed)
    model = transformers.AutoModelForMaskedLM.from_config(config, attn_implementation=attention)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:  # RoFormer's table of sines stays as it is
                weight.add_(torch.randn_like(weight), alpha=SPREAD)
    return model.float().eval()


@cache
def word_tokenizer():
    """Build the fast tokenizer that fits every model here: words by blanks, `<s> ... </s>`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {word: number for number, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=LONGEST,
    )

"""Special tokens and their roles, read from a tokenizer's JSON files."""

from __future__ import annotations

from typing import Any

ROLES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)

# If no file names a role, one of these tokens gets it, provided that tokenizer.json declares it as
# special. The tokenizer classes of transformers assume them for the BERT and RoBERTa families.
_DEFAULTS = {
    "bos_token": ("<s>",),
    "eos_token": ("</s>",),
    "unk_token": ("[UNK]", "<unk>"),
    "sep_token": ("[SEP]", "</s>"),
    "pad_token": ("[PAD]", "<pad>"),
    "cls_token": ("[CLS]", "<s>"),
    "mask_token": ("[MASK]", "<mask>"),
}


def named_tokens(
    content: dict[str, Any], config: dict[str, Any], special_map: dict[str, Any]
) -> tuple[dict[str, str], list[str]]:
    """Return the token of every role, and the further special tokens.

    Args:
        content: The tokenizer.json.
        config: The tokenizer_config.json, or empty.
        special_map: The special_tokens_map.json, or empty; it takes precedence over `config`.
    """
    declared = {
        token["content"] for token in content.get("added_tokens", []) if token.get("special")
    }
    roles: dict[str, str] = {}
    for role in ROLES:
        named = next((known[role] for known in (special_map, config) if role in known), None)
        if named is not None:
            roles[role] = _text(named)
        elif role not in special_map and role not in config:
            default = next((token for token in _DEFAULTS[role] if token in declared), None)
            if default is not None:
                roles[role] = default
    extra: list[str] = []
    for known in (special_map, config):
        for key in ("additional_special_tokens", "extra_special_tokens"):
            more = known.get(key) or []
            extra += map(_text, more.values() if isinstance(more, dict) else more)
    return roles, list(dict.fromkeys(extra))


def same_added_tokens(content: dict[str, Any], config: dict[str, Any]) -> bool:
    """Whether tokenizer.json holds every added token of tokenizer_config.json unchanged.

    transformers adds the tokens that are missing, and replaces those that differ.
    """
    declared = {token["id"]: token for token in content.get("added_tokens", [])}
    for number, token in config.get("added_tokens_decoder", {}).items():
        token_in_json = declared.get(int(number))
        if token_in_json is None or any(
            token_in_json.get(key) != value for key, value in token.items()
        ):
            return False
    return True


def config_for(
    roles: dict[str, str], *, token_types: bool = False, model_max_length: int | None = None
) -> dict[str, Any]:
    """Return a tokenizer_config.json with which AutoTokenizer opens a bare tokenizer.json."""
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    if not token_types:
        # Some models reject token types (ModernBERT), and none needs them if they are all zero.
        inputs.remove("token_type_ids")
    config: dict[str, Any] = {
        "clean_up_tokenization_spaces": False,
        "model_input_names": inputs,
        "tokenizer_class": "PreTrainedTokenizerFast",
        **roles,
    }
    if model_max_length is not None:
        config["model_max_length"] = model_max_length
    return config


def _text(token: Any) -> str:
    """Return a token's text; the files hold a string, or an object with `content`."""
    return str(token["content"] if isinstance(token, dict) else token)

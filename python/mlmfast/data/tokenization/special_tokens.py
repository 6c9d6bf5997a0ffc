"""Which tokens play a special role, as a tokenizer's JSON files tell it."""

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

# Where no file names a role, these tokens are taken for it if tokenizer.json declares them special.
# They are what the tokenizer classes of transformers assume for BERT's and RoBERTa's relatives.
_USUAL = {
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
        content: tokenizer.json.
        config: tokenizer_config.json, or empty.
        special_map: special_tokens_map.json, or empty; it rules where both name a role.
    """
    declared = {
        token["content"] for token in content.get("added_tokens", []) if token.get("special")
    }
    roles: dict[str, str] = {}
    for role in ROLES:
        given = next((known[role] for known in (special_map, config) if role in known), None)
        if given is not None:
            roles[role] = _text(given)
        elif role not in special_map and role not in config:
            usual = next((token for token in _USUAL[role] if token in declared), None)
            if usual is not None:
                roles[role] = usual
    extra: list[str] = []
    for known in (special_map, config):
        for key in ("additional_special_tokens", "extra_special_tokens"):
            more = known.get(key) or []
            extra += map(_text, more.values() if isinstance(more, dict) else more)
    return roles, list(dict.fromkeys(extra))


def same_added_tokens(content: dict[str, Any], config: dict[str, Any]) -> bool:
    """Whether tokenizer.json has all added tokens that tokenizer_config.json lists, just so.

    transformers adds those that it has not, and changes those that are listed otherwise.
    """
    declared = {token["id"]: token for token in content.get("added_tokens", [])}
    for number, token in config.get("added_tokens_decoder", {}).items():
        there = declared.get(int(number))
        if there is None or any(there.get(key) != value for key, value in token.items()):
            return False
    return True


def config_for(
    roles: dict[str, str], *, token_types: bool = False, model_max_length: int | None = None
) -> dict[str, Any]:
    """Return a tokenizer_config.json with which AutoTokenizer opens a bare tokenizer.json."""
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    if not token_types:
        # Not every model takes token types (ModernBERT refuses them), and none needs zeros.
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
    """Return a token's text; files hold it bare or as `content` of an object."""
    return str(token["content"] if isinstance(token, dict) else token)

"""What transformers' tokenizer classes change of a tokenizer.json when they open it.

A class sets options of its own where tokenizer_config.json does not name them: `BertTokenizer`
lowercases, every class but a few takes `add_prefix_space` for false. AutoTokenizer's ids follow
the class, so those of tokenizer.json alone would be others. Where transformers is not installed
(serving), these rules say what it would do. They are those of transformers 4.57, or of 5.24 where a
version 5 is installed, as far as its classes keep the parts of the file.
`tests/data/tokenization/test_tokenizer_rules.py` compares them with all classes of the installed
version.
"""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import dataclass
from functools import cache
from typing import Any

# Classes that say nothing of how text is split. The second one takes tokenizer.json as it is.
GENERIC = ("PreTrainedTokenizer", "TokenizersBackend", "PythonBackend")

# Option of tokenizer_config.json -> entry of a BertNormalizer, and what is assumed without it.
_BERT_OPTIONS: dict[str, tuple[str, bool | None]] = {
    "do_lower_case": ("lowercase", True),
    "strip_accents": ("strip_accents", None),
    "tokenize_chinese_chars": ("handle_chinese_chars", True),
}
_WITHOUT_CHINESE = {
    key: value for key, value in _BERT_OPTIONS.items() if key != "tokenize_chinese_chars"
}
_BERT_CLASSES: dict[str, dict[str, tuple[str, bool | None]]] = {
    **dict.fromkeys(
        (
            *("BertTokenizer", "ConvBertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"),
            *("DPRContextEncoderTokenizer", "DPRQuestionEncoderTokenizer", "DPRReaderTokenizer"),
            *("FunnelTokenizer", "LayoutLMTokenizer", "LxmertTokenizer", "MobileBertTokenizer"),
            *("RealmTokenizer", "RetriBertTokenizer", "RoFormerTokenizer", "SqueezeBertTokenizer"),
        ),
        _BERT_OPTIONS,
    ),
    **dict.fromkeys(
        ("LayoutLMv2Tokenizer", "MPNetTokenizer", "SplinterTokenizer"), _WITHOUT_CHINESE
    ),
}

# `add_prefix_space` of ByteLevel without an option; None leaves it as it is.
_PREFIX_SPACE = {
    "LayoutLMv3Tokenizer": True,
    "LlamaTokenizer": None,
    "MT5Tokenizer": None,
    "T5Tokenizer": None,
    "TokenizersBackend": None,
}

# The same of version 5, where it is another.
_PREFIX_SPACE_5 = {**_PREFIX_SPACE, "BlenderbotTokenizer": True, "PreTrainedTokenizer": None}

# Types of models whose config.json alone names one of the classes with rules for normalizers.
_CLASS_OF_MODEL = {
    **dict.fromkeys(
        (
            *("align", "bark", "bert", "blip", "bros", "chinese_clip", "ernie", "git"),
            *("grounding-dino", "megatron-bert", "mm-grounding-dino", "nezha", "qdqbert", "tvp"),
            *("vilt", "visual_bert"),
        ),
        "BertTokenizer",
    ),
    "convbert": "ConvBertTokenizer",
    "distilbert": "DistilBertTokenizer",
    "dpr": "DPRQuestionEncoderTokenizer",
    "electra": "ElectraTokenizer",
    "funnel": "FunnelTokenizer",
    "layoutlm": "LayoutLMTokenizer",
    "layoutlmv2": "LayoutLMv2Tokenizer",
    "layoutlmv3": "LayoutLMv3Tokenizer",
    "lxmert": "LxmertTokenizer",
    "mobilebert": "MobileBertTokenizer",
    "mpnet": "MPNetTokenizer",
    "realm": "RealmTokenizer",
    "retribert": "RetriBertTokenizer",
    "roformer": "RoFormerTokenizer",
    "splinter": "SplinterTokenizer",
    "squeezebert": "SqueezeBertTokenizer",
}

# What of a tokenizer.json decides nothing about a text's ids.
_NO_IDS = {"decoder", "padding", "post_processor", "truncation", "version"}


@dataclass(frozen=True)
class Reading:
    """A tokenizer.json as a tokenizer class reads it."""

    content: dict[str, Any]
    """What tokenizer.json would have to say."""
    split_special_tokens: bool
    """Special tokens in a text are text like any other."""
    differences: tuple[str, ...]
    """What the class reads otherwise than the file says, in words; empty where they agree."""


def class_name(config: dict[str, Any], model_config: dict[str, Any]) -> str | None:
    """Return the class that opens a tokenizer, without `Fast`; None where no file names one.

    Args:
        config: tokenizer_config.json, or empty.
        model_config: config.json of the model beside it, or empty.
    """
    named = config.get("tokenizer_class") or model_config.get("tokenizer_class")
    if isinstance(named, str):
        return named.removesuffix("Fast")
    kind = model_config.get("model_type")
    if not isinstance(kind, str):
        return None
    return _CLASS_OF_MODEL.get(kind, f"{kind}'s tokenizer")


def read_by_class(
    content: dict[str, Any], config: dict[str, Any], model_config: dict[str, Any]
) -> Reading:
    """Read a tokenizer.json as its tokenizer class does.

    Args:
        content: tokenizer.json.
        config: tokenizer_config.json, or empty.
        model_config: config.json of the model beside it, or empty.
    """
    name = class_name(config, model_config)
    split = bool(config.get("split_special_tokens"))
    if name is None:
        return Reading(content, split, ())
    read = dict(content)
    for part, (wanted, _) in _wanted(name, content, config, _installed_rules()).items():
        read[part] = {**content[part], **wanted}
    return Reading(read, split, tuple(differences(content, read)))


def pinned(content: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Return a tokenizer_config.json with which every class reads `content` as it stands.

    Args:
        content: tokenizer.json.
        config: tokenizer_config.json; without a class, the generic one is named.
    """
    fixed = dict(config)
    if not isinstance(fixed.get("tokenizer_class"), str):
        fixed["tokenizer_class"] = "PreTrainedTokenizerFast"
    name = fixed["tokenizer_class"].removesuffix("Fast")
    for rules in (_PREFIX_SPACE, _PREFIX_SPACE_5):
        for part, (wanted, options) in _wanted(name, content, fixed, rules).items():
            for entry, option in options.items():
                if wanted[entry] != content[part].get(entry):
                    fixed[option] = content[part].get(entry)
    return fixed


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Say where two tokenizer.json differ in what decides about a text's own ids."""
    found = []
    for key in sorted((before.keys() | after.keys()) - _NO_IDS):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if key == "added_tokens":
            found += _token_differences(old or [], new or [])
        elif key == "model":
            found.append("other pieces or another model")
        elif isinstance(old, dict) and isinstance(new, dict) and old.get("type") == new.get("type"):
            found += [
                f"{entry} is {json.dumps(new.get(entry))} instead of {json.dumps(old.get(entry))}"
                for entry in sorted(old.keys() | new.keys())
                if old.get(entry) != new.get(entry)
            ]
        else:
            found.append(f"another {key}")
    return found


def _token_differences(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[str]:
    before, after = ({token["content"]: token for token in tokens} for tokens in (old, new))
    return [
        f"the added token {token!r} is "
        + ("new" if token not in before else "left out" if token not in after else "another")
        for token in sorted(before.keys() | after.keys())
        if before.get(token) != after.get(token)
    ]


def _wanted(
    name: str,
    content: dict[str, Any],
    config: dict[str, Any],
    prefix_space: dict[str, bool | None],
) -> dict[str, tuple[dict[str, Any], dict[str, str]]]:
    """Part of tokenizer.json -> its entries as the class sets them, and their options' names."""
    found: dict[str, tuple[dict[str, Any], dict[str, str]]] = {}
    normalizer = content.get("normalizer") or {}
    rules = _BERT_CLASSES.get(name, {})
    if normalizer.get("type") == "BertNormalizer" and rules:
        wanted = {entry: config.get(option, usual) for option, (entry, usual) in rules.items()}
        options = {entry: option for option, (entry, _) in rules.items()}
        found["normalizer"] = (wanted, options)
    splitter = content.get("pre_tokenizer") or {}
    usual_prefix = prefix_space.get(name, False)
    if splitter.get("type") == "ByteLevel" and usual_prefix is not None:
        option = "add_prefix_space"
        found["pre_tokenizer"] = ({option: config.get(option, usual_prefix)}, {option: option})
    return found


@cache
def _installed_rules() -> dict[str, bool | None]:
    """Return what the installed transformers assumes; without one, what 4.57 does."""
    try:
        version = importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        return _PREFIX_SPACE
    return _PREFIX_SPACE if version.startswith("4.") else _PREFIX_SPACE_5

"""Rules for what the tokenizer classes of transformers change when they open a tokenizer.json.

A class applies defaults of its own to options that tokenizer_config.json does not set:
`BertTokenizer` lowercases, and most classes assume `add_prefix_space=False`. AutoTokenizer's ids
follow the class and can differ from those of tokenizer.json alone. Where transformers is not
installed (serving), these rules apply the same changes. They are the rules of transformers 4.57, or
of 5.24 if a version 5 is installed, as far as its classes keep the parts of the file.
`tests/data/tokenization/test_tokenizer_rules.py` compares them with all classes of the installed
version.
"""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import dataclass
from functools import cache
from typing import Any

# Classes without rules of their own. `TokenizersBackend` reads tokenizer.json unchanged.
GENERIC = ("PreTrainedTokenizer", "TokenizersBackend", "PythonBackend")

# Characters of an entry that a message shows.
_SHOWN = 100

# Option of tokenizer_config.json -> entry of a BertNormalizer, and its default.
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

# The class's default of ByteLevel's `add_prefix_space`; None keeps the value of tokenizer.json.
_PREFIX_SPACE = {
    "LayoutLMv3Tokenizer": True,
    "LlamaTokenizer": None,
    "MT5Tokenizer": None,
    "T5Tokenizer": None,
    "TokenizersBackend": None,
}

# The same for version 5.
_PREFIX_SPACE_5 = {**_PREFIX_SPACE, "BlenderbotTokenizer": True, "PreTrainedTokenizer": None}

# Model types whose config.json implies one of the classes with rules for normalizers.
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

# Parts of a tokenizer.json that do not affect the ids of a text.
_IRRELEVANT_PARTS = {"decoder", "padding", "post_processor", "truncation", "version"}


@dataclass(frozen=True)
class Reading:
    """A tokenizer.json as a tokenizer class reads it."""

    content: dict[str, Any]
    """The tokenizer.json that gives the class's ids."""
    split_special_tokens: bool
    """Whether special tokens in a text are encoded as ordinary text."""
    differences: tuple[str, ...]
    """What the class changes, in words; empty if it changes nothing."""


def class_name(config: dict[str, Any], model_config: dict[str, Any]) -> str | None:
    """Return the class that opens a tokenizer, without `Fast`; None if no file names one.

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
    for part, (entries, _) in _class_settings(name, content, config, _installed_rules()).items():
        read[part] = {**content[part], **entries}
    return Reading(read, split, tuple(differences(content, read)))


def pinned(content: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Return a tokenizer_config.json with which every class reads `content` unchanged.

    Args:
        content: The tokenizer.json.
        config: The tokenizer_config.json; if it names no class, the generic class is added.
    """
    pinned_config = dict(config)
    if not isinstance(pinned_config.get("tokenizer_class"), str):
        pinned_config["tokenizer_class"] = "PreTrainedTokenizerFast"
    name = pinned_config["tokenizer_class"].removesuffix("Fast")
    for rules in (_PREFIX_SPACE, _PREFIX_SPACE_5):
        for part, (entries, options) in _class_settings(
            name, content, pinned_config, rules
        ).items():
            for entry, option in options.items():
                if entries[entry] != content[part].get(entry):
                    pinned_config[option] = content[part].get(entry)
    return pinned_config


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Describe the differences of two tokenizer.json files that affect the ids of a text."""
    changes = []
    for key in sorted((before.keys() | after.keys()) - _IRRELEVANT_PARTS):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if key == "added_tokens":
            changes += _token_differences(old or [], new or [])
        elif key == "model":
            changes.append("other pieces or another model")
        elif isinstance(old, dict) and isinstance(new, dict) and old.get("type") == new.get("type"):
            changes += [
                f"{entry} is {_shown(new.get(entry))} instead of {_shown(old.get(entry))}"
                for entry in sorted(old.keys() | new.keys())
                if old.get(entry) != new.get(entry)
            ]
        else:
            changes.append(f"another {key}")
    return changes


def _shown(value: Any) -> str:
    """Return the start of an entry: a precompiled map of characters is hundreds of kilobytes."""
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


def _token_differences(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[str]:
    before, after = ({token["content"]: token for token in tokens} for tokens in (old, new))
    return [
        f"the added token {token!r} is "
        + ("new" if token not in before else "left out" if token not in after else "another")
        for token in sorted(before.keys() | after.keys())
        if before.get(token) != after.get(token)
    ]


def _class_settings(
    name: str,
    content: dict[str, Any],
    config: dict[str, Any],
    prefix_space: dict[str, bool | None],
) -> dict[str, tuple[dict[str, Any], dict[str, str]]]:
    """Return part of tokenizer.json -> (entries that the class sets, entry -> its option)."""
    settings: dict[str, tuple[dict[str, Any], dict[str, str]]] = {}
    normalizer = content.get("normalizer") or {}
    rules = _BERT_CLASSES.get(name, {})
    if normalizer.get("type") == "BertNormalizer" and rules:
        entries = {entry: config.get(option, default) for option, (entry, default) in rules.items()}
        options = {entry: option for option, (entry, _) in rules.items()}
        settings["normalizer"] = (entries, options)
    splitter = content.get("pre_tokenizer") or {}
    default_prefix = prefix_space.get(name, False)
    if splitter.get("type") == "ByteLevel" and default_prefix is not None:
        option = "add_prefix_space"
        settings["pre_tokenizer"] = ({option: config.get(option, default_prefix)}, {option: option})
    return settings


@cache
def _installed_rules() -> dict[str, bool | None]:
    """Return the prefix-space rules of the installed transformers; of 4.57 if there is none."""
    try:
        version = importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        return _PREFIX_SPACE
    return _PREFIX_SPACE if version.startswith("4.") else _PREFIX_SPACE_5

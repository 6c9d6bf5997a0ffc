"""A tokenizer's files with fewer tokens, and other ids for those that stay."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlmfast.data.tokenization.loaded import as_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_VOCABULARY = "\0vocabulary"
_SENTENCEPIECE = "it is a SentencePiece model, which still holds all tokens"


def processor_ids(content: Mapping[str, Any]) -> set[int]:
    """Return the ids that the post-processor of a tokenizer.json adds to a text."""
    ids: set[int] = set()
    for step in _processors(content.get("post_processor")):
        for token in (step.get("special_tokens") or {}).values():
            ids |= set(token["ids"])
        ids |= {step[end][1] for end in ("sep", "cls") if end in step}
    return ids


def rewritten(
    files: Mapping[str, bytes],
    content: dict[str, Any],
    model: dict[str, Any],
    new_ids: Mapping[int, int],
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the files of the trimmed tokenizer, and the reasons why others are left out.

    Args:
        files: the files of the tokenizer before.
        content: its tokenizer.json.
        model: the model section with the kept tokens.
        new_ids: old id -> new id, of every kept token.
    """
    made: dict[str, bytes] = {}
    left_out: dict[str, str] = {}
    for name, old in files.items():
        if name == "tokenizer.json":
            made[name] = _json_text(_with_ids(content, model, new_ids)).encode()
        elif name == "tokenizer_config.json":
            made[name] = _config(old, new_ids)
        elif name == "added_tokens.json":
            ids = json.loads(old).items()
            made[name] = as_json({token: new_ids[i] for token, i in ids if i in new_ids})
        elif name == "special_tokens_map.json":
            made[name] = old
        elif name == "vocab.json" and isinstance(model["vocab"], dict):
            made[name] = json.dumps(model["vocab"], ensure_ascii=False).encode()
        elif name == "vocab.txt" and isinstance(model["vocab"], dict):
            made[name] = "".join(f"{token}\n" for token in model["vocab"]).encode()
        elif name == "merges.txt" and "merges" in model:
            made[name] = _merges(model["merges"])
        else:
            left_out[name] = (
                _SENTENCEPIECE if name.endswith(".model") else "it does not fit the tokenizer.json"
            )
    return made, left_out


def _with_ids(
    content: dict[str, Any], model: dict[str, Any], new_ids: Mapping[int, int]
) -> dict[str, Any]:
    tokens = [{**one, "id": new_ids[one["id"]]} for one in content.get("added_tokens") or []]
    changed = {
        **content,
        "added_tokens": sorted(tokens, key=lambda token: token["id"]),
        "post_processor": _processor(content.get("post_processor"), new_ids),
        "model": model,
    }
    padding = content.get("padding")
    if padding and "pad_id" in padding:
        # A padding that names no token of the vocabulary pads with nothing that could be kept.
        pad = new_ids.get(padding["pad_id"])
        changed["padding"] = None if pad is None else {**padding, "pad_id": pad}
    return changed


def _processors(part: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    if not part:
        return
    if "processors" in part:
        for one in part["processors"]:
            yield from _processors(one)
    else:
        yield part


def _processor(part: dict[str, Any] | None, new_ids: Mapping[int, int]) -> dict[str, Any] | None:
    if not part:
        return part
    changed = dict(part)
    if "processors" in part:
        changed["processors"] = [_processor(one, new_ids) for one in part["processors"]]
    if part.get("special_tokens"):
        changed["special_tokens"] = {
            name: {**token, "ids": [new_ids[number] for number in token["ids"]]}
            for name, token in part["special_tokens"].items()
        }
    for end in {"sep", "cls"} & part.keys():
        token, number = part[end]
        changed[end] = [token, new_ids[number]]
    return changed


def _config(old: bytes, new_ids: Mapping[int, int]) -> bytes:
    config = json.loads(old)
    declared = config.get("added_tokens_decoder")
    if not declared:
        return old
    moved = {
        new_ids[int(number)]: token for number, token in declared.items() if int(number) in new_ids
    }
    return as_json(
        {**config, "added_tokens_decoder": {str(number): moved[number] for number in sorted(moved)}}
    )


def _merges(merges: list[Any]) -> bytes:
    lines = (entry if isinstance(entry, str) else " ".join(entry) for entry in merges)
    return "".join(["#version: 0.2\n", *(f"{line}\n" for line in lines)]).encode()


def _json_text(content: dict[str, Any]) -> str:
    """Return a tokenizer.json whose scores have the digits that they were read with."""
    vocab = content["model"]["vocab"]
    if isinstance(vocab, dict):
        return json.dumps(content, ensure_ascii=False, indent=2)
    model = {**content["model"], "vocab": _VOCABULARY}
    outline = json.dumps({**content, "model": model}, ensure_ascii=False, indent=2)
    entries = (
        f"[{json.dumps(piece, ensure_ascii=False)}, {getattr(score, 'text', score)}]"
        for piece, score in vocab
    )
    return outline.replace(json.dumps(_VOCABULARY), "[\n" + ",\n".join(entries) + "\n]")

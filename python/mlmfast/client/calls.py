"""What is asked of a server: paths, bodies, and the answers in the form of `FillMask`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError, InputTypeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """How much one request may have.

    Attributes:
        texts: its texts.
        body_bytes: its body.
    """

    texts: int
    body_bytes: int

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> ServerLimits:
        """Read the limits that `GET /info` describes."""
        limits = info.get("limits", {})
        return cls(int(limits.get("max_texts", 128)), int(limits.get("max_body_bytes", 2 << 20)))


ONE_TEXT = ServerLimits(1, 1 << 40)
"""For a single text, which the server itself refuses where it is too large."""


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of question with its options; the texts are given to `body`.

    Attributes:
        path: where to send it.
        options: the options that are not None.
        read: turns an answer of the server into one of `FillMask`.
    """

    path: str
    options: Mapping[str, Any]
    read: Callable[[Mapping[str, Any]], Any]

    def body(self, texts: str | Sequence[str]) -> bytes:
        """Return the JSON body of a request."""
        content = {"inputs": texts, **self.options}
        return json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")


def fill_mask_call(
    model: str | None,
    *,
    top_k: int | None,
    targets: str | Iterable[str] | None,
    whole_targets: bool,
    truncate: bool,
) -> Call:
    """Ask for the candidates of each mask."""
    words = [targets] if isinstance(targets, str) else None if targets is None else list(targets)
    options = {
        "top_k": top_k,
        "targets": words,
        "whole_targets": whole_targets or None,
        "truncate": truncate or None,
        "model": model,
    }
    return Call("/v1/fill-mask", _given(options), _read_masks)


def fill_call(
    model: str | None, *, top_k: int, beams: int | None, order: str, truncate: bool
) -> Call:
    """Ask for fillings of all masks together."""
    options = {
        "top_k": top_k,
        "beams": beams,
        "order": order,
        "truncate": truncate or None,
        "model": model,
    }
    return Call("/v1/fill", _given(options), lambda answer: answer["fillings"])


def score_call(model: str | None, *, per_token: bool, method: str) -> Call:
    """Ask for the scores of texts."""
    options = {"per_token": per_token or None, "method": method, "model": model}
    return Call(
        "/v1/score", _given(options), _read_token_scores if per_token else lambda one: one["score"]
    )


def text_list(texts: str | Iterable[str]) -> list[str]:
    """Return the texts of a call as a list.

    Raises:
        InputTypeError: they are neither a string nor strings.
    """
    listed = [texts] if isinstance(texts, str) else list(texts)
    for number, text in enumerate(listed, 1):
        if not isinstance(text, str):
            raise InputTypeError(f"Text {number} must be a string, and is {type(text).__name__}.")
    return listed


def portions(texts: Iterable[str], *, count: int, body_bytes: int) -> Iterator[list[str]]:
    """Split texts into lists that fit into one request each.

    Args:
        texts: the texts, which are read one after the other.
        count: texts of a request at most.
        body_bytes: bytes of a body at most; half of them are left to the options.

    Raises:
        InputError: a text alone is too large.
        InputTypeError: a text is no string.
    """
    portion: list[str] = []
    size = 0
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            raise InputTypeError(f"Text {number} must be a string, and is {type(text).__name__}.")
        length = len(json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")) + 2
        if length > body_bytes:
            raise InputError(
                f"Text {number} has {length:,} bytes, and the server takes at most {body_bytes:,}."
            )
        if portion and (len(portion) >= count or size + length > body_bytes // 2):
            yield portion
            portion, size = [], 0
        portion.append(text)
        size += length
    if portion:
        yield portion


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _read_masks(answer: Mapping[str, Any]) -> Any:
    masks = answer["masks"]
    return masks[0] if len(masks) == 1 else masks


def _read_token_scores(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "index"}

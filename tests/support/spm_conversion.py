"""What transformers' converters make of a SentencePiece model with the pieces of a tokenizer.json.

Neither sentencepiece nor a model of its is needed: a converter reads pieces and charsmap from a
file of its format, and asks the slow tokenizer, for which something stands in, for its options.
"""

from __future__ import annotations

import base64
import inspect
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_ROLES = ("pad", "unk", "cls", "sep", "mask", "bos", "eos")
# Converters that put special tokens of their own in the place of a model's first three pieces.
_FAIRSEQ = ("CamembertTokenizer", "MBartTokenizer", "XLMRobertaTokenizer")
# Where transformers 5 expects the unknown token, if not in the second place.
_UNKNOWN_AT = {"RemBertTokenizer": 2}
_BPE = ("ReformerTokenizer",)
# Kinds of pieces in SentencePiece's format.
_NORMAL, _UNKNOWN, _CONTROL = 1, 2, 3


def class_named(name: str) -> type:
    """The class of transformers, and the fast one if there are both."""
    import transformers

    return getattr(transformers, f"{name}Fast", None) or getattr(transformers, name)


def default_tokens(name: str) -> dict[str, str]:
    """Role -> special token, as a class has them by default."""
    options = _options(name)
    tokens = {role: options.get(f"{role}_token") for role in _ROLES}
    return {role: str(token) for role, token in tokens.items() if token is not None}


def converted(form: dict[str, Any], name: str) -> Tokenizer:
    """Convert as for a slow class, with its default options.

    Args:
        form: A tokenizer.json with a Unigram model and a charsmap.
        name: The slow class's name, which transformers' table of converters has.
    """
    from transformers.convert_slow_tokenizer import SLOW_TO_FAST_CONVERTERS, generate_merges

    class Extractor:
        """In the place of the one that asks sentencepiece for the pieces."""

        def __init__(self, _file: str) -> None:
            pass

        def extract(self, scores: list[tuple[str, float]]) -> tuple[dict[str, int], list]:
            ids = {piece: number for number, (piece, _) in enumerate(scores)}
            return ids, generate_merges(ids, dict(scores))

    converter_class = SLOW_TO_FAST_CONVERTERS[name]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pieces.model"
        file.write_bytes(_model(form, name))
        slow = SimpleNamespace(**{**_options(name), "vocab_file": str(file)})
        converter = type(name, (converter_class,), {"SpmExtractor": Extractor})(slow)
        ids = {piece: number for number, (piece, _) in enumerate(converter.vocab(converter.proto))}
        slow.convert_tokens_to_ids = ids.__getitem__
        return converter.converted()


def _options(name: str) -> dict[str, Any]:
    parameters = inspect.signature(class_named(name).__init__).parameters
    empty = inspect.Parameter.empty
    return {key: one.default for key, one in parameters.items() if one.default is not empty}


def _model(form: dict[str, Any], name: str) -> bytes:
    """A SentencePiece model: the class's special tokens, then the pieces of `form`."""
    from transformers.convert_slow_tokenizer import import_protobuf

    proto = import_protobuf().ModelProto()
    tokens = default_tokens(name)
    heads = ["<unk>", "<s>", "</s>"] if name in _FAIRSEQ else list(dict.fromkeys(tokens.values()))
    unknown = tokens["unk"]
    if name not in _FAIRSEQ:
        heads.remove(unknown)
        heads.insert(_UNKNOWN_AT.get(name, 1), unknown)
    known = {token["content"] for token in form["added_tokens"]}.union(heads)
    for head in heads:
        proto.pieces.add(piece=head, score=0.0, type=_UNKNOWN if head == unknown else _CONTROL)
    for piece, score in form["model"]["vocab"]:
        if piece not in known:
            proto.pieces.add(piece=piece, score=score, type=_NORMAL)
    proto.trainer_spec.model_type = 2 if name in _BPE else 1
    proto.trainer_spec.unk_id = heads.index(unknown)
    proto.trainer_spec.unk_piece = unknown
    proto.normalizer_spec.precompiled_charsmap = base64.b64decode(_charsmap(form["normalizer"]))
    return proto.SerializeToString()


def _charsmap(normalizer: dict[str, Any]) -> str:
    steps = normalizer.get("normalizers", [normalizer])
    return next(step["precompiled_charsmap"] for step in steps if step["type"] == "Precompiled")

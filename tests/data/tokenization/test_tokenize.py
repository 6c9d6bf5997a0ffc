from __future__ import annotations

import os
import struct

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from corpus import documents, tiny_tokenizer
from mlmfast import _core
from mlmfast.data.tokenization.hf_encoder import pieces_of
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.data.tokenization.tokenize import tokenize
from mlmfast.errors import InputError
from mlmfast.runtime.cpu import thread_count

TEXTS = documents(9000)


@pytest.mark.parametrize("special", [False, True])
def test_ids_are_those_of_the_tokenizer(special):
    tokenizer = load_tokenizer(tiny_tokenizer()).tokenizer
    expected = [tokenizer.encode(text, add_special_tokens=special).ids for text in TEXTS[:500]]
    found = tokenize(TEXTS[:500], tiny_tokenizer(), add_special_tokens=special)
    assert found.type == pa.large_list(pa.uint16())
    assert found.to_pylist() == expected


def test_any_number_of_threads_gives_the_same():
    one = tokenize(TEXTS, tiny_tokenizer(), threads=1)
    assert one.equals(tokenize(TEXTS, tiny_tokenizer(), threads=3))
    assert one.equals(tokenize(TEXTS, tiny_tokenizer()))


@pytest.mark.parametrize(
    "view",
    [
        struct.pack("<i4sii", 20, b"hell", 7, 0),  # no such buffer
        struct.pack("<i4sii", 20, b"hell", -1, 0),
        struct.pack("<i4sii", 20, b"hell", 0, 1 << 20),
        struct.pack("<i4sii", 20, b"hell", 0, -1),
        struct.pack("<i4sii", 20, b"hell", 0, 13),
        struct.pack("<i4sii", 1 << 30, b"hell", 0, 0),
        struct.pack("<i4sii", -5, b"hell", 0, 0),
    ],
)
def test_views_that_point_nowhere_are_an_error(view):
    good = struct.pack("<i4sii", 20, b"hell", 0, 12), struct.pack("<i12s", 5, b"hello")
    text = pa.py_buffer(b"hello world, hello wide world,  ")
    core = _core.Encoder(load_tokenizer(tiny_tokenizer()).tokenizer.to_str(), [])

    def encode(*views):
        buffers = [None, pa.py_buffer(b"".join(views)), text]
        column = pa.Array.from_buffers(pa.string_view(), len(views), buffers)
        return core.encode(column, before=[], after=[], narrow=True, threads=1)

    nothing = np.empty(0, np.uint32), np.empty(0, np.uintp)
    _, ids = encode(*good).finish(*nothing)
    whole = load_tokenizer(tiny_tokenizer()).tokenizer
    assert ids.tolist() == [
        *whole.encode(" hello wide world,  ", add_special_tokens=False).ids,
        *whole.encode("hello", add_special_tokens=False).ids,
    ]
    with pytest.raises(ValueError, match="row 1"):
        encode(good[0], view, good[1])


def test_arrow_of_any_kind():
    expected = tokenize(TEXTS[:50], tiny_tokenizer())
    for texts in (
        pa.array(TEXTS[:50]),
        pa.array(["x", *TEXTS[:50], "y"], pa.string_view()).slice(1, 50),
        pa.chunked_array([TEXTS[:20], TEXTS[20:50]]),
        pa.array(TEXTS[:50]).dictionary_encode(),
        pl.Series(TEXTS[:50]),
        pl.Series(TEXTS[:50]).cast(pl.Categorical),
        pl.Series(TEXTS[:50]).cast(pl.Enum(sorted(set(TEXTS[:50])))),
        tuple(TEXTS[:50]),
    ):
        assert tokenize(texts, tiny_tokenizer()).equals(expected)
    assert tokenize([], tiny_tokenizer()).to_pylist() == []


def test_a_large_vocabulary_takes_four_bytes():
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "far": 70_000}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    found = tokenize(["far out"], words)
    assert found.type == pa.large_list(pa.uint32())
    assert found.to_pylist() == [[70_000, 0]]


def test_what_is_no_text_is_refused():
    for texts, said in (
        ("text", r"\[text\]"),
        (["a", None], "row 1 is NoneType"),
        ([b"a"], "row 0 is bytes"),
        (pa.array(["a", None]), "row 1 is null"),
        (pa.DictionaryArray.from_arrays([0, 1], pa.array(["a", None])), "row 1 is null"),
        (pa.array([1]), "this is int64"),
        (["a", "b\ud800"], r"row 1 holds half of a surrogate pair \(\\ud800\)"),
        (pa.array([b"a", b"\xff"]).view(pa.string()), "row 1 is not UTF-8"),
        (pa.array([b"a", b"\xff"]).view(pa.string()).cast(pa.string_view()), "row 1 is not UTF-8"),
    ):
        with pytest.raises(InputError, match=said):
            tokenize(texts, tiny_tokenizer())
    for threads in (0, -1, 1.5, True):
        with pytest.raises(InputError, match="threads"):
            tokenize(["a"], tiny_tokenizer(), threads=threads)


def test_the_environment_says_how_many_threads_and_stays_as_it_was(monkeypatch):
    # A transformers pipeline that ran before leaves this set.
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    monkeypatch.setenv("RAYON_NUM_THREADS", "3")
    assert thread_count(None) == 3
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    assert (thread_count(None), thread_count(5)) == (1, 5)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    tokenize(["a"], tiny_tokenizer())
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"
    monkeypatch.delenv("TOKENIZERS_PARALLELISM")
    tokenize(["a"], tiny_tokenizer())
    assert "TOKENIZERS_PARALLELISM" not in os.environ


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_process_that_tokenized_may_fork_and_tokenize_again():
    tokenize(TEXTS, tiny_tokenizer(), threads=2)
    child = os.fork()
    if child == 0:
        os._exit(0 if len(tokenize(TEXTS[:100], tiny_tokenizer(), threads=2)) == 100 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_pieces_are_bounded_and_whole():
    array = pa.array(["x" * 300_000, "", *["y" * 1000] * 900, "z" * 2_000_000], pa.large_string())
    pieces = list(pieces_of(array))
    assert [text for piece in pieces for text in piece] == array.to_pylist()
    assert all(sum(map(len, piece)) <= 1 << 19 or len(piece) == 1 for piece in pieces)
    assert np.all([len(piece) for piece in pieces])

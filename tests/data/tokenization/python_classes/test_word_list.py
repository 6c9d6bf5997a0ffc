"""Tokenizers of proteins and DNA that exist in Python only, in the core."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmfast.data.tokenization.encoder import TextEncoder
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.data.tokenization.python_classes.word_list import fast_form
from sequences import ESM2, NUCLEOTIDE_TRANSFORMER, esm_tokenizer, genome, proteins

pytest.importorskip("transformers")
SPECIAL = ["<cls>", "<pad>", "<eos>", "<unk>", "<mask>"]


@pytest.mark.parametrize(
    ("entries", "texts"),
    [(ESM2, proteins(60)), (NUCLEOTIDE_TRANSFORMER, genome(12))],
    ids=["esm2", "nucleotide-transformer"],
)
def test_the_core_gives_the_ids_of_the_class(tmp_path, entries, texts):
    peer = esm_tokenizer(tmp_path / "peer", entries)
    texts = [*texts, "", " ", "L\x1cA\u2028G", "ACGTAC<mask>ACGTA <pad>N", "é<unk>L" * 40]
    for special in (False, True):
        encoder = TextEncoder(load_tokenizer(peer), add_special_tokens=special)
        assert encoder.engine == "WordLevel"
        expected = [
            peer(text, add_special_tokens=special, verbose=False)["input_ids"] for text in texts
        ]
        assert encoder.encode(pa.array(texts, pa.large_string())).to_pylist() == expected


def test_an_entry_within_another_stays_with_the_class(tmp_path):
    # At "AB?X" the class takes all four letters for one entry, which no other rule would.
    peer = esm_tokenizer(tmp_path, [*SPECIAL, "ABX", "B", "X"])
    assert peer.tokenize("AB?X") == ["AB?X"]
    assert fast_form(peer) is None


@pytest.mark.parametrize(
    ("entries", "options"),
    [
        (["A", "A<cls>"], {}),
        (["A", "<cls>A"], {}),
        (["A", "B A"], {}),
        (["A"], {"split_special_tokens": True}),
    ],
)
def test_what_special_tokens_would_change_stays_with_the_class(tmp_path, entries, options):
    assert fast_form(esm_tokenizer(tmp_path, [*SPECIAL, *entries], **options)) is None


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.text("ABC<.", min_size=1, max_size=4), min_size=1, max_size=6, unique=True),
    st.lists(st.text("ABC<.? ", max_size=30), max_size=10),
)
def test_any_vocabulary_gives_the_ids_of_the_class(tmp_path_factory, entries, texts):
    peer = esm_tokenizer(tmp_path_factory.mktemp("esm"), [*SPECIAL, *entries])
    loaded = load_tokenizer(peer)
    texts += ["".join(entries) * 3, "?".join(entries), "<cls>".join(entries)]
    for text in texts:
        expected = peer(text, verbose=False)["input_ids"]
        assert loaded.tokenizer.encode(text).ids == expected

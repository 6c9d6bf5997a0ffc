from __future__ import annotations

import functools
import itertools

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

import mlmfast
from mlmfast.data.tokenization.kmers import KmerEncoder, spell_kmers
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def seq2kmer(seq, k):
    """DNABERT's own function, as its repository has it."""
    kmer = [seq[x : x + k] for x in range(len(seq) + 1 - k)]
    return " ".join(kmer)


def dnabert(k=3, *, lowercase=False, missing=()):
    kmers = ["".join(letters) for letters in itertools.product("ATCG", repeat=k)]
    vocabulary = [*SPECIAL, *(kmer for kmer in kmers if kmer not in missing)]
    ids = {token: number for number, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


TRIMERS = dnabert()


@functools.cache
def kmer_encoder(stride, *, special):
    return KmerEncoder(load_tokenizer(TRIMERS), 3, stride, add_special_tokens=special)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.text(st.sampled_from("ACGTACGTACGTN"), max_size=40), max_size=6),
    st.lists(st.text(st.sampled_from("ACGTacgtn-é "), max_size=12), max_size=3),
    st.sampled_from([1, 2, 3, 5]),
    st.booleans(),
)
def test_ids_are_those_of_the_kmers_spelled_out(clean, others, stride, special):
    tokenizer = TRIMERS
    encoder = kmer_encoder(stride, special=special)
    assert encoder.engine == "k-mers"
    texts = [*clean, *others]
    spelled = [" ".join(seq2kmer(text, 3).split(" ")[::stride]) for text in clean]
    assert spelled == [spell_kmers(text, 3, stride) for text in clean]
    words = [spell_kmers(text, 3, stride) for text in texts]
    expected = [tokenizer.encode(text, add_special_tokens=special).ids for text in words]
    assert encoder.encode(pa.array(texts, pa.large_string())).to_pylist() == expected


def test_where_a_table_does_not_hold_words_are_spelled_out():
    texts = pa.array(["ACGTACGT", "AAA", "", "ACNN"], pa.large_string())
    pieces = dnabert(2)  # its words of three letters are unknown, or several tokens
    pieces.model = models.WordPiece(
        {**{token: number for number, token in enumerate(SPECIAL)}, "A": 5, "##C": 6, "##G": 7},
        unk_token="[UNK]",
    )
    long = dnabert(3)
    for tokenizer, k in ((pieces, 3), (long, 12)):
        encoder = KmerEncoder(load_tokenizer(tokenizer), k, engine="auto")
        assert encoder.engine != "k-mers"
        expected = [
            tokenizer.encode(seq2kmer(text.as_py(), k), add_special_tokens=False).ids
            for text in texts
        ]
        assert encoder.encode(texts).to_pylist() == expected
    library = KmerEncoder(load_tokenizer(long), 3, engine="library")
    assert library.engine == "library"
    expected = [
        long.encode(seq2kmer(text.as_py(), 3), add_special_tokens=False).ids for text in texts
    ]
    assert library.encode(texts).to_pylist() == expected


def test_prepare_takes_kmers_of_fasta(tmp_path):
    sequences = ["ACGTTGCANNACGT" * 20, "AC", "acgtACGTACG" * 9]
    fasta = tmp_path / "a.fna"
    fasta.write_text(
        "".join(f">s{n}\n{text[:50]}\n{text[50:]}\n" for n, text in enumerate(sequences))
    )
    tokenizer = dnabert(4)
    for engine in ("auto", "library"):
        store = mlmfast.prepare(
            fasta,
            tmp_path / engine,
            tokenizer=tokenizer,
            kmer=4,
            fasta_case="upper",
            block_size=16,
            remainder="pad",
            tokenizer_engine=engine,
            verify=3 if engine == "auto" else 0,
            add_mask_token=None,
        )
        texts = [seq2kmer(text.upper(), 4) for text in sequences]
        expected = [number for text in texts for number in tokenizer.encode(text).ids]
        assert store[:].ravel()[: len(expected)].tolist() == expected
    with pytest.raises(InputError, match="kmer_stride goes with kmer"):
        mlmfast.prepare(fasta, tmp_path / "c", tokenizer=tokenizer, kmer_stride=2)

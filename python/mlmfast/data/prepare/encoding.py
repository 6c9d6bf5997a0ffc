"""The encoder of a run: of texts, or of the k-mers of sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmfast.data.tokenization.encoder import TextEncoder
from mlmfast.data.tokenization.kmers import KmerEncoder

if TYPE_CHECKING:
    from mlmfast.data.prepare.options import PrepareOptions
    from mlmfast.data.tokenization.load import LoadedTokenizer

Encoder = TextEncoder | KmerEncoder


def encoder_of(
    tokenizer: LoadedTokenizer, options: PrepareOptions, *, threads: int, verify: int
) -> Encoder:
    """Return the encoder that `options` describe.

    Args:
        tokenizer: The tokenizer.
        options: The run's.
        threads: Number of threads.
        verify: How many documents to encode with `tokenizers` as well.
    """
    special = options.special_tokens == "document"
    engine = options.tokenizer_engine
    if options.kmer is None:
        return TextEncoder(
            tokenizer, add_special_tokens=special, threads=threads, engine=engine, verify=verify
        )
    return KmerEncoder(
        tokenizer,
        options.kmer,
        options.kmer_stride,
        add_special_tokens=special,
        threads=threads,
        engine=engine,
        verify=verify,
    )

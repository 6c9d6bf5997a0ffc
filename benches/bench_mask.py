"""P2: masks of a 256 x 512 batch, beside Hugging Face's collator and the floor of copy and fill."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache

import harness
import numpy as np
import torch
import transformers
from alone import measure
from tokenizers import Tokenizer, models, pre_tokenizers

import mlmfast

ROWS, LENGTH, VOCABULARY = 256, 512, 50_265


@cache
def tokenizer() -> transformers.PreTrainedTokenizerFast:
    """A tokenizer with RoBERTa's number of ids and special tokens; its words do not matter here."""
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    words = [*specials, *(f"w{at}" for at in range(4, VOCABULARY - 1)), "<mask>"]
    backend = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, "<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        backend.save(file.name)
        return transformers.PreTrainedTokenizerFast(
            tokenizer_file=file.name,
            bos_token="<s>",
            eos_token="</s>",
            pad_token="<pad>",
            unk_token="<unk>",
            mask_token="<mask>",
        )


def contenders(count: int = ROWS) -> list[harness.Contender]:
    """The ways to mask a batch of `count` rows."""
    torch.set_num_threads(1)
    tok = tokenizer()
    ids = np.random.default_rng(0).integers(5, VOCABULARY - 1, (count, LENGTH), dtype=np.uint16)
    ids[:, 0], ids[:, -1] = 0, 2
    rows = [{"input_ids": row} for row in ids.astype(np.int64).tolist()]
    tensor = torch.from_numpy(ids.astype(np.int64))
    flags = torch.zeros(count, LENGTH, dtype=torch.bool)
    array, array_flags = tensor.numpy(), flags.numpy()
    peer = transformers.DataCollatorForLanguageModeling(tok)
    ours = mlmfast.DataCollatorForLanguageModeling(tok)
    # Full, not empty: a page that was never written to is not memory yet.
    out = np.full(ids.shape, 0, np.int64), np.full(ids.shape, 0, np.int64)
    special_ids = tuple(tok.all_special_ids)

    def floor() -> None:
        out[0][:] = ids
        out[1].fill(-100)

    def kernel() -> None:
        mlmfast.mask_tokens(
            ids,
            mask_token_id=VOCABULARY - 1,
            vocab_size=VOCABULARY,
            special_ids=special_ids,
            out=out,
            threads=1,
        )

    def other(**options: object) -> Callable[[], None]:
        def run() -> None:
            mlmfast.mask_tokens(
                ids,
                mask_token_id=VOCABULARY - 1,
                vocab_size=VOCABULARY,
                special_ids=special_ids,
                threads=1,
                **options,
            )

        return run

    narrow = np.full(ids.shape, 0, np.int32), np.full(ids.shape, 0, np.int32)
    starts = np.arange(VOCABULARY) % 3 > 0
    starts = np.random.default_rng(1).permutation(starts)
    tokens = count * LENGTH
    return [
        harness.Contender("HF collator, whole call on lists", tokens, lambda: peer(rows)),
        harness.Contender(
            "our collator, whole call on lists", tokens, lambda: ours(rows), ours=True
        ),
        harness.Contender(
            "HF torch_mask_tokens", tokens, lambda: peer.torch_mask_tokens(tensor.clone(), flags), 5
        ),
        harness.Contender(
            "HF numpy_mask_tokens",
            tokens,
            lambda: peer.numpy_mask_tokens(array.copy(), array_flags),
            5,
        ),
        harness.Contender("copy and fill (the floor)", tokens, floor, 100),
        harness.Contender("mlmfast.mask_tokens", tokens, kernel, 100, ours=True),
        harness.Contender("... to int32", tokens, other(out=narrow), 100),
        harness.Contender("... 77 masks a row", tokens, other(out=out, masks_per_row=77), 20),
        harness.Contender(
            "... whole words",
            tokens,
            other(out=out, mode="whole_word", word_starts=starts),
            20,
        ),
        harness.Contender("... spans", tokens, other(out=out, mode="span"), 20),
    ]


def alone(label: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """One contender's call on two rows, and on the whole batch."""
    return harness.named(label, contenders(2)).run, harness.named(label, contenders()).run


def main() -> list[str]:
    """Run the measurements; the lines of the report."""
    ways = contenders()
    title = f"## P2 mask: a batch of {ROWS} x {LENGTH}, one thread (`benches/bench_mask.py`)"
    note = (
        "uint16 in, int64 ids and labels out; Hugging Face's functions take int64. "
        "`mlmfast.mask_tokens` and the floor write into buffers that are there already. "
        + harness.PEAK_NOTE
    )
    seconds = harness.measure(ways)
    peaks = {way.label: measure("bench_mask", way.label).peak for way in ways}
    return [title, "", note, "", *harness.table(ways, seconds, "tokens", peaks)]


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main()))

"""Our collator beside Hugging Face's: the same arguments, the same outputs, masks of one law."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
import transformers
from torch.utils.data import DataLoader

import mlmfast
from collator_rows import Peer, rows_of, texts
from mlmfast.errors import InputError
from tiny_tokenizers import WORDS, bert_tokenizer, roberta_tokenizer

KINDS = ["lists", "dicts", "encodings", "tensors", "int32 arrays", "extra columns"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("framework", ["pt", "np"])
@pytest.mark.parametrize("multiple", [None, 8])
def test_outputs_have_the_peers_form(tokenizer, kind, framework, multiple):
    if kind == "tensors" and framework == "np":
        pytest.skip("the peer's numpy form takes no torch tensors")
    rows = rows_of(kind, tokenizer)
    options = {"pad_to_multiple_of": multiple, "return_tensors": framework}
    before = copy.deepcopy(rows)
    ours = mlmfast.DataCollatorForLanguageModeling(tokenizer, **options)(rows)
    theirs = Peer(tokenizer, **options)(rows)
    assert type(ours) is type(theirs)
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        assert type(ours[name]) is type(value)
        assert ours[name].dtype == value.dtype, name
        assert ours[name].shape == value.shape, name
        if name not in ("input_ids", "labels"):
            assert (ours[name] == value).all(), name
    # What is not masked is the text, and every label is the text's own token.
    ids, labels = np.asarray(ours["input_ids"]), np.asarray(ours["labels"])
    plain = np.asarray(
        mlmfast.DataCollatorForLanguageModeling(tokenizer, mlm=False, **options)(rows)["input_ids"]
    )
    assert np.array_equal(np.where(labels == -100, ids, labels), plain)
    assert all(
        np.array_equal(
            a["input_ids"] if isinstance(a, dict) else a,
            b["input_ids"] if isinstance(b, dict) else b,
        )
        for a, b in zip(rows, before, strict=True)
    )


def test_rates_and_specials(tokenizer):
    collator = mlmfast.DataCollatorForLanguageModeling(tokenizer, seed=3)
    rows = tokenizer(texts(4000))["input_ids"]
    batch = collator(rows)
    ids, labels = batch["input_ids"], batch["labels"]
    plain = torch.where(labels == -100, ids, labels)
    specials = torch.isin(plain, torch.tensor(tokenizer.all_special_ids))
    assert not (specials & (labels != -100)).any()
    chosen = (labels != -100).sum().item() / (~specials).sum().item()
    hidden = (ids == tokenizer.mask_token_id).sum().item() / (labels != -100).sum().item()
    count = (~specials).sum().item()
    assert abs(chosen - 0.15) < 5 * (0.15 * 0.85 / count) ** 0.5
    share = 0.8 + 0.1 / len(tokenizer)
    assert abs(hidden - share) < 5 * (share * (1 - share) / (0.15 * count)) ** 0.5


def test_a_given_special_tokens_mask_replaces_the_tokenizers(tokenizer):
    row = tokenizer(texts()[0])["input_ids"]
    flags = [1 if at % 2 else 0 for at in range(len(row))]
    rows = [{"input_ids": row, "special_tokens_mask": flags}]
    batch = mlmfast.DataCollatorForLanguageModeling(tokenizer, mlm_probability=1.0)(rows)
    assert ((batch["labels"][0] == -100).int().tolist()) == flags
    assert "special_tokens_mask" not in batch


def test_causal_labels_are_the_peers(tokenizer):
    rows = rows_of("dicts", tokenizer)
    ours = mlmfast.DataCollatorForLanguageModeling(tokenizer, mlm=False)(rows)
    theirs = Peer(tokenizer, mlm=False)(rows)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_set_seed_repeats_a_run_and_calls_differ(tokenizer):
    collator = mlmfast.DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.5)
    rows = rows_of("lists", tokenizer)
    transformers.set_seed(1)
    first = [collator(rows)["labels"] for _ in range(3)]
    transformers.set_seed(1)
    again = [collator(rows)["labels"] for _ in range(3)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])


def test_a_seed_repeats_a_run_zero_included(tokenizer):
    rows = rows_of("lists", tokenizer)

    def run(seed):
        collator = mlmfast.DataCollatorForLanguageModeling(tokenizer, seed=seed)
        return [collator(rows)["labels"] for _ in range(3)]

    assert all(torch.equal(a, b) for a, b in zip(run(0), run(0), strict=True))
    assert not torch.equal(run(0)[0], run(0)[1])
    assert not all(torch.equal(a, b) for a, b in zip(run(0), run(1), strict=True))


@pytest.mark.parametrize("seed", [None, 5])
def test_after_set_epoch_workers_and_batches_do_not_matter(tokenizer, seed):
    rows = tokenizer(sorted(set(texts(80))))["input_ids"]

    def epoch(number, workers, batch_size):
        transformers.set_seed(9)
        collator = mlmfast.DataCollatorForLanguageModeling(
            tokenizer, seed=seed, mlm_probability=0.4
        )
        collator.set_epoch(number)
        loader = DataLoader(rows, batch_size, collate_fn=collator, num_workers=workers)
        found = []
        for batch in loader:
            for ids, labels in zip(
                batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True
            ):
                end = len(ids) - list(reversed(ids)).index(rows[0][-1])
                found.append((ids[:end], labels[:end]))
        return found

    assert epoch(1, 0, 4) == epoch(1, 2, 4) == epoch(1, 0, 7)
    assert epoch(1, 0, 4) != epoch(2, 0, 4)


def test_without_set_epoch_every_pass_is_new_with_workers_too(tokenizer):
    rows = tokenizer(sorted(set(texts(40))))["input_ids"]
    for workers, seed in itertools.product([0, 2], [None, 4]):
        collator = mlmfast.DataCollatorForLanguageModeling(tokenizer, seed=seed)
        loader = DataLoader(rows, 4, collate_fn=collator, num_workers=workers)
        first, second = ([batch["labels"] for batch in loader] for _ in range(2))
        assert not all(torch.equal(a, b) for a, b in zip(first, second, strict=True)), workers


def test_whole_words_stay_together(tokenizer):
    collator = mlmfast.DataCollatorForLanguageModeling(tokenizer, True, True, 0.3, seed=1)
    marker = "##" if "##a" in tokenizer.get_vocab() else "\u0120"
    for _ in range(20):
        batch = collator(rows_of("lists", tokenizer))
        for ids, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
            plain = [i if label == -100 else label for i, label in zip(ids, labels, strict=True)]
            pieces = tokenizer.convert_ids_to_tokens(plain)
            for at in range(1, len(pieces)):
                special = plain[at] in tokenizer.all_special_ids
                goes_on = (
                    pieces[at].startswith("##")
                    if marker == "##"
                    else (
                        not pieces[at].startswith(marker)
                        and plain[at - 1] not in tokenizer.all_special_ids
                    )
                )
                if goes_on and not special:
                    assert (labels[at] == -100) == (labels[at - 1] == -100), pieces[at]


def test_slow_tokenizers_and_ids_beyond_the_vocabulary(tmp_path):
    fast = bert_tokenizer(tmp_path)
    slow = transformers.BertTokenizer.from_pretrained(tmp_path)
    assert len(slow) == len(fast)
    batch = mlmfast.DataCollatorForLanguageModeling(slow, seed=1)([[5, 6, 100_000], [7, 8, 9]])
    assert batch["input_ids"].shape == (2, 3)


def test_padding_needs_a_padding_token_only_where_something_is_padded(tmp_path):
    tokenizer = roberta_tokenizer(tmp_path)
    tokenizer.pad_token = None
    collator = mlmfast.DataCollatorForLanguageModeling(tokenizer)
    assert collator([[5, 6], [7, 8]])["input_ids"].shape == (2, 2)
    with pytest.raises(ValueError, match="no padding token"):
        collator([[5, 6], [7]])


@pytest.mark.parametrize("mlm", [True, False])
@pytest.mark.parametrize("framework", ["pt", "np"])
def test_labels_of_the_rows_are_replaced_ragged_ones_too(tokenizer, framework, mlm):
    ids = [[5, 6, 7, 8], [8, 9, 10, 11], [12, 13]]
    # The guide's group_texts copies them before the last, short row is padded.
    rows = [{"input_ids": row, "labels": list(row)} for row in ids]
    rows[0]["labels"] = None
    options = {"mlm": mlm, "return_tensors": framework, "mlm_probability": 1.0}
    batch = mlmfast.DataCollatorForLanguageModeling(tokenizer, **options)(rows)
    assert batch["labels"].tolist() == [*ids[:2], [12, 13, -100, -100]]
    assert rows[2] == {"input_ids": [12, 13], "labels": [12, 13]}


def test_a_short_last_row_of_group_blocks_is_collated(tokenizer):
    columns = mlmfast.group_blocks({"input_ids": [[5, 6], [7, 8, 9]]}, 8)
    rows = [{name: column[at] for name, column in columns.items()} for at in range(1)]
    rows.append({"input_ids": list(range(5, 13)), "labels": list(range(5, 13))})
    batch = mlmfast.DataCollatorForLanguageModeling(tokenizer, seed=1)(rows)
    assert batch["labels"].shape == (2, 8)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mlm_probability": 2}, "mlm_probability must be between 0 and 1, got 2"),
        ({"mlm_probability": None}, "mlm_probability"),
        ({"mask_replace_prob": 0.8, "random_replace_prob": 0.3}, "must not exceed 1"),
        ({"return_tensors": "jax"}, "must be 'pt', 'np' or 'tf', got 'jax'"),
        ({"mlm": False, "whole_word_mask": True}, "needs mlm=True"),
    ],
)
def test_bad_options_are_refused_at_once(tokenizer, options, words):
    with pytest.raises(InputError, match=words):
        mlmfast.DataCollatorForLanguageModeling(tokenizer, **options)


def test_a_tokenizer_without_mask_token_is_refused(tmp_path):
    tokenizer = roberta_tokenizer(tmp_path)
    tokenizer.mask_token = None
    with pytest.raises(InputError, match="no mask token: add one"):
        mlmfast.DataCollatorForLanguageModeling(tokenizer)


def test_words_of_tokens_added_since_the_last_batch_are_looked_up(tmp_path):
    tokenizer = bert_tokenizer(tmp_path)
    collator = mlmfast.DataCollatorForLanguageModeling(
        tokenizer, whole_word_mask=True, mlm_probability=0.5, seed=1
    )
    tokenizer.add_tokens(["##added", *(f"token_{number}" for number in range(8))])
    words = tokenizer.convert_tokens_to_ids([f"token_{number}" for number in range(8)])
    rest = tokenizer.convert_tokens_to_ids("##added")
    labels = collator([[token for word in words for token in (word, rest, rest)]] * 20)["labels"]
    chosen = (labels != -100).reshape(20, 8, 3)
    assert (chosen.all(2) == chosen.any(2)).all()
    assert 0 < chosen.any(2).float().mean() < 1
    # Another tokenizer has other words.
    collator.tokenizer = roberta_tokenizer(tmp_path)
    assert collator([[5, 6, 7]])["labels"].shape == (1, 3)


def test_random_words_come_from_tokens_added_since_the_last_batch_too(tmp_path):
    tokenizer = bert_tokenizer(tmp_path)
    collator = mlmfast.DataCollatorForLanguageModeling(
        tokenizer, mlm_probability=1.0, mask_replace_prob=0.0, random_replace_prob=1.0, seed=1
    )
    rows = [tokenizer(" ".join(WORDS.split() * 4))["input_ids"]] * 50
    before = len(tokenizer)
    assert collator(rows)["input_ids"].max() < before
    tokenizer.add_tokens([f"added{number}" for number in range(before)])
    assert collator(rows)["input_ids"].max() >= before

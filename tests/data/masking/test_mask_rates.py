"""Mask rates that are drawn for each row."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import mlmfast
from mlmfast.data.masking.mask_rates import RowRates, parse_mask_rate
from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError

ROWS, LENGTH = 4000, 500


def row_shares(rate, **options):
    """The masked share of each row of ordinary tokens."""
    ids = np.full((ROWS, LENGTH), 7, np.uint16)
    batch = mlmfast.mask_tokens(
        ids, mask_token_id=4, vocab_size=100, mlm_probability=rate, seed=3, **options
    )
    return (batch.labels != -100).mean(1)


def kolmogorov(shares, distribution):
    """The largest distance between the empirical distribution of shares and the one expected."""
    steps = np.arange(1, len(shares) + 1) / len(shares)
    return np.abs(steps - distribution(np.sort(shares))).max()


def uniform(x):
    return np.clip((x - 0.05) / 0.45, 0, 1)


def beta(x):
    """Beta(3, 9): the third smallest of 11 uniform numbers."""
    return 1 - sum(
        np.prod([(11 - i) / (i + 1) for i in range(k)]) * x**k * (1 - x) ** (11 - k)
        for k in range(3)
    )


@pytest.mark.parametrize(("rate", "law"), [("uniform:0.05,0.5", uniform), ("beta:3,9", beta)])
def test_the_rates_of_rows_have_the_distribution_asked_for(rate, law):
    # Of 4,000 draws, the distance exceeds 2 / sqrt(4,000) = 0.032 once in 1,500 seeds; the shares
    # of 500 tokens scatter by 0.02 about their rates, which adds less than 0.01.
    assert kolmogorov(row_shares(rate), law) < 0.042
    assert kolmogorov(row_shares(0.27), law) > 0.3
    others = {"uniform:0.05,0.5": "uniform:0.05,0.55", "beta:3,9": "beta:2,6"}
    assert kolmogorov(row_shares(others[rate]), law) > 0.05


def test_loader_and_function_draw_the_same_rates(toy_blocks):
    store = open_splits(toy_blocks)["train"]
    rate = "uniform:0.1,0.9"
    loader = mlmfast.BlockLoader(store, 8, seed=5, shuffle=False, mlm_probability=rate)
    manifest = store.manifest
    for epoch in range(2):
        labels = torch.cat([batch["labels"] for batch in loader])
        expected = mlmfast.mask_tokens(
            store[:],
            mask_token_id=manifest.mask_token_id,
            vocab_size=manifest.vocab_size,
            special_ids=manifest.special_ids,
            mlm_probability=rate,
            seed=5,
            epoch=epoch,
        )
        assert np.array_equal(labels.numpy(), expected.labels)
    state = loader.state_dict()
    with pytest.raises(InputError, match="masks was"):
        mlmfast.BlockLoader(store, 8, seed=5, shuffle=False).load_state_dict(state)


def test_the_collator_draws_a_rate_for_each_row(tokenizer):
    collator = mlmfast.DataCollatorForLanguageModeling(
        tokenizer, mlm_probability="uniform:0.1,0.9", seed=1
    )
    word = tokenizer.convert_tokens_to_ids(tokenizer.tokenize("the"))[0]
    batch = collator([[word] * 400] * 50)
    shares = (batch["labels"] != -100).float().mean(1)
    # Standard errors of 0.025 at most about rates between 0.1 and 0.9.
    assert 0.0 < shares.min() < 0.3
    assert 0.7 < shares.max() < 1.0
    collator.set_epoch(2)
    first = collator([[word] * 400] * 2)["labels"]
    assert torch.equal(first[0], first[1])
    assert torch.equal(first, collator([[word] * 400] * 2)["labels"])


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        ("often", "or 'uniform:LOW,HIGH' or 'beta:A,B' .* got 'often'"),
        ("normal:0.1,0.2", "got 'normal:0.1,0.2'"),
        ("uniform:0.1", "got 'uniform:0.1'"),
        ("uniform:0.1,x", "got 'uniform:0.1,x'"),
        ("uniform:0.5,0.1", "needs 0 <= LOW <= HIGH <= 1"),
        ("uniform:0,1.2", "needs 0 <= LOW <= HIGH <= 1"),
        ("beta:0,3", "needs A and B from 0.1 to 1000"),
        (None, "got None"),
    ],
)
def test_bad_rates_are_named(rate, words):
    with pytest.raises(InputError, match=words):
        row_shares(rate)


def test_what_does_not_combine_is_refused():
    with pytest.raises(InputError, match="masks_per_row fixes the number of masks"):
        row_shares("beta:3,9", masks_per_row=4)


def test_rates_read_as_numbers_or_distributions():
    assert parse_mask_rate("0.15") == 0.15
    assert parse_mask_rate("uniform:.05,0.5") == RowRates("uniform", 0.05, 0.5)
    assert str(parse_mask_rate("beta:3.0,9")) == "beta:3,9"
    assert parse_mask_rate("beta:3,9").mean == 0.25

"""The masks and the order as a format: the core, the plain-Python oracle and the golden files give
the same bits."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlmfast
import oracle
from mlmfast import _core
from places import GOLDEN

WORDS = st.integers(0, 2**64 - 1)
# Ids from 40 on go on with a word.
STARTS = [token < 40 for token in range(60)]


def load(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


def expand(options):
    if "word_starts" in options:
        first = options["word_starts"]["first"]
        return options | {"word_starts": np.arange(1000) < first}
    return options


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in GOLDEN.glob("*.json") if path.stem != "permutation")
)
def test_core_and_oracle_give_the_golden_masks(name):
    golden = load(name)
    ids, options = golden["ids"], expand(golden["options"])
    assert sum(len(case["positions"]) for case in golden["cases"]) > 0
    for case in golden["cases"]:
        place = {"seed": case["seed"], "epoch": case["epoch"]}
        block = case["block"]
        batch = mlmfast.mask_tokens(
            np.array([ids], np.uint16),
            block_ids=np.array([block], np.uint64),
            **golden["vocabulary"],
            **place,
            **options,
        )
        assert batch.positions.tolist() == case["positions"]
        assert batch.input_ids.ravel()[batch.positions].tolist() == case["input_ids"]
        masked, labels = oracle.mask_row(
            ids, block=block, **golden["vocabulary"], **place, **options
        )
        assert batch.input_ids[0].tolist() == masked
        assert batch.labels[0].tolist() == labels


def test_core_and_oracle_give_the_golden_orders():
    for case in load("permutation")["cases"]:
        count, seed, epoch = case["count"], case["seed"], case["epoch"]
        order = _core.permutation(count, 0, count, seed=seed, epoch=epoch).tolist()
        assert order == case["order"] == oracle.permutation(count, seed, epoch)


@settings(max_examples=200, deadline=None)
@given(
    ids=st.lists(st.integers(0, 59), min_size=1, max_size=160),
    seed=WORDS,
    epoch=WORDS,
    block=WORDS,
    rate=st.sampled_from([0.0, 1e-9, 0.01, 0.15, 0.4, 0.999, 1.0])
    | st.floats(0, 1)
    | st.tuples(st.floats(0, 1), st.floats(0, 1)).map(
        lambda ends: f"uniform:{min(ends)!r},{max(ends)!r}"
    )
    | st.tuples(st.floats(0.1, 1000), st.floats(0.1, 1000)).map(
        lambda ab: f"beta:{ab[0]!r},{ab[1]!r}"
    ),
    shares=st.sampled_from([(0.8, 0.1), (0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (0.3, 0.3)]),
    mode=st.sampled_from(["token", "whole_word", "span", "span of words"]),
    exactly=st.none() | st.integers(1, 40),
    at_least_one=st.booleans(),
    random_ids=st.sampled_from(["all", "ordinary"]),
    lengths=st.tuples(st.floats(1e-6, 1), st.integers(1, 20)),
    flagged=st.booleans(),
)
def test_core_and_oracle_agree_everywhere(
    ids, seed, epoch, block, rate, shares, mode, exactly, at_least_one, random_ids, lengths, flagged
):
    options = {
        "mask_token_id": 4,
        "vocab_size": 60,
        "special_ids": [0, 1, 2, 3, 4, 59],
        "mlm_probability": rate,
        "mask_replace_prob": shares[0],
        "random_replace_prob": shares[1],
        "mode": mode.split()[0],
        "word_starts": np.array(STARTS) if "word" in mode else None,
        "masks_per_row": None if mode == "whole_word" or isinstance(rate, str) else exactly,
        "at_least_one": at_least_one,
        "random_ids": random_ids,
        "span_probability": lengths[0],
        "max_span_length": lengths[1],
    }
    flags = [at % 5 == 2 for at in range(len(ids))] if flagged else None
    batch = mlmfast.mask_tokens(
        np.array([ids], np.int32),
        seed=seed,
        epoch=epoch,
        block_ids=np.array([block], np.uint64),
        special_tokens_mask=[flags] if flagged else None,
        **options,
    )
    masked, labels = oracle.mask_row(
        ids, seed=seed, epoch=epoch, block=block, flags=flags, **options
    )
    assert batch.input_ids[0].tolist() == masked
    assert batch.labels[0].tolist() == labels


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 700), WORDS, WORDS, st.data())
def test_core_and_oracle_order_alike(count, seed, epoch, data):
    start = data.draw(st.integers(0, count))
    order = oracle.permutation(count, seed, epoch)
    assert sorted(order) == list(range(count))
    part = _core.permutation(count, start, count, seed=seed, epoch=epoch)
    assert part.tolist() == order[start:]

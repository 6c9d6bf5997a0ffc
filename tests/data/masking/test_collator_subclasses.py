"""Collators that users derive from ours, as they derive from the peer's; its fields."""

from __future__ import annotations

import dataclasses

import pytest

import mlmfast
from collator_rows import Peer, rows_of, texts
from mlmfast.errors import InputError

ROWS = [[5, 6, 7], [8, 9, 10, 11]]


@dataclasses.dataclass
class Marked(mlmfast.DataCollatorForLanguageModeling):
    """A subclass as users write them: a field more, a call and the masks in ways of its own."""

    mark: int = 3

    def torch_call(self, examples):
        return {**super().torch_call(examples), "mark": self.mark}

    def numpy_call(self, examples):
        return {**super().numpy_call(examples), "mark": -self.mark}

    def torch_mask_tokens(self, inputs, special_tokens_mask=None, offset_mapping=None):
        masked, labels = super().torch_mask_tokens(inputs, special_tokens_mask, offset_mapping)
        return masked, labels.fill_(7)


@pytest.mark.parametrize(("framework", "mark"), [("pt", 4), ("np", -4)])
def test_subclasses_change_calls(tokenizer, framework, mark):
    collator = Marked(tokenizer, mark=4, return_tensors="pt" if framework == "np" else "np")
    assert collator(ROWS, return_tensors=framework)["mark"] == mark


@pytest.mark.parametrize("framework", ["pt", "np"])
def test_subclasses_change_masks_and_get_padded_offsets(tokenizer, framework):
    class Recorder(mlmfast.DataCollatorForLanguageModeling):
        def torch_mask_tokens(self, inputs, special_tokens_mask=None, offset_mapping=None):
            self.given = inputs, special_tokens_mask, offset_mapping
            return super().torch_mask_tokens(
                inputs, special_tokens_mask, offset_mapping=offset_mapping
            )

        def numpy_mask_tokens(self, inputs, special_tokens_mask=None, offset_mapping=None):
            self.given = inputs, special_tokens_mask, offset_mapping
            return super().numpy_mask_tokens(
                inputs, special_tokens_mask=special_tokens_mask, offset_mapping=offset_mapping
            )

    options = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
    rows = [tokenizer(text, **options) for text in texts(3)]
    collator = Recorder(tokenizer, whole_word_mask=True, return_tensors=framework)
    batch = collator(rows)
    inputs, special, offsets = collator.given
    assert type(offsets) is type(special) is type(inputs) is type(batch["input_ids"])
    assert offsets.shape == (*inputs.shape, 2)
    for row, padded in zip(rows, offsets.tolist(), strict=True):
        length = len(row["offset_mapping"])
        assert [tuple(pair) for pair in padded[:length]] == row["offset_mapping"]
        assert padded[length:] == [[0, 0]] * (len(padded) - length)
    assert "offset_mapping" not in batch


@pytest.mark.parametrize("framework", ["pt", "np"])
def test_a_subclass_with_the_peers_own_masks_draws_the_peers(tokenizer, framework):
    class Theirs(mlmfast.DataCollatorForLanguageModeling):
        torch_mask_tokens = Peer.torch_mask_tokens
        numpy_mask_tokens = Peer.numpy_mask_tokens

    options = {"seed": 42, "return_tensors": framework}
    ours, theirs = Theirs(tokenizer, **options), Peer(tokenizer, **options)
    for _ in range(2):
        left, right = ours(rows_of("lists", tokenizer)), theirs(rows_of("lists", tokenizer))
        assert all((left[name] == right[name]).all() for name in right)


def test_the_fields_are_the_peers():
    def fields(kind):
        return [(field.name, field.default) for field in dataclasses.fields(kind) if field.init]

    ours = dict(fields(mlmfast.DataCollatorForLanguageModeling))
    theirs = dict(fields(Peer))
    assert {**ours, **theirs} == ours
    assert [name for name in ours if name in theirs] == list(theirs)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tf_experimental_compile": "np"}, "give return_tensors and seed by name"),
        ({"seed": -1}, "seed must be between 0 and 2\\^64 - 1, got -1"),
    ],
)
def test_bad_fields_are_refused(tokenizer, options, words):
    with pytest.raises(InputError, match=words):
        mlmfast.DataCollatorForLanguageModeling(tokenizer, **options)

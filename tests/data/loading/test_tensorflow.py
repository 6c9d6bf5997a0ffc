"""The guide's TensorFlow half: the collator, `prepare_tf_dataset`, our own `tf.data`, `fit`."""

from __future__ import annotations

import math

import numpy as np
import pytest

import mlmfast
from collator_rows import rows_of
from mlmfast.data.loading.sampler import BlockSampler
from mlmfast.data.store.store import BlockStore
from tiny_tokenizers import bert_tokenizer, roberta_tokenizer
from toy import TINY, make_blocks, sentences

tf = pytest.importorskip("tensorflow", reason="`make test-tf` has TensorFlow")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module", params=[bert_tokenizer, roberta_tokenizer])
def tokenizer(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return BlockStore.open(make_blocks(tmp_path_factory.mktemp("toy")) / "train")


def tiny_model(store):
    config = transformers.RobertaConfig(
        vocab_size=store.manifest.vocab_size, pad_token_id=1, max_position_embeddings=64, **TINY
    )
    return transformers.TFRobertaForMaskedLM(config)


@pytest.mark.parametrize(
    "kind", ["lists", "dicts", "encodings", "dicts of one length", "arrays of one length"]
)
@pytest.mark.parametrize("multiple", [None, 8])
def test_outputs_have_the_peers_form(tokenizer, kind, multiple):
    rows = rows_of(kind, tokenizer)
    options = {"pad_to_multiple_of": multiple, "return_tensors": "tf"}
    ours = mlmfast.DataCollatorForLanguageModeling(tokenizer, **options)(rows)
    theirs = transformers.DataCollatorForLanguageModeling(tokenizer, **options)(rows)
    assert type(ours) is type(theirs)
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        assert isinstance(ours[name], type(value))
        assert ours[name].dtype == value.dtype, name
        assert ours[name].shape == value.shape, name
    plain = mlmfast.DataCollatorForLanguageModeling(tokenizer, mlm=False, **options)(rows)
    labels = ours["labels"].numpy()
    restored = np.where(labels == -100, ours["input_ids"], labels)
    assert np.array_equal(restored, plain["input_ids"])
    assert not np.isin(labels, tokenizer.all_special_ids).any()


def test_set_seed_repeats_the_masks_and_the_next_call_has_others(tokenizer):
    collate = mlmfast.DataCollatorForLanguageModeling(tokenizer, return_tensors="tf")
    rows = rows_of("dicts", tokenizer) * 20
    transformers.set_seed(3)
    first, second = collate(rows)["labels"].numpy(), collate(rows)["labels"].numpy()
    transformers.set_seed(3)
    assert np.array_equal(first, collate(rows)["labels"].numpy())
    assert not np.array_equal(first, second)


def test_the_vocabulary_of_a_direct_call_is_the_callers(tokenizer):
    collate = mlmfast.DataCollatorForLanguageModeling(tokenizer, return_tensors="tf")
    ids = tf.fill((64, 32), tf.constant(20, tf.int64))
    masked, labels = collate.tf_mask_tokens(ids, 25, 7)
    assert set(np.unique(masked[labels != -100])) <= set(range(25))
    assert int(tf.reduce_sum(tf.cast(masked == 7, tf.int32))) > 64 * 32 * 0.08


def batches_of(store, epoch, *, size=8, shuffle=True):
    manifest = store.manifest
    plan = BlockSampler(len(store), size, 0, 1, shuffle, False, 5)
    for number in range(len(plan)):
        ids = plan.block_ids(number, epoch)
        yield mlmfast.mask_tokens(
            store[ids.astype(np.int64)],
            mask_token_id=manifest.mask_token_id,
            vocab_size=manifest.vocab_size,
            special_ids=manifest.special_ids,
            seed=5,
            epoch=epoch,
            block_ids=ids,
        )


def test_every_pass_is_the_next_epoch_of_the_loader(store):
    dataset = mlmfast.to_tf_dataset(store, 8, seed=5, epoch=2)
    assert len(dataset) == math.ceil(len(store) / 8)
    for epoch in (2, 3):
        given = list(dataset.as_numpy_iterator())
        assert len(given) == len(dataset)
        for (features, labels), expected in zip(given, batches_of(store, epoch), strict=True):
            assert set(features) == {"input_ids"}
            assert np.array_equal(features["input_ids"], expected.input_ids)
            assert np.array_equal(labels, expected.labels)


def test_fixed_masks_are_the_same_in_every_pass(store):
    dataset = mlmfast.to_tf_dataset(store, 8, seed=5, shuffle=False, fixed_masks=True)
    for _ in range(2):
        for (features, labels), expected in zip(
            dataset.as_numpy_iterator(), batches_of(store, 0, shuffle=False), strict=True
        ):
            assert np.array_equal(features["input_ids"], expected.input_ids)
            assert np.array_equal(labels, expected.labels)


def test_a_batch_that_is_not_full_can_be_left_out(store):
    dataset = mlmfast.to_tf_dataset(store, 7, drop_remainder=True)
    assert dataset.element_spec[1].shape == (7, store.block_size)
    assert len(list(dataset)) == len(store) // 7


def test_padding_brings_an_attention_mask(tmp_path):
    folder = make_blocks(tmp_path, packing="none", test_size=None)
    padded = BlockStore.open(folder)
    features, _ = next(iter(mlmfast.to_tf_dataset(padded, 4, shuffle=False)))
    expected = padded[:4] != padded.manifest.pad_token_id
    assert np.array_equal(features["attention_mask"].numpy() == 1, expected)


def test_fit_goes_through_the_epochs_and_learns(store):
    seen = []

    def look(labels):
        seen.append(labels.numpy())
        return labels

    def watched(features, labels):
        looked = tf.py_function(look, [labels], tf.int64)
        return features, tf.ensure_shape(looked, labels.shape)

    train = mlmfast.to_tf_dataset(store, 8, seed=5)
    held_out = mlmfast.to_tf_dataset(store, 8, seed=5, shuffle=False, fixed_masks=True)
    model = tiny_model(store)
    steps = 2 * len(train)
    optimizer, _ = transformers.create_optimizer(
        3e-3, num_train_steps=steps, num_warmup_steps=0, weight_decay_rate=0.01
    )
    model.compile(optimizer=optimizer)
    before = model.evaluate(held_out, verbose=0)
    model.fit(train.map(watched), validation_data=held_out, epochs=2, verbose=0)
    assert model.evaluate(held_out, verbose=0) < before
    expected = [batch.labels for epoch in (0, 1) for batch in batches_of(store, epoch)]
    assert len(seen) == len(expected)
    for got, wanted in zip(seen, expected, strict=True):
        assert np.array_equal(got, wanted)


def test_the_guides_own_lines_run_with_a_block_store(store):
    tokenizer = transformers.AutoTokenizer.from_pretrained(store.path)
    model = tiny_model(store)
    collator = mlmfast.DataCollatorForLanguageModeling(
        tokenizer=tokenizer, mlm_probability=0.15, return_tensors="tf"
    )
    tf_train_set = model.prepare_tf_dataset(
        store.to_datasets(), shuffle=True, batch_size=16, collate_fn=collator
    )
    features, labels = next(iter(tf_train_set))
    assert features["input_ids"].shape == labels.shape == (16, store.block_size)
    model.compile(
        optimizer=transformers.AdamWeightDecay(learning_rate=3e-3, weight_decay_rate=0.01)
    )
    history = model.fit(x=tf_train_set, epochs=4, verbose=0).history["loss"]
    assert history[-1] < history[0]
    inputs = tokenizer(sentences(1)[0].replace("cat", tokenizer.mask_token), return_tensors="tf")
    assert model(**inputs).logits.shape[-1] == store.manifest.vocab_size

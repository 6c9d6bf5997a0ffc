"""`replace_vocabulary`: another tokenizer, whose tokens begin where the old ones were."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
import torch
import transformers

from mlmfast import evaluate, prepare, replace_vocabulary, train, train_tokenizer
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError, NotFoundError, OutputExistsError
from tiny_models import save_checkpoint
from tolerances import KERNELS
from toy import SCRATCH, make_blocks, sentences


def column(texts):
    return pa.array(texts, pa.large_string())


def opened(folder):
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    return model, transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model that has learned how frequent the words of the toy language are."""
    root = tmp_path_factory.mktemp("trained")
    blocks = make_blocks(root, count=400)
    options = {**SCRATCH, "learning_rate": 5e-3}
    train(blocks, output=root / "model", max_steps=60, per_device_train_batch_size=32, **options)
    return root / "model"


@pytest.fixture(scope="module")
def wordpieces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wordpiece") / "tokenizer"
    train_tokenizer(sentences(200), folder, model="wordpiece", vocab_size=120)
    return folder


@pytest.mark.parametrize("init", ["mean", "focus"])
def test_a_trained_model_understands_the_new_tokens(trained, wordpieces, init, tmp_path):
    held_out = column(sentences(60, seed=9))
    report = replace_vocabulary(trained, wordpieces, tmp_path / "new", init=init, texts=held_out)
    before, after = report.evaluations
    # The same model with random rows for a comparison.
    model, tokenizer = opened(tmp_path / "new")
    store = prepare(
        held_out, tmp_path / "blocks", tokenizer=wordpieces, block_size=16, remainder="pad"
    )
    torch.manual_seed(0)
    with torch.no_grad():
        model.get_input_embeddings().weight.normal_(0, 0.02)
        model.get_output_embeddings().bias.zero_()
    random = evaluate(model, store)
    assert after.bits_per_byte < 0.9 * random.bits_per_byte
    assert f"{before.bits_per_byte:.3f} bits per byte before" in str(report)
    assert f"{after.bits_per_byte:.3f} after" in str(report)
    assert report.after.tokens == len(tokenizer) == model.config.vocab_size
    assert report.shared + report.roles + report.means + report.similar + report.unknown == len(
        tokenizer
    )


@torch.no_grad()
def test_the_own_tokenizer_changes_nothing(trained, tmp_path):
    report = replace_vocabulary(trained, trained, tmp_path / "new")
    (old, tokenizer), (new, _) = opened(trained), opened(tmp_path / "new")
    assert report.before == report.after
    assert report.evaluations is None
    ids = torch.tensor([tokenizer("the old cat sat").input_ids])
    assert torch.equal(old(ids).logits, new(ids).logits)
    assert new.config.to_dict() == old.config.to_dict() | {"_name_or_path": str(tmp_path / "new")}
    table = json.loads((tmp_path / "new" / "vocabulary.json").read_text())["old_to_new"]
    assert all(int(number) == moved for number, moved in table.items())


@torch.no_grad()
def test_shared_tokens_keep_their_rows_and_the_padding_moves(trained, wordpieces, tmp_path):
    replace_vocabulary(trained, wordpieces, tmp_path / "new")
    (old, old_tokenizer), (new, new_tokenizer) = opened(trained), opened(tmp_path / "new")
    assert (old.config.pad_token_id, new.config.pad_token_id) == (1, 0)
    for name, one in (("mask", new_tokenizer.mask_token_id), ("pad", 0)):
        assert new_tokenizer.convert_tokens_to_ids(getattr(new_tokenizer, f"{name}_token")) == one
    rows = [model.get_input_embeddings().weight for model in (old, new)]
    vocabularies = old_tokenizer.get_vocab(), new_tokenizer.get_vocab()
    words = [word for word in vocabularies[1] if f"\u0120{word}" in vocabularies[0]]
    assert len(words) >= 3
    pairs = [(f"\u0120{word}", word) for word in words]
    for theirs, ours in (*pairs, ("<mask>", "[MASK]"), ("<s>", "[CLS]"), ("<pad>", "[PAD]")):
        number = old_tokenizer.convert_tokens_to_ids(theirs)
        assert torch.equal(rows[1][new_tokenizer.convert_tokens_to_ids(ours)], rows[0][number])
    # The same words at the same positions have the same logits, in spite of another padding.
    marked = [f"\u0120{word}" for word in words[:8]]
    old_ids = old_tokenizer.convert_tokens_to_ids(["<s>", *marked, "</s>"])
    new_ids = new_tokenizer.convert_tokens_to_ids(["[CLS]", *words[:8], "[SEP]"])
    before = old(torch.tensor([old_ids])).logits[0][:, old_ids]
    after = new(torch.tensor([new_ids])).logits[0][:, new_ids]
    torch.testing.assert_close(after, before, rtol=0, atol=KERNELS * before.abs().max().item())


def test_the_new_model_trains(trained, wordpieces, tmp_path):
    replace_vocabulary(trained, wordpieces, tmp_path / "new")
    prepare(column(sentences(100)), tmp_path / "blocks", tokenizer=tmp_path / "new", block_size=16)
    options = {**SCRATCH, "from_scratch": False, "model_type": None, "config_overrides": None}
    result = train(
        tmp_path / "blocks", model=tmp_path / "new", output=tmp_path / "out", max_steps=3, **options
    )
    assert result


def test_a_tokenizer_without_a_mask_token_is_refused(trained, wordpieces, tmp_path):
    content = json.loads((wordpieces / "tokenizer.json").read_text("utf-8"))
    plain = [token for token in content["added_tokens"] if token["content"] != "[MASK]"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "tokenizer.json").write_text(json.dumps({**content, "added_tokens": plain}))
    with pytest.raises(InputError, match="names no mask token"):
        replace_vocabulary(trained, other, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_options_that_cannot_be(trained, wordpieces, tmp_path):
    with pytest.raises(InputError, match="init must be one of mean, focus"):
        replace_vocabulary(trained, wordpieces, tmp_path / "new", init="random")
    with pytest.raises(InputError, match="focus needs texts"):
        replace_vocabulary(trained, wordpieces, tmp_path / "new", init="focus")
    with pytest.raises(InputError, match="eval_megabytes is 0"):
        replace_vocabulary(trained, wordpieces, tmp_path / "new", eval_megabytes=0)
    with pytest.raises(NotFoundError):
        replace_vocabulary(trained, tmp_path / "nothing", tmp_path / "new")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine.txt").write_text("mine")
    with pytest.raises(OutputExistsError):
        replace_vocabulary(trained, wordpieces, tmp_path / "new", overwrite=True)


def test_positions_from_a_fixed_padding_are_refused(tmp_path, wordpieces):
    checkpoint = save_checkpoint("roberta", tmp_path / "roberta")
    tokenizer = load_tokenizer(checkpoint)
    config = transformers.MPNetConfig(
        vocab_size=tokenizer.id_bound, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=48, max_position_embeddings=66, pad_token_id=1,
    )  # fmt: skip
    transformers.MPNetForMaskedLM(config).save_pretrained(checkpoint)
    with pytest.raises(InputError, match="make a tokenizer whose padding has the id 1"):
        replace_vocabulary(checkpoint, wordpieces, tmp_path / "new")

"""Words that become tokens: in the tokenizer, in `prepare`, and as rows of a checkpoint."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers
from click.testing import CliRunner

from mlmfast.cli.stores.prepare import command as prepare_command
from mlmfast.data.prepare.api import prepare
from mlmfast.data.store.store import BlockStore
from mlmfast.data.tokenization.added_tokens import read_tokens, with_tokens
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.data.tokenization.word_boundaries import word_starts
from mlmfast.errors import InputError, NotFoundError
from mlmfast.training.model.embeddings import resize_embeddings
from mlmfast.training.train import train
from tiny_models import save_checkpoint
from tolerances import KERNELS, SUMS
from toy import SCRATCH, TINY, sentences

TEXT = "the solarsystem is in germany , solarsystem is solarsystems ! milkyrain"
NEW = ["solarsystem", "milkyrain"]
OPTIONS = SCRATCH | {"from_scratch": False, "model_type": None, "config_overrides": None}


@pytest.fixture(params=["bert", "roberta"])
def checkpoint(request, tmp_path):
    return save_checkpoint(request.param, tmp_path / "checkpoint")


@pytest.fixture
def text(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("\n".join(f"{line} {TEXT}" for line in sentences(40)) + "\n")
    return file


@pytest.fixture
def words(tmp_path):
    file = tmp_path / "words.txt"
    file.write_text("solarsystem\n\n milkyrain \nsolarsystem\n", encoding="utf-8")
    return file


def test_reading_them(words, tmp_path):
    assert read_tokens(words) == NEW
    assert read_tokens(["b", "a", "b"]) == ["b", "a"]
    with pytest.raises(NotFoundError, match="no file of tokens"):
        read_tokens(tmp_path / "nowhere.txt")
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(InputError, match="no token to add"):
        read_tokens(tmp_path / "empty.txt")
    (tmp_path / "latin.txt").write_bytes("caf\u00e9".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        read_tokens(tmp_path / "latin.txt")


def test_a_word_is_one_token_and_text_is_decoded_as_before(checkpoint):
    before = load_tokenizer(str(checkpoint))
    after = with_tokens(before, NEW)
    assert after.vocab_size == before.vocab_size + 2
    plain, changed = (
        one.tokenizer.encode(TEXT, add_special_tokens=False) for one in (before, after)
    )
    # RoBERTa's pieces hold the blank before a word, and a word may begin a longer one.
    wordpiece = any(token.startswith("##") for token in before.tokenizer.get_vocab())
    blank = "" if wordpiece else " "
    assert changed.tokens.count(f"{blank}solarsystem") == (2 if wordpiece else 3)
    assert f"{blank}milkyrain" in changed.tokens
    assert after.tokenizer.decode(changed.ids) == before.tokenizer.decode(plain.ids)
    # Every other token is what and where it was.
    old, new = before.tokenizer.get_vocab(), after.tokenizer.get_vocab()
    assert old.items() <= new.items()
    assert with_tokens(after, NEW) is after
    # A new token begins a word, for whole-word masks.
    starts = word_starts(after.tokenizer, after.vocab_size)
    assert starts[[new[f"{blank}{word}"] for word in NEW]].all()


def test_the_trained_model_opens_with_the_word_as_one_token(checkpoint, text, words, tmp_path):
    """Learning rate 0: the saved rows are the initial ones."""
    before = load_tokenizer(str(checkpoint))
    old = transformers.AutoModelForMaskedLM.from_pretrained(checkpoint)
    options = OPTIONS | {"learning_rate": 0.0, "weight_decay": 0.0, "max_steps": 2}
    train(
        str(text),
        model=checkpoint,
        output=tmp_path / "out",
        add_tokens=words,
        max_seq_length=32,
        cache_dir=str(tmp_path / "cache"),
        **options,
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out")
    assert model.config.vocab_size == len(tokenizer) == len(old.get_input_embeddings().weight) + 2
    for word in NEW:
        pieces = before.tokenizer.encode(f" {word}", add_special_tokens=False).ids
        ids = tokenizer(f"the {word}", add_special_tokens=False)["input_ids"]
        (index,) = [each for each in ids if each >= len(old.get_input_embeddings().weight)]
        assert len(pieces) > 1
        for rows in ("get_input_embeddings", "get_output_embeddings"):
            expected = getattr(old, rows)().weight[pieces].mean(0).detach()
            assert torch.allclose(getattr(model, rows)().weight[index], expected, atol=SUMS)
        bias = old.get_output_embeddings().bias[pieces].mean().detach()
        assert torch.allclose(model.get_output_embeddings().bias[index], bias, atol=SUMS)
    size = len(old.get_input_embeddings().weight)
    assert torch.equal(
        model.get_input_embeddings().weight[:size], old.get_input_embeddings().weight
    )


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "kind", ["albert", "distilbert", "electra", "mobilebert", "modernbert", "xlm", "deberta-v2"]
)
def test_other_architectures(kind, tied, tmp_path):
    if kind in {"modernbert", "bert"}:
        folder = save_checkpoint(kind, tmp_path / "c", tie_word_embeddings=tied)
        model = transformers.AutoModelForMaskedLM.from_pretrained(folder)
        before = load_tokenizer(str(folder))
    else:
        before = load_tokenizer(str(save_checkpoint("bert", tmp_path / "c")))
        sizes = {
            "distilbert": {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 48},
            "xlm": {"emb_dim": 32, "n_layers": 1, "n_heads": 2},
            "mobilebert": TINY
            | {"embedding_size": 16, "intra_bottleneck_size": 32, "true_hidden_size": 32},
        }.get(kind, TINY | ({"embedding_size": 16} if kind in {"albert", "electra"} else {}))
        config = transformers.AutoConfig.for_model(
            kind, vocab_size=before.id_bound, tie_word_embeddings=tied, **sizes
        )
        torch.manual_seed(0)
        model = transformers.AutoModelForMaskedLM.from_config(config)
    ids = torch.arange(8)[None]
    model.eval()
    with torch.no_grad():
        old = model(input_ids=ids).logits
        after = with_tokens(before, NEW)
        assert resize_embeddings(model, before, after) == 2
        new = model(input_ids=ids).logits
    assert torch.allclose(new[..., : before.id_bound], old, atol=SUMS)
    pieces = before.tokenizer.encode("solarsystem", add_special_tokens=False).ids
    index = after.tokenizer.token_to_id("solarsystem")
    assert torch.allclose(new[..., index], old[..., pieces].mean(-1), atol=KERNELS)


def test_room_that_a_model_has_to_spare_is_used(tmp_path):
    folder = save_checkpoint("bert", tmp_path / "c", vocab_size=256)
    before = load_tokenizer(str(folder))
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder)
    after = with_tokens(before, NEW)
    resize_embeddings(model, before, after)
    assert model.get_input_embeddings().num_embeddings == 256
    rows = model.get_input_embeddings().weight
    pieces = before.tokenizer.encode("milkyrain", add_special_tokens=False).ids
    assert torch.allclose(rows[after.tokenizer.token_to_id("milkyrain")], rows[pieces].mean(0))


def test_blocks_need_the_tokens_too(checkpoint, text, words, tmp_path):
    prepare(str(text), tmp_path / "plain", tokenizer=str(checkpoint), block_size=32)
    with pytest.raises(InputError, match="without 2 of the 2 tokens to add, such as"):
        train(
            tmp_path / "plain", model=checkpoint, output=tmp_path / "a", add_tokens=words, **OPTIONS
        )
    arguments = [str(text), "--tokenizer", str(checkpoint), "--block-size", "32"]
    arguments += ["--add-tokens", str(words), "--output", str(tmp_path / "with")]
    assert CliRunner().invoke(prepare_command, arguments).exit_code == 0
    size = BlockStore.open(tmp_path / "with").manifest.vocab_size
    assert (BlockStore.open(tmp_path / "with")[:] >= size - 2).any()
    with pytest.raises(InputError, match="--add-tokens"):
        train(tmp_path / "with", model=checkpoint, output=tmp_path / "b", **OPTIONS)
    options = OPTIONS | {"max_steps": 1}
    train(tmp_path / "with", model=checkpoint, output=tmp_path / "c", add_tokens=words, **options)
    assert json.loads((tmp_path / "c" / "config.json").read_text())["vocab_size"] == size


def test_a_word_without_pieces_begins_as_the_unknown_token_and_that_is_said(tmp_path, caplog):
    folder = save_checkpoint("bert", tmp_path / "c")
    model, before = (
        transformers.AutoModelForMaskedLM.from_pretrained(folder),
        load_tokenizer(str(folder)),
    )
    after = with_tokens(before, ["\u6f22\u5b57", "solarsystem"])
    resize_embeddings(model, before, after)
    rows = model.get_input_embeddings().weight
    unknown = before.tokenizer.token_to_id("[UNK]")
    assert torch.equal(rows[after.tokenizer.token_to_id("\u6f22\u5b57")], rows[unknown])
    assert "1 of 2 new tokens were unknown" in caplog.text


def test_a_tokenizer_that_is_another_is_refused(tmp_path):
    one, other = (save_checkpoint(kind, tmp_path / kind) for kind in ("bert", "roberta"))
    model = transformers.AutoModelForMaskedLM.from_pretrained(one)
    with pytest.raises(InputError, match="another id there"):
        resize_embeddings(model, load_tokenizer(str(one)), load_tokenizer(str(other)))


def test_new_ids_are_masked_and_asked_for_like_others(checkpoint, text, words, tmp_path):
    from mlmfast.training.datasets import EvaluationBlocks

    store = prepare(
        str(text), tmp_path / "blocks", tokenizer=str(checkpoint), block_size=32, add_tokens=words
    )
    batch = EvaluationBlocks(store, mlm_probability=0.5).__getitems__(range(len(store)))
    assert np.isin(batch["labels"].numpy(), range(store.manifest.vocab_size - 2, 10**6)).any()

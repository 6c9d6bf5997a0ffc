"""Models that are extended to longer inputs."""

from __future__ import annotations

import json

import pytest
import torch
import transformers

from mlmfast import FillMask, evaluate, export, prepare
from mlmfast.data.store.store import BlockStore
from mlmfast.errors import InputError
from mlmfast.torch_models import max_input_length
from mlmfast.training.model.positions.lengthen import lengthened
from mlmfast.training.options.length import LengthOptions
from mlmfast.training.train import train
from tiny_models import WORDS, save_checkpoint
from toy import SCRATCH


def opened(folder):
    return transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()


def make(kind, **sizes):
    """A random model of 24 positions that tokens can have."""
    torch.manual_seed(0)
    fields = {
        "vocab_size": 60,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "initializer_range": 0.4,
        "max_position_embeddings": 24,
        "pad_token_id": 1,
    } | sizes
    if kind == "distilbert":
        names = {"hidden_size": "dim", "num_hidden_layers": "n_layers"}
        names |= {"num_attention_heads": "n_heads", "intermediate_size": "hidden_dim"}
        fields = {names.get(name, name): value for name, value in fields.items()}
    if kind == "modernbert":
        fields |= {"reference_compile": False, "global_attn_every_n_layers": 1}
        fields |= {"bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
    if kind in ("albert", "electra"):
        fields["embedding_size"] = 32
    config = transformers.AutoConfig.for_model(kind, **fields)
    return transformers.AutoModelForMaskedLM.from_config(config).eval()


def ids(length):
    return torch.arange(length)[None] * 7 % 50 + 5


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("bert", 24),
        ("distilbert", 24),
        ("electra", 24),
        ("albert", 24),
        ("roberta", 26),
        ("xlm-roberta", 26),
        ("mpnet", 26),
        ("nystromformer", 24),
        ("roformer", 24),
        ("modernbert", 24),
    ],
)
@torch.no_grad()
def test_a_model_takes_longer_inputs_and_answers_short_ones_as_before(kind, rows, tmp_path):
    model = make(kind, max_position_embeddings=rows)
    more = rows + 40
    new = lengthened(model, LengthOptions(max_position_embeddings=more))
    assert torch.equal(new(ids(20)).logits, model(ids(20)).logits)
    assert max_input_length(new).usable == 64
    new.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["max_position_embeddings"] == more
    assert torch.equal(opened(tmp_path)(ids(64)).logits, new(ids(64)).logits)


@pytest.mark.parametrize(("kind", "offset"), [("bert", 0), ("roberta", 2)])
def test_the_rows_of_a_table_repeat_after_those_that_no_token_gets(kind, offset):
    model = make(kind, max_position_embeddings=24 + offset)
    new = lengthened(model, LengthOptions(max_position_embeddings=60 + offset))
    before = model.base_model.embeddings.position_embeddings.weight
    after = new.base_model.embeddings.position_embeddings.weight
    assert torch.equal(after[: 24 + offset], before)
    for start in (24, 48):
        part = after[offset + start : offset + start + 24]
        assert torch.equal(part, before[offset : offset + len(part)])


@torch.no_grad()
def test_another_base_and_yarn_are_in_the_saved_configuration(tmp_path):
    model = make("modernbert")
    plain = lengthened(model, LengthOptions(max_position_embeddings=96))
    found = {"plain": plain(ids(96)).logits}
    for name, options in (
        ("theta", LengthOptions(96, rope_theta=500.0)),
        ("yarn", LengthOptions(96, rope_scaling="yarn")),
        ("factor", LengthOptions(96, rope_scaling="rope_type=yarn,factor=2.0")),
    ):
        new = lengthened(model, options)
        new.save_pretrained(tmp_path / name)
        found[name] = new(ids(96)).logits
        assert torch.equal(opened(tmp_path / name)(ids(96)).logits, found[name])
    logits = list(found.values())
    for number, one in enumerate(logits):
        for other in logits[number + 1 :]:
            assert not torch.allclose(one, other, atol=1e-3)
    config = transformers.AutoConfig.from_pretrained(tmp_path / "yarn").to_dict()
    scaling = config.get("rope_scaling") or config["rope_parameters"]["full_attention"]
    assert scaling["rope_type"] == "yarn"
    assert scaling["factor"] == 4.0
    assert scaling["original_max_position_embeddings"] == 24


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("bert", {"max_position_embeddings": 12}, "is 12, but the model has 24"),
        ("bert", {"rope_theta": 1e4}, "rope_theta are? for models with rotary .* a bert model"),
        ("modernbert", {"rope_scaling": "yarn"}, "yarn needs a factor"),
        ("modernbert", {"rope_scaling": "tricks"}, "transformers has .*yarn"),
        ("modernbert", {"rope_scaling": "factor=2"}, "expected a type"),
        ("modernbert", {"rope_theta": 0.5}, "a number above 1"),
        ("bert", {"max_position_embeddings": 0}, "max_position_embeddings must be"),
    ],
)
def test_what_cannot_be_extended_is_refused(kind, options, words):
    with pytest.raises(InputError, match=words):
        lengthened(make(kind), LengthOptions(**options))


@pytest.mark.filterwarnings("ignore:Blocks of 128 tokens are longer")
@pytest.mark.parametrize(
    ("kind", "rows", "scaling"), [("roberta", 130, None), ("modernbert", 128, "yarn")]
)
def test_a_training_at_length_is_evaluated_exported_and_served(kind, rows, scaling, tmp_path):
    start = save_checkpoint(kind, tmp_path / "start")
    settings = json.loads((start / "tokenizer_config.json").read_text())
    settings["model_max_length"] = 64
    (start / "tokenizer_config.json").write_text(json.dumps(settings))
    text = tmp_path / "text.txt"
    text.write_text("\n".join([" ".join([WORDS] * 15)] * 10))  # documents longer than 128 tokens
    stores = {}
    for length in (64, 128):
        prepare(text, tmp_path / str(length), tokenizer=start, block_size=length, test_size=0.2)
        stores[length] = tmp_path / str(length)
    options = {
        name: value
        for name, value in SCRATCH.items()
        if name not in ("from_scratch", "model_type", "config_overrides")
    }
    with pytest.raises(InputError, match=f"extend the model .--max-position-embeddings {rows}"):
        train(stores[128], model=start, output=tmp_path / "out", **options)
    train(
        stores[128],
        model=start,
        output=tmp_path / "out",
        max_position_embeddings=rows,
        rope_scaling=scaling,
        **options,
    )
    with torch.no_grad():
        assert opened(tmp_path / "out")(ids(128) % 40).logits.shape[1] == 128
    settings = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert settings["model_max_length"] == 128
    losses = {
        length: evaluate(tmp_path / "out", BlockStore.open(store / "test")).loss
        for length, store in stores.items()
    }
    # The text repeats itself: what was learned at 128 holds at 64, too.
    assert max(losses.values()) < 1.3 * min(losses.values())
    export(tmp_path / "out", tmp_path / "onnx")
    fill = FillMask(tmp_path / "onnx")
    pipeline = transformers.pipeline("fill-mask", str(tmp_path / "out"), device="cpu")
    long = " ".join(["the milky way is a"] * 18) + f" {pipeline.tokenizer.mask_token}"
    ours, theirs = fill(long), pipeline(long)
    assert [each["token"] for each in ours] == [each["token"] for each in theirs]
    assert ours[0]["score"] == pytest.approx(theirs[0]["score"], abs=1e-4)

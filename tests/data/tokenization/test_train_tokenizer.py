from __future__ import annotations

from pydoc_data.topics import topics

import numpy as np
import pytest
from click.testing import CliRunner

from mlmfast.cli.tokenizers.train_tokenizer import command
from mlmfast.data.tokenization.train import train_tokenizer
from mlmfast.errors import InputError, OutputExistsError

# English and code that every Python carries.
TEXTS = [line for text in list(topics.values())[:12] for line in text.splitlines()]
transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize(
    ("model", "wrapped", "specials"),
    [
        ("bpe", "<s>{}</s>", ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]),
        ("wordpiece", "[CLS] {} [SEP]", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]),
        ("unigram", "<s> {}</s>", ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]),
    ],
)
def test_auto_tokenizer_opens_what_was_trained(tmp_path, model, wrapped, specials):
    loaded = train_tokenizer(iter(TEXTS), tmp_path / "t", model=model, vocab_size=600)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "t")
    assert tokenizer.is_fast
    assert len(tokenizer) == loaded.vocab_size <= 600
    assert tokenizer.convert_ids_to_tokens(range(5)) == specials
    mask = tokenizer.mask_token
    assert tokenizer.mask_token_id in tokenizer(f"the class {mask} is 東京")["input_ids"]
    decoded = tokenizer.decode(tokenizer("the class object")["input_ids"])
    assert decoded == wrapped.format("the class object")
    pair = tokenizer("class", "object")["input_ids"]
    assert pair.count(tokenizer.sep_token_id) == (2 if model == "wordpiece" else 3)
    # Words of the text became tokens: something was learned.
    assert len(tokenizer.tokenize("the statement is")) <= 9


def test_byte_level_bpe_knows_every_text_and_repeats_itself(tmp_path):
    first = train_tokenizer(TEXTS, tmp_path / "a", vocab_size=300)
    again = train_tokenizer(TEXTS, tmp_path / "b", vocab_size=300)
    assert first.files == again.files
    odd = "\0 ༀ \t\n🦊 zzz"
    assert first.tokenizer.decode(first.tokenizer.encode(odd).ids) == odd


def test_lowercase_and_length(tmp_path):
    loaded = train_tokenizer(
        TEXTS, tmp_path / "t", vocab_size=300, lowercase=True, model_max_length=64
    )
    assert loaded.tokenizer.encode("THE FOX").ids == loaded.tokenizer.encode("the fox").ids
    assert loaded.model_max_length == 64


def test_bad_options_leave_nothing(tmp_path):
    for options, said in (
        ({"model": "gpt"}, "bpe, wordpiece, unigram"),
        ({"vocab_size": 10}, "261 at least"),
        ({"min_frequency": -1}, "min_frequency"),
    ):
        with pytest.raises(InputError, match=said):
            train_tokenizer(TEXTS, tmp_path / "t", **options)
    for texts, said in (([], "no text"), (["", ""], "no text"), ("abc", "one string")):
        with pytest.raises(InputError, match=said):
            train_tokenizer(texts, tmp_path / "t")
    with pytest.raises(InputError, match="got int"):
        train_tokenizer([3], tmp_path / "t")
    assert list(tmp_path.iterdir()) == []


def test_only_a_tokenizer_is_overwritten(tmp_path):
    train_tokenizer(TEXTS, tmp_path / "t", vocab_size=300)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        train_tokenizer(TEXTS, tmp_path / "t", vocab_size=300)
    (tmp_path / "t" / ".DS_Store").write_bytes(b"of a system")
    train_tokenizer(TEXTS, tmp_path / "t", vocab_size=290, overwrite=True)
    (tmp_path / "t" / "model.safetensors").write_bytes(np.zeros(3).tobytes())
    with pytest.raises(OutputExistsError, match="did not write"):
        train_tokenizer(TEXTS, tmp_path / "t", overwrite=True)


def test_the_command(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(TEXTS))
    arguments = [str(tmp_path / "*.txt"), "--output", str(tmp_path / "t"), "--vocab_size", "300"]
    done = CliRunner().invoke(command, [*arguments, "--quiet"], catch_exceptions=False)
    assert (done.exit_code, done.output) == (0, "")
    done = CliRunner().invoke(command, [*arguments, "--overwrite"], catch_exceptions=False)
    assert "300 tokens" in done.stdout
    assert f"--tokenizer {tmp_path / 't'}" in done.stdout

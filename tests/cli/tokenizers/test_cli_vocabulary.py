"""`mlmfast vocabulary trim` and `mlmfast vocabulary replace`."""

from __future__ import annotations

import json
import sys

import pytest

from mlmfast.cli import main
from mlmfast.data.tokenization.load import load_tokenizer
from tiny_models import WORDS, save_checkpoint


@pytest.fixture
def mlmfast(monkeypatch, capsys):
    """Call the command line in this process: (exit status, standard output, standard error)."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mlmfast", "vocabulary", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def checkpoint(tmp_path):
    return save_checkpoint("roberta", tmp_path / "model")


@pytest.fixture
def texts(tmp_path):
    file = tmp_path / "texts.jsonl"
    lines = [json.dumps({"body": WORDS}), json.dumps({"body": "the milky way"})]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_trim_prints_what_became_of_the_model(checkpoint, texts, mlmfast, tmp_path):
    new = tmp_path / "new"
    status, said, _ = mlmfast(
        "trim", checkpoint, "--texts", texts, "--text-column", "body", "--keep", 300,
        "--output", new, "--test", texts, "--speed",
    )  # fmt: skip
    assert status == 0
    size = load_tokenizer(new).vocab_size
    assert size <= 300
    assert f"{size:,}" in said.splitlines()[1]
    assert "ms, all logits" in said
    assert "of 2 texts have the same tokens" in said
    assert said.splitlines()[-1] == f"Output     {new}"


def test_json_and_quiet(checkpoint, texts, mlmfast, tmp_path):
    options = ("--texts", texts, "--text-column", "body")
    status, said, warned = mlmfast("trim", checkpoint, *options, "-o", tmp_path / "a", "--json")
    found = json.loads(said)
    assert (status, warned) == (0, "")
    assert found["sample"] == {"texts": 2, "same": 2}
    assert found["after"]["tokens"] == load_tokenizer(tmp_path / "a").vocab_size
    assert mlmfast("trim", checkpoint, *options, "-o", tmp_path / "b", "-q") == (0, "", "")


def test_replace_measures_before_and_after(checkpoint, texts, mlmfast, tmp_path):
    other = save_checkpoint("bert", tmp_path / "other")
    options = ("--tokenizer", other, "--texts", texts, "--text-column", "body")
    status, said, _ = mlmfast("replace", checkpoint, *options, "--output", tmp_path / "new")
    assert status == 0, said
    assert "bits per byte before" in said
    assert "means of old pieces" in said
    assert load_tokenizer(tmp_path / "new").tokens["mask_token"] == "[MASK]"


def test_mistakes_are_one_sentence(checkpoint, texts, mlmfast, tmp_path):
    new = tmp_path / "new"
    for arguments in (
        ("trim", checkpoint, "--output", new),
        ("trim", checkpoint, "--texts", texts, "--output", new),
        ("trim", checkpoint, "--texts", texts, "--text-column", "body", "--keep", 3, "-o", new),
        ("replace", checkpoint, "--tokenizer", tmp_path / "nowhere", "-o", new),
        ("replace", checkpoint, "--tokenizer", checkpoint, "--init", "focus", "-o", new),
        ("shrink", checkpoint),
    ):
        status, _, said = mlmfast(*arguments)
        assert status == 2, arguments
        assert "Error" in said
        assert "Traceback" not in said
        assert not new.exists()


@pytest.mark.parametrize("name", [(), ("trim",), ("replace",)])
def test_help_begins_with_an_example(name, mlmfast):
    status, said, _ = mlmfast(*name, "--help")
    assert status == 0
    assert said.splitlines()[0] == "Example:"
    assert said.splitlines()[1].strip().startswith("mlmfast vocabulary")

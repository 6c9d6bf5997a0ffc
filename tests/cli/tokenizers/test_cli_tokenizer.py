from __future__ import annotations

import json
import sys

import pytest

from mlmfast.cli import main
from mlmfast.data.tokenization import examine
from mlmfast.data.tokenization.verification.parity import Unsupported, Verified
from tiny_tokenizers import WORDS, roberta_tokenizer


@pytest.fixture
def mlmfast(monkeypatch, capsys):
    """Call the command line in this process: (exit status, standard output)."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mlmfast", "tokenizer", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().out

    return run


@pytest.fixture(autouse=True)
def _verified(monkeypatch):
    """Leave out the comparison of all code points, which has tests of its own."""
    monkeypatch.setattr(
        "mlmfast.data.tokenization.verification.parity.differing_code_points", lambda *_: []
    )


@pytest.fixture
def tokenizer(tmp_path):
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    roberta_tokenizer(folder).save_pretrained(folder)
    return folder


@pytest.fixture
def texts(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text(f"{WORDS}\n" * 50, encoding="utf-8")
    return file


def test_the_family_and_the_speeds_are_told(tokenizer, texts, mlmfast):
    status, said = mlmfast(tokenizer, "--texts", texts)
    assert status == 0
    assert "Engine     the core's byte-level BPE" in said
    assert "Splitter   ByteLevel" in said
    assert "0.00% of it encoded by the library" in said
    assert "Ids        all equal" in said
    assert "MB/s cold" in said
    assert "MB/s warm" in said


def test_the_step_that_is_not_known_is_named(tokenizer, texts, mlmfast):
    file = tokenizer / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [{"type": "UnicodeScripts"}, content["pre_tokenizer"]],
    }
    file.write_text(json.dumps(content), encoding="utf-8")
    status, said = mlmfast(file, "--texts", texts, "--json")
    found = json.loads(said)
    assert status == 0
    assert found["engine"] == "library"
    assert found["reason"].endswith("pre-tokenizer is not one that is encoded here: UnicodeScripts")
    assert found["steps"]["pre_tokenizer"] == ["UnicodeScripts", "ByteLevel"]
    assert found["library_share"] == 1
    assert found["megabytes_per_second"]["cold"] is None
    assert found["megabytes_per_second"]["library"] > 0


def test_texts_that_differ_are_shown(tokenizer, texts, mlmfast, monkeypatch):
    reason = Unsupported("the text 'wrong' is encoded differently", unexpected=True)
    found = Verified(reason, [], 10, ["wrong"])
    monkeypatch.setattr(examine, "verify", lambda _: found)
    status, said = mlmfast(tokenizer, "--texts", texts)
    assert status == 1
    assert "Reason     the text 'wrong' is encoded differently" in said
    assert "Different  1 texts, such as\n           'wrong'" in said


def test_no_text_is_a_mistake(tokenizer, tmp_path, mlmfast):
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    assert mlmfast(tokenizer, "--texts", empty)[0] == 2

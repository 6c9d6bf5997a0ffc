"""Names of files and folders that no system could look for."""

from __future__ import annotations

import pytest

import mlmfast
from corpus import tiny_tokenizer
from mlmfast.cli import main
from mlmfast.errors import InputError
from mlmfast.fs.paths import as_path
from mlmfast.serving.fill_mask import FillMask

LONG = "x" * 5000
TOO_LONG = r"x\.\.\.x.*\(5,000 characters\).*too long"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (LONG, TOO_LONG),
        ("a\0b", "null"),
        ("~nobody-of-that-name/a.txt", "'~nobody.* home folder of an unknown user"),
    ],
)
def test_names_that_cannot_be_looked_for(name, says):
    with pytest.raises(InputError, match=says):
        as_path(name, home=True)


def test_what_is_not_there_is_left_to_the_reader(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("a")
    for path in (file, tmp_path / "none", file / "below"):
        assert as_path(path) == path
    assert as_path("~") != as_path("~", home=True)


@pytest.mark.parametrize(
    "command",
    [
        ["prepare", LONG, "--tokenizer", "TOKENIZER", "--output", "OUT"],
        ["prepare", LONG + "*", "--tokenizer", "TOKENIZER", "--output", "OUT"],
        ["prepare", "--dataset-name", LONG, "--tokenizer", "TOKENIZER", "--output", "OUT"],
        ["prepare", "TEXT", "--tokenizer", LONG, "--output", "OUT"],
        ["prepare", "TEXT", "--tokenizer", "TOKENIZER", "--output", LONG],
        # The name is allowed, and the one of the folder to work in is not.
        ["prepare", "TEXT", "--tokenizer", "TOKENIZER", "--output", "x" * 250],
        ["prepare", "~nobody-of-that-name", "--tokenizer", "TOKENIZER", "--output", "OUT"],
        ["train-tokenizer", LONG, "--output", "OUT"],
        ["train-tokenizer", "TEXT", "--output", LONG],
        ["convert", LONG, "--to", "raw", "--output", "OUT"],
        ["convert", LONG, "--to", "store", "--tokenizer", "TOKENIZER", "--output", "OUT"],
        ["fill-mask", LONG, "a"],
    ],
)
def test_commands_say_it_in_one_sentence(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("one\ntwo\n")
    known = {"TOKENIZER": tiny_tokenizer(), "TEXT": "text.txt", "OUT": "out"}
    monkeypatch.setattr("sys.argv", ["mlmfast", *(known.get(word, word) for word in command)])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert said.startswith("Error: ")
    assert said.count("\n") == 1
    assert len(said) < 500
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


def test_functions_raise_what_is_ours():
    for call in (
        lambda: mlmfast.tokenize(["a"], LONG),
        lambda: mlmfast.BlockStore.open(LONG),
        lambda: FillMask(LONG),
    ):
        with pytest.raises(InputError, match=TOO_LONG):
            call()

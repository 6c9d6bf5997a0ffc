"""`mlmfast fill-mask`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from mlmfast.cli.fill_mask import command, describe
from mlmfast.errors import InputError, NoMaskError
from mlmfast.serving.fill_mask import FillMask


@pytest.fixture(scope="module")
def model(tiny_model):
    return tiny_model("roberta")


def run(*arguments, **options):
    return CliRunner().invoke(command, [str(a) for a in arguments], **options)


def test_a_table_for_people():
    rows = [
        {"score": 0.54321, "token": 7, "token_str": " big", "sequence": "a big\ncity"},
        {"score": 0.01, "token": 8, "token_str": " ", "sequence": "a   city"},
        {"score": 0.001, "token": 9, "token_str": "\n", "sequence": "a \n city"},
    ]
    assert describe("a <mask>\ncity", rows).splitlines() == [
        "a <mask> city",
        "   54.32%  big   a big city",
        "    1.00%  ' '   a city",
        "    0.10%  '\\n'  a city",
    ]
    assert describe("a", []) == "a"
    two = describe("a <mask> <mask>", [rows[:1], rows[1:2]])
    assert "mask 1 of 2\n   54.32%  big" in two
    assert "mask 2 of 2\n    1.00%  ' '" in two


def test_every_text_gets_its_table(model):
    done = run(model.onnx, "paris is <mask>", "<mask> is <mask>", "--top-k", 2)
    assert done.exit_code == 0
    first, second = done.stdout.strip().split("\n\n", 1)
    assert first.splitlines()[0] == "paris is <mask>"
    assert len(first.splitlines()) == 3
    assert second.count("%") == 4
    row = FillMask(model.onnx)("paris is <mask>")[0]
    assert f"{row['score']:.2%}" in first


@pytest.mark.parametrize(
    "texts", [["a <mask>"], ["<mask> <mask>"], ["a <mask>", "<mask> <mask> b", "c <mask>"]]
)
def test_json_is_the_answer_of_fill_mask(model, texts):
    done = run(model.onnx, *texts, "--json", "--top_k", 3)
    expected = FillMask(model.onnx)(texts, top_k=3)
    assert json.loads(done.stdout) == json.loads(json.dumps(expected))


def test_texts_from_standard_input_line_by_line(model):
    lines = "a <mask>\r\n\n  \n<mask> caf\u00e9\n"
    done = run(model.onnx, "-", "--json", input=lines)
    fill_mask = FillMask(model.onnx)
    expected = json.loads(json.dumps(fill_mask(["a <mask>", "<mask> caf\u00e9"])))
    assert json.loads(done.stdout) == expected
    table = run(model.onnx, "-", input=lines).stdout
    assert [line for line in table.splitlines() if "<mask>" in line] == ["a <mask>", "<mask> café"]
    done = run(model.onnx, "-", input=b"a <mask>\n\xff\n")
    assert isinstance(done.exception, InputError)
    assert "Line 2" in str(done.exception)
    assert "no text" in str(run(model.onnx, "-", input="\n").exception)


def test_targets_with_commas_and_again(model):
    words = [" paris", "berlin", "a"]
    done = run(model.onnx, "<mask>", "--targets", " paris,berlin", "--targets", "a", "--json")
    assert json.loads(done.stdout) == FillMask(model.onnx)("<mask>", targets=words)
    assert isinstance(run(model.onnx, "<mask>", "--targets", ",").exception, InputError)


def test_a_long_text_is_cut_only_when_asked(model):
    text = "<mask> " + "paris is the capital of france " * 30
    assert "--truncate" in str(run(model.onnx, text).exception)
    assert run(model.onnx, text, "--truncate").exit_code == 0


def test_a_mistake_is_one_of_our_errors(model):
    assert isinstance(run(model.onnx, "[MASK]").exception, NoMaskError)
    refused = run(model.onnx / "config.json", "<mask>").exception
    assert "is a file" in str(refused)


def test_help_begins_with_an_example():
    help_text = run("--help").stdout
    assert help_text.startswith("Example:\n  mlmfast fill-mask onnx/")
    assert "[default: 5]" in help_text


def test_from_a_shell_a_mistake_is_one_sentence_and_status_2(model):
    start = [sys.executable, "-c", "from mlmfast.cli import main; main()", "fill-mask"]
    done = subprocess.run(
        [*start, model.onnx, "a [MASK]"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "write <mask> for [MASK]" in done.stderr

"""`mlmfast export`."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from mlmfast.cli.export import command
from mlmfast.errors import InputError


def run(*arguments, **options):
    return CliRunner().invoke(command, [str(a) for a in arguments], **options)


def test_a_person_reads_what_was_compared_and_what_to_type_next(tiny_model, tmp_path):
    output = tmp_path / "onnx"
    done = run(tiny_model("roberta").checkpoint, output)
    assert done.exit_code == 0
    assert "model.onnx" in done.stdout
    assert "3 x 24, padded" in done.stdout
    assert f'mlmfast fill-mask {output} "A text with <mask> in it."' in done.stdout
    again = run(tiny_model("roberta").checkpoint, output, "--overwrite", "--quiet")
    assert (again.exit_code, again.output) == (0, "")


def test_a_program_reads_the_report(tiny_model, tmp_path):
    done = run(tiny_model("roberta").checkpoint, tmp_path / "onnx", "--json", "--opset", 17)
    report = json.loads(done.stdout)
    assert report == json.loads((tmp_path / "onnx" / "export_report.json").read_text())
    assert report["output"] == str(tmp_path / "onnx")
    assert {name: graph["opset"] for name, graph in report["graphs"].items()} == {
        "model.onnx": 17,
        "fill_mask.onnx": 17,
    }


def test_a_mistake_is_one_of_our_errors(tmp_path):
    done = run(tmp_path, tmp_path / "onnx")
    assert isinstance(done.exception, InputError)
    assert done.stdout == ""


def test_help_begins_with_an_example():
    help_text = run("--help").stdout
    assert help_text.startswith("Example:\n  mlmfast export model/ onnx/")
    assert "[default: 0.0001]" in " ".join(help_text.split())  # wrapped anywhere


@pytest.mark.parametrize("limit", ["0", "nan"])
def test_a_limit_that_means_nothing_leaves_no_output(tiny_model, tmp_path, limit):
    done = run(tiny_model("roberta").checkpoint, tmp_path / "onnx", "--max-difference", limit)
    assert isinstance(done.exception, InputError)
    assert not (tmp_path / "onnx").exists()

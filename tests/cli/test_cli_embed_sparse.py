"""`mlmfast embed-sparse`: texts from anywhere, words in every form."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from mlmfast import SparseEncoder
from mlmfast.cli import group
from mlmfast.errors import MlmfastError

TEXTS = ["paris is the capital of france", "berlin is a city"]


@pytest.fixture(scope="module")
def onnx(tiny_sparse):
    return str(tiny_sparse("bert").onnx)


@pytest.fixture(scope="module")
def vectors(onnx):
    return SparseEncoder(onnx)(TEXTS)


def run(*arguments, text=None):
    result = CliRunner().invoke(group, ["embed-sparse", *arguments], input=text)
    if isinstance(result.exception, MlmfastError):
        raise result.exception
    return result


def test_json_is_an_object_of_tokens(onnx, vectors):
    assert json.loads(run(onnx, TEXTS[0], "--json").stdout) == pytest.approx(vectors[0])
    found = json.loads(run(onnx, *TEXTS, "--json", "--top-k", "2").stdout)
    assert [[*words] for words in found] == [[*words][:2] for words in vectors]


def test_the_terminal_shows_the_heaviest_first(onnx, vectors):
    shown = run(onnx, TEXTS[0], "--top-k", "3").stdout.split("\n")
    assert shown[0] == TEXTS[0]
    assert [line.split()[1] for line in shown[1:4]] == [*vectors[0]][:3]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_files_hold_ids_tokens_and_weights(onnx, vectors, tmp_path, suffix):
    source = tmp_path / "texts.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in [*TEXTS, None]))
    target = tmp_path / f"vectors.{suffix}"
    run(onnx, "--input", str(source), "--output", str(target), "--on-error", "skip", "--quiet")
    if suffix == "jsonl":
        rows = [json.loads(line) for line in target.read_text().splitlines()]
    else:
        rows = pq.read_table(target).to_pylist()
    assert [row["line"] for row in rows] == [1, 2, 3]
    assert rows[2]["error"]
    for row, words in zip(rows, vectors, strict=False):
        answer = row["answer"]
        assert dict(zip(answer["tokens"], answer["weights"], strict=True)) == pytest.approx(words)
        assert len(answer["ids"]) == len(words)


def test_standard_input_is_read_line_by_line(onnx, vectors):
    found = json.loads(run(onnx, "-", "--json", text="\n".join(TEXTS)).stdout)
    assert found == [pytest.approx(words) for words in vectors]


def test_a_checkpoint_is_exported_for_the_task(tiny_model, vectors):
    result = run(str(tiny_model("bert").checkpoint), TEXTS[0], "--json")
    assert json.loads(result.stdout) == pytest.approx(vectors[0])


def test_bad_input_is_named(onnx, tiny_model):
    assert "Give texts to encode, or --input FILE" in run(onnx).stderr
    assert "--overwrite goes with --output" in run(onnx, "a", "--overwrite").stderr
    with pytest.raises(MlmfastError, match="takes at most 64"):
        run(onnx, "paris " * 80, "--no-truncate")
    with pytest.raises(MlmfastError, match=r"has no sparse\.onnx: .* --task sparse --overwrite"):
        run(str(tiny_model("bert").onnx), "paris")

"""`mlmfast fill-mask` over checkpoints that have no graph yet."""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner

from mlmfast.cli.fill_mask import command
from mlmfast.errors import MlmfastError, NotFoundError
from mlmfast.serving.fill_mask import FillMask
from tolerances import GRAPHS


def run(*arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments])


def test_a_checkpoint_is_exported_once(tiny_model, tmp_path, monkeypatch):
    import mlmfast.exporting.export as exporting

    model = tiny_model("roberta")
    made = []

    def export(checkpoint, output, task):
        assert task == "fill-mask"
        made.append((checkpoint, output))
        shutil.copytree(model.onnx, output)

    monkeypatch.setattr(exporting, "export", export)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    checkpoint = shutil.copytree(model.checkpoint, tmp_path / "checkpoint")
    done = run(checkpoint, "a <mask>", "--json")
    for row, expected in zip(
        json.loads(done.stdout), FillMask(model.onnx)("a <mask>"), strict=True
    ):
        assert row["score"] == pytest.approx(expected["score"], rel=GRAPHS)
        assert {**row, "score": 0} == {**expected, "score": 0}
    assert "exporting it once" in done.stderr
    done = run(checkpoint, "a <mask>", "--json")
    assert done.stderr == ""
    assert [name for name, _ in made] == [str(checkpoint)]
    (checkpoint / "config.json").write_text('{"changed": true}')
    run(checkpoint, "a <mask>", "--json", "--quiet")
    assert len({output for _, output in made}) == 2
    assert all(output.parent == tmp_path / "cache" / "mlmfast" / "exports" for _, output in made)


def test_a_model_that_is_nowhere(tmp_path):
    for name in (tmp_path / "none", "no-such-model-anywhere"):
        refused = run(name, "a <mask>").exception
        assert isinstance(refused, NotFoundError)
        assert f"There is no folder {name}" in str(refused)
    assert isinstance(run(tmp_path, "a <mask>").exception, MlmfastError)

"""Every masked-language-model type of the installed transformers: trained, exported, fused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import transformers

from architectures import masked_types, tiny_model, word_tokenizer
from matrix import measure
from mlmfast.errors import InputError
from mlmfast.exporting.architectures import REFUSED
from tolerances import LAYERS
from write_architectures import TITLES, read, row

DIFFERENCE = TITLES.index("difference")
ROOT = Path(__file__).parents[2]
DOCUMENTED = read()


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("kind", masked_types())
def test_both_graphs_compute_what_pytorch_computes_and_the_docs_say_so(kind):
    outcome = measure(kind)
    if not outcome.refused:
        assert outcome.trains
        assert outcome.model_difference < LAYERS
        assert outcome.fused_difference < LAYERS
        assert outcome.top1 == 1
    if transformers.__version__ not in DOCUMENTED:
        return  # its numbers are right, and the docs are about two other versions
    found = row(outcome)
    written = {cells[0]: cells for cells in DOCUMENTED[transformers.__version__]}
    assert [*found[:DIFFERENCE], *found[DIFFERENCE + 1 :]] == [
        *written[kind][:DIFFERENCE],
        *written[kind][DIFFERENCE + 1 :],
    ], "docs/architectures.md is out of date: run tests/tools/write_architectures.py"


@pytest.mark.skipif(
    transformers.__version__ not in DOCUMENTED, reason="the docs are about other versions"
)
def test_the_docs_tell_of_every_type_and_of_no_other():
    assert [cells[0] for cells in DOCUMENTED[transformers.__version__]] == masked_types()


def test_the_docs_are_about_the_versions_of_the_lock_and_of_the_makefile():
    lock = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    locked = re.search(r"^transformers==(\S+)", lock, re.MULTILINE)
    newest = re.search(r"^TRANSFORMERS5_VERSION \?= (\S+)", makefile, re.MULTILINE)
    assert set(DOCUMENTED) == {locked[1], newest[1]}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_type_of_which_no_graph_can_be_right_is_refused_with_the_reason(kind, tmp_path):
    from mlmfast.exporting.export import export

    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(InputError, match=f"of the type {kind} cannot be exported: "):
        export(tmp_path, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


@pytest.mark.parametrize("kind", ["fnet", "longformer", "perceiver", "reformer"])
def test_a_checkpoint_of_a_patched_type_becomes_an_engine(kind, tmp_path):
    import mlmfast
    from mlmfast.exporting.export import export

    tiny_model(kind).save_pretrained(tmp_path / "checkpoint")
    word_tokenizer().save_pretrained(tmp_path / "checkpoint")
    report = export(tmp_path / "checkpoint", tmp_path / "onnx")
    rows = mlmfast.FillMask(report.output)("the milky <mask> is a galaxy", top_k=3)
    assert len(rows) == 3

"""Folders that hold an adapter in place of a model."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
import torch
import transformers
from click.testing import CliRunner

from mlmfast.cli.fill_mask import command as fill_mask
from mlmfast.errors import InputError, MissingDependencyError, NotFoundError
from mlmfast.exporting.checkpoint import load_checkpoint, require_checkpoint_folder
from mlmfast.exporting.export import export
from mlmfast.peft_models import base_of, is_adapter
from mlmfast.training.model.load import load_model
from tiny_models import save_checkpoint
from tolerances import KERNELS

peft = pytest.importorskip("peft")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A model, and an adapter of it as PEFT writes it, without a tokenizer."""
    folder = tmp_path_factory.mktemp("adapters")
    base = save_checkpoint("roberta", folder / "base")
    model = transformers.AutoModelForMaskedLM.from_pretrained(base)
    config = peft.LoraConfig(target_modules=["query", "value"], init_lora_weights=False)
    peft.get_peft_model(model, config).save_pretrained(folder / "adapter")
    return base, folder / "adapter"


@pytest.fixture
def adapter(folders, tmp_path):
    """A copy of the adapter, to change."""
    return shutil.copytree(folders[1], tmp_path / "adapter")


def rename_base(adapter, name):
    file = adapter / "adapter_config.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"base_model_name_or_path": name}))


def logits_of(model):
    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(5, 25)[None]).logits


def test_an_adapter_is_told_from_a_model(folders):
    base, adapter = folders
    assert (is_adapter(base), is_adapter(adapter)) == (False, True)
    assert base_of(adapter) == str(base)


def test_it_is_merged_when_it_is_loaded(folders):
    base, adapter = folders
    expected = logits_of(peft.AutoPeftModel.from_pretrained(adapter))
    plain = logits_of(transformers.AutoModelForMaskedLM.from_pretrained(base))
    assert (expected - plain).abs().max() > 0.01
    for model in (load_model(adapter), load_checkpoint(adapter).model):
        assert isinstance(model, transformers.PreTrainedModel)
        assert torch.allclose(logits_of(model), expected, atol=KERNELS * plain.abs().max())


def test_it_is_exported_with_the_tokenizer_of_its_model(folders, tmp_path):
    report = export(folders[1], tmp_path / "onnx")
    assert report.checkpoint == str(folders[1])
    assert (tmp_path / "onnx" / "tokenizer.json").is_file()


def test_fill_mask_takes_an_adapter(folders, adapter, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = [str(adapter), "paris is the <mask> of france", "--json", "--quiet"]
    first = CliRunner().invoke(fill_mask, words)
    assert first.exit_code == 0, first.output
    # Another model behind the same adapter has other answers.
    other = shutil.copytree(folders[0], tmp_path / "base")
    model = transformers.AutoModelForMaskedLM.from_pretrained(other)
    model.lm_head.bias.data += torch.randn(model.lm_head.bias.shape) * 9
    model.save_pretrained(other)
    rename_base(adapter, str(other))
    second = CliRunner().invoke(fill_mask, words)
    assert second.exit_code == 0, second.output
    assert first.output != second.output


def test_a_model_that_is_gone_is_named(adapter):
    rename_base(adapter, "/nowhere/base")
    with pytest.raises((NotFoundError, InputError), match="/nowhere/base"):
        load_model(adapter)
    with pytest.raises(NotFoundError, match="/nowhere/base"):
        require_checkpoint_folder(str(adapter))


@pytest.mark.parametrize("name", [None, ""])
def test_an_adapter_that_names_no_model(adapter, name):
    rename_base(adapter, name)
    with pytest.raises(InputError, match=r"names no model.*base_model_name_or_path"):
        load_model(adapter)


def test_an_adapter_of_another_shape(adapter, tmp_path):
    wide = save_checkpoint("roberta", tmp_path / "wide", hidden_size=48)
    rename_base(adapter, str(wide))
    with pytest.raises(InputError, match="does not fit the model"):
        load_model(adapter)


def test_without_peft_the_extra_is_named(folders, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "peft", None)
    for opens in (load_model, lambda folder: export(folder, tmp_path / "onnx")):
        with pytest.raises(MissingDependencyError, match=r"mlmfast\[lora\]"):
            opens(folders[1])
    assert not list(tmp_path.iterdir())

"""The files with a teacher's answers: what is in them, and what becomes of damage."""

from __future__ import annotations

import json
import os

import pytest
import torch
from safetensors import safe_open

from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError, OutputExistsError, StoreError
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.model.from_scratch import new_model
from mlmfast.training.options.distillation import DistillationWeights
from mlmfast.training.teacher_answers.folder import MANIFEST, AnswerFolder
from mlmfast.training.teacher_answers.form import AnswerForm
from mlmfast.training.teacher_answers.reader import AnswerReader
from stored_answers import MADE_OF, answered, form_of
from tolerances import KERNELS
from toy import TINY


@pytest.fixture(scope="module")
def blocks(toy_blocks):
    return MaskedBlocks(open_splits(toy_blocks)["train"], limit=23)


@pytest.fixture(scope="module")
def teacher(blocks):
    torch.manual_seed(0)
    return new_model(blocks.store, model_type="roberta", config_overrides=TINY).eval()


@pytest.fixture
def answers(teacher, blocks, tmp_path):
    vocabulary = teacher.config.vocab_size
    return answered(teacher, blocks, tmp_path / "answers", form_of(vocabulary, 8, 5), epochs=2)


def reopened(answers, top_k=8, **changes):
    return AnswerFolder.open(answers.path, answers.made_of | changes, top_k)


def test_they_are_what_the_teacher_says(answers, teacher, blocks):
    """In every epoch, at every masked token, whatever the files and batches."""
    opened = reopened(answers)
    assert opened.parts == 5
    assert not opened.missing(2)
    assert len(opened.missing(3)) == 5
    for epoch in (1, 0):
        blocks.set_epoch(epoch)
        for item in (0, 4, 5, 22):
            batch = blocks.__getitems__([item])
            masked = batch.pop("labels")[0] != -100
            with torch.no_grad():
                logits = teacher(**batch).logits[0, masked]
                hidden = teacher.roberta(**batch)[0][0, masked]
            found = opened.read(epoch, item)
            assert found["ids"].dtype == torch.uint16
            ids = found["ids"].to(torch.int64)
            assert torch.allclose(logits.gather(1, ids), found["logits"], atol=KERNELS)
            assert torch.allclose(logits.topk(8).values, found["logits"], atol=KERNELS)
            probabilities = torch.softmax(logits / 2, dim=1)
            others = probabilities.scatter(1, ids, 0.0).sum(1)
            rest = torch.exp(found["rest"][:, 1] - (logits / 2).logsumexp(1))
            assert opened.form.temperatures[1] == 2.0
            assert torch.allclose(rest, others, atol=KERNELS)
            cosine = torch.cosine_similarity(hidden, found["hidden"].float())
            assert torch.allclose(cosine, torch.ones(len(hidden)), atol=2**-11)  # fp16
    blocks.set_epoch(0)


def test_a_masked_token_takes_the_bytes_that_are_told(teacher, blocks, tmp_path):
    vocabulary = teacher.config.vocab_size
    for number, given in enumerate(
        [{}, {"hidden": False}, {"precision": "bf16"}, {"top_k": vocabulary}]
    ):
        form = form_of(vocabulary, given.pop("top_k", 8), **given)
        folder = answered(teacher, blocks, tmp_path / str(number), form).path
        (file,) = folder.glob("*.safetensors")
        with safe_open(file, "pt") as content:
            starts = content.get_tensor("starts")
        header = 8 + int.from_bytes(file.read_bytes()[:8], "little")
        size = file.stat().st_size - header - starts.nbytes
        assert size == int(starts[-1]) * form.bytes_per_token


def test_files_have_about_32_mib():
    form = AnswerForm.choose(
        top_k=64,
        vocabulary=50_265,
        temperature=2.0,
        hidden_size=768,
        hidden=True,
        precision="bf16",
        masked_per_item=0.15 * 128,
    )
    size = form.items_per_part * 0.15 * 128 * form.bytes_per_token
    assert size == pytest.approx(32 << 20, rel=0.01)
    assert form.bytes_per_token == 64 * (2 + 2) + 4 * 4 + 2 * 768


def test_answers_to_something_else_are_refused(answers):
    with pytest.raises(InputError, match=r"another seed \(0, now 1\): give the same again"):
        reopened(answers, seed=1)
    with pytest.raises(InputError, match=r"another teacher_top_k \(8, now 9\)"):
        reopened(answers, top_k=9)
    with pytest.raises(InputError, match=r"another mode \(None, now span\) and teacher \(a teach"):
        reopened(answers, teacher="b" * 64, mode="span")


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "swapped", "missing"])
def test_damage_is_found_before_the_training(answers, damage):
    file = answers.path / "epoch-00001-part-00002.safetensors"
    content = bytearray(file.read_bytes())
    if damage == "cut":
        os.truncate(file, len(content) - 100)
    elif damage == "bit":
        content[-3] ^= 4
        file.write_bytes(content)
    elif damage == "empty":
        os.truncate(file, 0)
    elif damage == "swapped":
        file.write_bytes((answers.path / "epoch-00000-part-00002.safetensors").read_bytes())
    else:
        file.unlink()
    opened = reopened(answers)
    opened.verify(1)
    with pytest.raises(StoreError, match=r"epoch-00001-part-00002\.safetensors"):
        opened.verify(2)
    if damage == "missing":
        assert opened.missing(2) == [(1, 2)]


def test_a_damaged_manifest_is_refused(answers):
    manifest = answers.path / MANIFEST
    content = json.loads(manifest.read_text())
    content["form"]["top_k"] = 7
    manifest.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="its checksum is another"):
        reopened(answers, top_k=7)
    manifest.write_text("{}")
    with pytest.raises(StoreError, match="is damaged"):
        reopened(answers)
    manifest.unlink()
    with pytest.raises(OutputExistsError, match="something other than a teacher's answers"):
        reopened(answers)


def test_a_folder_may_be_missing_or_empty_but_is_no_file(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        assert AnswerFolder.open(tmp_path / name, MADE_OF, 8) is None
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputExistsError, match="which is a file"):
        AnswerFolder.open(tmp_path / "file", MADE_OF, 8)


def test_answers_to_other_masks_are_noticed_in_a_batch(answers, blocks):
    """Should a script give its blocks the answers to others."""
    reader = AnswerReader(answers, temperature=2.0, hidden=False)
    labels = blocks.__getitems__([3, 4])["labels"]
    assert set(reader.columns(0, [3, 4], labels)) == {
        "teacher_ids",
        "teacher_logits",
        "teacher_rest",
    }
    labels[0, 0] = 7
    with pytest.raises(StoreError, match="not those to the blocks of this training"):
        reader.columns(0, [3, 4], labels)
    with pytest.raises(StoreError, match=r"lack epoch-00002-part-00000\.safetensors"):
        reader.columns(2, [3, 4], labels)


def test_a_loss_that_needs_more_than_is_stored_is_refused(teacher, tmp_path):
    form = form_of(teacher.config.vocab_size, hidden=False, temperature=3.0)
    assert form.temperatures == (1.0, 2.0, 3.0, 4.0, 8.0)
    form.check(DistillationWeights(3.0, hidden=0.0), where=tmp_path)
    form.check(DistillationWeights(5.0, distillation=0.0, hidden=0.0), where=tmp_path)
    with pytest.raises(InputError, match="temperature 5: give one of 1, 2, 3, 4, 8"):
        form.check(DistillationWeights(5.0, hidden=0.0), where=tmp_path)
    with pytest.raises(InputError, match=r"no hidden states.*--hidden-weight 0"):
        form.check(DistillationWeights(2.0), where=tmp_path)
    form_of(60, top_k=60, temperature=2.0).check(DistillationWeights(5.0), where=tmp_path)

"""What a training leaves to look at: curves, report.html, training.png, TensorBoard's files."""

from __future__ import annotations

import logging
import re
import sys
from html.parser import HTMLParser

import pytest
import transformers

from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError, MissingDependencyError
from mlmfast.training.report.html import write_report
from mlmfast.training.report.plots import curves_of
from mlmfast.training.train import train
from mlmfast.training.trainer.interrupt import TrainingInterrupted
from stopped_trainings import At, press_ctrl_c
from toy import SCRATCH
from train_results import RESULT

OPTIONS = SCRATCH | {"report": True, "num_train_epochs": 2}
LOG = [
    {"step": 0, "eval_loss": 5.0, "eval_perplexity": 148.4},
    {"step": 10, "loss": 4.0, "learning_rate": 1e-4, "tokens_per_second": 900.0},
    {"step": 20, "loss": 3.0, "learning_rate": 5e-5, "tokens_per_second": 1000.0},
    {"step": 20, "eval_loss": 2.0, "eval_perplexity": 7.4},
]


def by_title(log):
    return {curve.title.split()[0].strip(","): curve for curve in curves_of(log)}


class Page(HTMLParser):
    """Collects a page's words, tags and addresses."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in {"src", "href", "xlink:href"}]

    def handle_data(self, data):
        self.words.append(data)


def test_curves_are_what_was_logged():
    found = by_title(LOG)
    training, evaluation = found["Loss"].lines
    assert (training.steps, training.values) == ([10, 20], [4.0, 3.0])
    assert (evaluation.steps, evaluation.values) == ([0, 20], [5.0, 2.0])
    assert found["Perplexity"].logarithmic
    assert found["Tokens"].lines[0].values == [900.0, 1000.0]
    assert list(by_title([LOG[1]])) == ["Loss", "Learning", "Tokens"]


def test_the_page_needs_nothing_from_elsewhere(toy_blocks, tmp_path):
    pytest.importorskip("matplotlib")
    store = open_splits(toy_blocks)["train"]
    assert write_report(
        tmp_path,
        RESULT,
        store,
        log=LOG,
        masks={"mlm_probability": 0.3},
        arguments={"learning_rate": "<script>"},
    )
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags.count("svg") == 4
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert all(address.startswith("#") for address in page.addresses)
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text
    for word in ("8.50", "before: 99.00", "1,000", "prefers-color-scheme: dark"):
        assert word in text
    # Everything drawn takes the page's colours; none of matplotlib's own would show in the dark.
    drawn = re.findall(r"(?:fill|stroke): ?(#[0-9a-f]{6})", text[text.index("<svg") :])
    assert drawn == []
    ids = re.findall(r'id="([^"]+)"', text)
    references = re.findall(r"(?:url\(|href=\")#([^)\"]+)", text)
    assert set(references) <= set(ids)
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")


def test_a_resumed_training_shows_the_whole_curve(toy_blocks, tmp_path):
    pytest.importorskip("matplotlib")
    logs = []

    class Keep(transformers.TrainerCallback):
        def on_train_end(self, _args, state, _control, **_kwargs):
            logs.append([entry for entry in state.log_history if "loss" in entry])

    whole = train(toy_blocks, output=tmp_path / "whole", callbacks=[Keep()], **OPTIONS)
    stop = At(whole.steps // 2 + 1, press_ctrl_c)
    with pytest.raises(TrainingInterrupted):
        train(toy_blocks, output=tmp_path / "cut", callbacks=[stop], **OPTIONS)
    train(
        toy_blocks,
        output=tmp_path / "cut",
        callbacks=[Keep()],
        resume_from_checkpoint=True,
        **OPTIONS,
    )
    first, second = ([(one["step"], one["loss"]) for one in log] for log in logs)
    assert first == second
    assert first[0][0] == 1
    assert all(one["tokens_per_second"] > 0 and one["mfu"] > 0 for one in logs[1])
    for name in ("whole", "cut"):
        assert (tmp_path / name / "report.html").exists()
        assert "![Curves of the training](training.png)" in (
            tmp_path / name / "README.md"
        ).read_text(encoding="utf-8")


def test_without_matplotlib_there_is_a_note_and_a_model(toy_blocks, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with caplog.at_level(logging.WARNING):
        train(toy_blocks, output=tmp_path / "out", **OPTIONS, max_steps=2)
    assert "pip install matplotlib" in caplog.text
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert not (tmp_path / "out" / "report.html").exists()
    assert "training.png" not in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_no_report_on_request(toy_blocks, tmp_path):
    train(toy_blocks, output=tmp_path / "out", **SCRATCH, max_steps=1)
    assert not (tmp_path / "out" / "training.png").exists()


def test_tensorboard_gets_every_figure_and_its_files_stay(toy_blocks, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(toy_blocks, output=tmp_path / "out", **SCRATCH, max_steps=4, report_to="tensorboard")
    (folder,) = (tmp_path / "out" / "runs").iterdir()
    found = events.EventAccumulator(str(folder))
    found.Reload()
    tags = set(found.Tags()["scalars"])
    assert {"train/loss", "train/tokens_per_second", "train/mfu", "eval/perplexity"} <= tags
    assert [each.step for each in found.Scalars("train/loss")] == [1, 2, 3, 4]


def test_what_is_not_known_or_not_installed_is_said_before_the_training(
    toy_blocks, tmp_path, monkeypatch
):
    with pytest.raises(InputError, match="report_to: nowhere"):
        train(toy_blocks, output=tmp_path / "out", **SCRATCH, report_to="nowhere")
    monkeypatch.setattr(transformers.integrations, "get_available_reporting_integrations", list)
    with pytest.raises(MissingDependencyError, match="pip install wandb"):
        train(toy_blocks, output=tmp_path / "out", **SCRATCH, report_to="wandb")
    assert not list(tmp_path.iterdir())

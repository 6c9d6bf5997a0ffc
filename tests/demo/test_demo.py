"""The demonstration, from one end to the other."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mlmfast.demo.corpus import paragraphs, write_corpus
from mlmfast.demo.options import SMALL_MODEL, DemoOptions
from mlmfast.demo.run import run_demo
from mlmfast.demo.stages import StageCache
from mlmfast.errors import InputError, NotFoundError
from toy import SCRATCH, make_blocks, sentences

TINY = SMALL_MODEL | {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    text = folder / "mine.jsonl"
    rows = [json.dumps({"story": {"text": each}}) for each in sentences(120)]
    text.write_text("\n".join(rows) + "\n")
    return DemoOptions(
        output=folder / "demo",
        seconds=2,
        least_steps=3,
        data=(str(text),),
        text_column="story.text",
        texts=("the old cat sat on a <mask> mat",),
        block_size=16,
        test_size=0.2,
        vocab_size=300,
        config=TINY,
    )


@pytest.fixture(scope="module")
def walked(options):
    lines = []
    return run_demo(options, say=lines.append), lines


def test_the_whole_road(walked, options):
    result, lines = walked
    assert result.reused == []
    assert result.after["perplexity"] < result.before["perplexity"]
    assert len(result.answers[options.texts[0]]) == 5
    report = "\n".join(lines)
    for stage in ("tokenizer", "blocks", "train", "evaluate", "export"):
        assert f"\n{stage}" in report
    assert f"mlmfast fill-mask {result.onnx}" in report
    assert (result.onnx / "model.onnx").exists()


def test_a_second_run_finds_everything_finished(walked, options):
    lines = []
    again = run_demo(options, say=lines.append)
    assert again.reused == ["tokenizer", "blocks", "train", "evaluate", "export"]
    assert again.after == walked[0].after
    assert again.answers == walked[0].answers
    assert "found finished" in "\n".join(lines)


@pytest.mark.usefixtures("walked")
def test_another_text_to_fill_needs_no_stage_again(options):
    again = run_demo(replace(options, texts=("a red <mask>",)), say=lambda _line: None)
    assert len(again.reused) == 5
    assert list(again.answers) == ["a red <mask>"]


def test_a_checkpoint_of_ones_own_is_adapted(options, tmp_path):
    from mlmfast.training.train import train

    blocks = make_blocks(tmp_path)
    train(blocks, output=tmp_path / "mine", max_steps=1, **SCRATCH | {"eval_strategy": "no"})
    adapted = replace(
        options, output=tmp_path / "demo", model=str(tmp_path / "mine"), texts=(), seconds=0.5
    )
    lines = []
    result = run_demo(adapted, say=lines.append)
    assert "tokenizer" not in [line.split()[0] for line in lines if line]
    assert any("(was: " in line for line in lines)
    assert all("<mask>" in text for text in result.answers)


def test_wrong_options(options, tmp_path):
    with pytest.raises(InputError, match="seconds is 0"):
        run_demo(replace(options, seconds=0))
    with pytest.raises(NotFoundError, match=r"nowhere\.txt"):
        run_demo(replace(options, output=tmp_path / "demo", data=("nowhere.txt",)))


def test_stages_are_done_again_when_their_input_changes(tmp_path):
    made = []

    def make(key):
        (tmp_path / "out").touch()
        made.append(key)
        return {"n": len(made)}

    def run(inputs, *, fresh=False):
        return StageCache(tmp_path, fresh=fresh).run("stage", inputs, tmp_path / "out", make)

    first = run({"a": 1})
    assert not first.reused
    assert run({"a": 1}).reused
    assert run({"a": 1}).figures == {"n": 1}
    assert not run({"a": 2}).reused
    assert not run({"a": 2}, fresh=True).reused
    (tmp_path / "out").unlink()
    assert not run({"a": 2}).reused
    (tmp_path / "demo.json").write_text('{"stage": {"ke')
    assert not run({"a": 2}).reused


TWICE = "Return what was given,\n    twice.\n\n    "


@pytest.fixture
def library(tmp_path):
    """A folder of modules, as a standard library has them."""
    files = {
        "good.py": '"""The module says something."""\n\ndef f():\n    """' + TWICE + 'Never."""\n',
        "package/inner.py": 'class C:\n    """' + TWICE + 'A class of its very own."""\n',
        "pydoc_data/topics.py": "topics = {'if': 'The if statement\\nis used for choices.'}\n",
        "test/test_good.py": '"""A test is not documentation."""\n',
        "site-packages/other.py": '"""Another program is not the library."""\n',
        "template.py": "def <name>: pass\n",
        "wrong.py": 'raise SystemExit("this module must not be imported")\n',
    }
    for name, text in files.items():
        path = tmp_path / "library" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "library"


def test_the_corpus_is_documentation_without_repetitions(library, tmp_path):
    documents, size = write_corpus(tmp_path / "corpus.jsonl", library)
    rows = [json.loads(line) for line in (tmp_path / "corpus.jsonl").read_text().splitlines()]
    assert rows == [
        {"source": "good", "text": "The module says something."},
        {"source": "good.f", "text": "Return what was given, twice."},
        {"source": "package.inner.C", "text": "A class of its very own."},
        {"source": "reference.if", "text": "The if statement is used for choices."},
    ]
    assert documents == 4
    assert size == sum(len(row["text"]) for row in rows)


def test_a_library_without_sources_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="--data"):
        write_corpus(tmp_path / "corpus.jsonl", tmp_path / "empty")


def test_paragraphs_are_joined_lines():
    text = "A first paragraph\nof two lines.\n\nshort\n \n  And a second paragraph.\n"
    assert paragraphs(text) == ["A first paragraph of two lines.", "And a second paragraph."]

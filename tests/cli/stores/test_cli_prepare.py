from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from corpus import documents, tiny_tokenizer
from mlmfast.cli import main
from mlmfast.cli.process.quiet import silent_bars
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.data.tokenization.encoder import MIN_BYTES_FOR_CORE

TEXTS = documents(300)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("".join(f"{line}\n" for line in TEXTS))
    return path


@pytest.fixture
def mlmfast(monkeypatch, capsys):
    """Call the command line in this process: (exit status, standard output, standard error)."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mlmfast", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return run


def test_the_summary_says_what_was_made_and_what_comes_next(text, tmp_path, mlmfast):
    out = tmp_path / "out"
    status, out_text, err_text = mlmfast(
        "prepare", text, "--tokenizer", tiny_tokenizer(), "--block_size", 32, "--test-size", 0.2,
        "--output", out,
    )  # fmt: skip
    assert status == 0, err_text
    stores = open_splits(out)
    assert f"Read     {len(TEXTS)} documents, {TEXTS.count('')} empty" in out_text
    assert f"Train    {len(stores['train']):,} blocks in {out}/train" in out_text
    assert f"Next     mlmfast train {out}" in out_text
    assert err_text == ""  # no bar where nobody looks


def test_json_is_the_only_output(text, tmp_path, mlmfast):
    _status, out_text, err_text = mlmfast(
        "prepare", text, "--tokenizer", tiny_tokenizer(), "--output", tmp_path / "out", "--json"
    )
    found = json.loads(out_text)
    store = BlockStore.open(tmp_path / "out")
    assert found["blocks"] == len(store)
    assert found["splits"]["train"]["path"] == str(store.path)
    assert found["tokens"] == store.manifest.tokens + store.manifest.dropped_tokens
    assert err_text == ""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_who_looks_on_hears_why_a_new_tokenizer_takes_longer(tmp_path):
    text = tmp_path / "a.txt"
    line = "the quick brown fox jumps over the lazy dog\n"
    text.write_text(line * (MIN_BYTES_FOR_CORE // len(line) + 1))  # of less, nothing is compared
    command = [sys.executable, "-m", "mlmfast", "prepare", text, "--tokenizer", tiny_tokenizer()]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    heard = []
    for number in range(2):
        ours, its = os.openpty()
        given = [*command, "--block-size", "8", "--output", tmp_path / f"out-{number}"]
        with subprocess.Popen(
            list(map(str, given)), env=environment, stdout=subprocess.DEVNULL, stderr=its
        ) as process:
            os.close(its)
            said = b""
            with suppress(OSError):  # Linux's way to say that the other end is closed
                while piece := os.read(ours, 1 << 16):
                    said += piece
        os.close(ours)
        assert process.returncode == 0, said
        heard.append(said.decode().count("This tokenizer is new here"))
    assert heard == [1, 0]


def test_standard_input_and_quiet(text, tmp_path, mlmfast, monkeypatch):
    with text.open() as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        ended = mlmfast(
            "prepare", "-", "--format", "txt", "--tokenizer", tiny_tokenizer(), "--quiet",
            "--output", tmp_path / "out",
        )  # fmt: skip
    assert ended == (0, "", "")
    assert BlockStore.open(tmp_path / "out").manifest.source["inputs"] == ["-"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.txt", "--tokenizer", "TINY"], "There is no file 'gone.txt'"),
        (["TEXT", "--tokenizer", "no/where"], "No tokenizer 'no/where'"),
        (["TEXT", "--tokenizer", "TINY", "--block-size", "100000"], "less than one block"),
        (["TEXT", "--tokenizer", "TINY", "--test-size", "2"], "test_size"),
        (["TEXT", "--tokenizer", "TINY", "--remainder", "keep"], "'drop', 'pad'"),
        (["TEXT"], "--tokenizer"),
        (["--tokenizer", "TINY"], "There is no input"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(text, tmp_path, mlmfast, arguments, said):
    places = {"TINY": tiny_tokenizer(), "TEXT": text}
    arguments = [places.get(argument, argument) for argument in arguments]
    status, out_text, err_text = mlmfast("prepare", *arguments, "--output", tmp_path / "out")
    assert status == 2
    assert out_text == ""
    assert said in err_text
    assert "Traceback" not in err_text
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise on Windows")
def test_ctrl_c_leaves_nothing(tmp_path):
    # Standard input that never ends: the command is surely in the middle when it is interrupted.
    command = [sys.executable, "-c", "from mlmfast.cli import main; main()", "prepare", "-"]
    options = ["--format", "txt", "--tokenizer", tiny_tokenizer(), "--output", tmp_path / "out"]
    with subprocess.Popen(
        [*command, *map(str, options)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while not list(tmp_path.glob(".out.partial-*")):
            assert process.poll() is None, process.stderr.read()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=300)  # the pipe stays open
        said = process.stderr.read()
    assert process.returncode == 130
    assert "nothing half done" in said
    assert list(tmp_path.iterdir()) == []


def test_quiet_silences_the_bars_of_libraries(tmp_path):
    datasets = pytest.importorskip("datasets")
    clone = tmp_path / "clone"
    clone.mkdir()
    datasets.Dataset.from_dict({"text": TEXTS}).to_parquet(clone / "train.parquet")
    command = ["prepare", "--dataset-name", clone, "--tokenizer", tiny_tokenizer(), "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "mlmfast", *map(str, command), "--output", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HOME": str(tmp_path / "home")},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert BlockStore.open(tmp_path / "out").manifest.documents == len(TEXTS)


def test_bars_are_shown_again_after_a_quiet_command(monkeypatch):
    bars = importlib.import_module("datasets.utils.tqdm")
    from huggingface_hub.utils import are_progress_bars_disabled

    for variable in ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):
        monkeypatch.delenv(variable, raising=False)
    before = (bars.are_progress_bars_disabled(), are_progress_bars_disabled())
    with silent_bars():
        assert bars.are_progress_bars_disabled()
        assert are_progress_bars_disabled()
        assert os.environ["TQDM_DISABLE"] == "1"
    assert (bars.are_progress_bars_disabled(), are_progress_bars_disabled()) == before
    assert "TQDM_DISABLE" not in os.environ


def test_how_tables_and_json_are_read(tmp_path, mlmfast):
    (tmp_path / "a.tsv").write_text('n;text\n1;"one two\n2;three four\n')
    (tmp_path / "b.json").write_text(json.dumps({"data": [{"text": "five"}, {"text": "six"}]}))
    common = ("--tokenizer", tiny_tokenizer(), "--block-size", 4, "--remainder", "pad", "--json")
    status, _, err_text = mlmfast(
        "prepare", tmp_path / "a.tsv", "--csv-delimiter", ";", "--output", tmp_path / "no", *common
    )
    assert status != 0
    assert "the quotes that open on line 2 are never closed" in err_text
    for number, more in enumerate(
        (
            (tmp_path / "a.tsv", "--csv-delimiter", ";", "--csv-quoting", "none"),
            (tmp_path / "b.json", "--json-field", "data"),
        )
    ):
        status, out_text, err_text = mlmfast(
            "prepare", *more, "--output", tmp_path / f"{number}", *common
        )
        assert status == 0, err_text
        assert json.loads(out_text)["documents"] == 2

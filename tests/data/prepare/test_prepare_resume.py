"""`prepare` killed, interrupted or failed in the middle, and called again."""

from __future__ import annotations

import json
import logging
import lzma
import os
import random
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from corpus import tiny_tokenizer
from mlmfast.data.store.store import open_splits
from mlmfast.data.tokenization.encoder import TextEncoder
from mlmfast.errors import InputError, NotFoundError, OutputExistsError
from prepare_runs import (  # noqa: F401 (fixtures)
    BATCH_BYTES,
    FITTED,
    PLAIN,
    SCRIPT,
    SHUFFLED,
    SPLIT,
    TEXTS,
    dies,
    files_of,
    hidden,
    inputs,
    interrupted,
    killed,
    options_of,
    run,
    small_batches,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed otherwise")


def test_killed_within_an_archive_and_a_list(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("b.csv", "n,text\n" + "".join(f'1,"{text}"\n' for text in TEXTS[:150]))
        archive.writestr("a.txt", "".join(f"{text}\n" for text in TEXTS[:100]))
    records = [{"text": text} for text in TEXTS]
    (folder / "b.json").write_text(json.dumps(records, indent=1))
    (folder / "c.json.xz").write_bytes(lzma.compress(json.dumps({"data": records}).encode()))
    inputs = [str(folder / name) for name in ("a.zip", "b.json")]
    whole = files_of(run(inputs, tmp_path / "whole").output)
    for where, count in (("save", 2), ("write", 6)):
        killed(where, count, inputs, tmp_path / "out")
    assert run(inputs, tmp_path / "out").kept_shards > 0
    assert files_of(tmp_path / "out") == whole
    field = {"json_field": "data"}
    inputs = [str(folder / "c.json.xz")]
    whole = files_of(run(inputs, tmp_path / "whole2", **field).output)
    killed("write", 4, inputs, tmp_path / "out2", **field)
    assert run(inputs, tmp_path / "out2", **field).kept_shards > 0
    assert files_of(tmp_path / "out2") == whole


def test_killed_within_a_chromosome(tmp_path):
    draw = random.Random(5)
    lengths = (3000, 0, 10, 9000, 500)
    sequences = ["".join(draw.choices("ACGTacgtN", k=length)) for length in lengths]
    fasta = tmp_path / "in.fa"
    lines = [
        line
        for text in sequences
        for line in (">a record", *(text[at : at + 70] for at in range(0, len(text), 70)))
    ]
    fasta.write_text("\n".join(lines))
    for number, more in enumerate(({}, {"kmer": 3, "fasta_case": "upper"})):
        whole = files_of(
            run([str(fasta)], tmp_path / f"whole{number}", fasta_chunk=100, **more).output
        )
        killed("write", 9, [str(fasta)], tmp_path / f"out{number}", fasta_chunk=100, **more)
        assert run([str(fasta)], tmp_path / f"out{number}", fasta_chunk=100, **more).kept_shards > 0
        assert files_of(tmp_path / f"out{number}") == whole


@pytest.mark.parametrize(
    ("more", "deaths"),
    [
        (PLAIN, [("save", 2), ("encode", 40), ("rename", 4)]),
        (SPLIT, [("replace", 3), ("close", 2)]),
        (SHUFFLED, [("spill", 2), ("write", 5)]),
        (FITTED, [("write", 4)]),
    ],
    ids=["plain", "split", "shuffled", "fitted"],
)
def test_killed_at_any_moment_the_bytes_are_the_same_in_the_end(inputs, tmp_path, more, deaths):
    whole = run(inputs, tmp_path / "whole", threads=1, **more)
    out = tmp_path / "out"
    for number, (where, count) in enumerate(deaths):
        # Every run goes on where the one before was killed, and on another number of threads.
        killed(where, count, inputs, out, **{**more, "threads": 1 + number % 3})
    report = run(inputs, out, threads=3, **more)
    assert files_of(out) == files_of(tmp_path / "whole")
    assert hidden(tmp_path) == []
    expected, found = whole.as_dict(), report.as_dict()
    for name in ("seconds", "megabytes_per_second", "tokens_per_second", "output", "splits",
                 "kept_shards"):  # fmt: skip
        del expected[name], found[name]
    assert found == expected
    assert report.kept_shards > 0
    for store in report.stores.values():
        store.verify()


def test_what_is_kept_is_not_tokenized_again(inputs, tmp_path, interrupted, monkeypatch, caplog):
    said = interrupted(after=60)
    assert "finished shards are kept" in said
    assert "--no-resume" in said
    assert hidden(tmp_path) == [".out.partial-prepare"]
    encoded = []
    real = TextEncoder.encode

    def encode(self, texts):
        encoded.extend(texts.to_pylist())
        return real(self, texts)

    monkeypatch.setattr(TextEncoder, "encode", encode)
    caplog.set_level(logging.INFO, "mlmfast")
    report = run(inputs, tmp_path / "out")
    assert report.kept_shards > 2
    assert f"{report.kept_shards} finished shards with" in caplog.text
    assert len(encoded) < report.documents - 100
    assert sum(len(text.encode()) for text in encoded) == report.text_bytes - report.kept_text_bytes
    run(inputs, tmp_path / "whole")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_a_small_run_leaves_nothing(tmp_path, interrupted):
    assert "kept" not in interrupted(after=0)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (InputError("a bad text."), "a bad text. .* kept"),
        (OSError(28, "No space left on device"), "is full: .* Free some space. .* kept"),
    ],
)
def test_an_error_says_what_is_kept(inputs, tmp_path, interrupted, fault, said):
    assert re.search(said, interrupted(fault))
    report = run(inputs, tmp_path / "out")
    assert report.kept_shards > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"block_size": 8}, "block_size has changed from 16 to 8"),
        ({"seed": 3}, "seed has changed"),
        ({"resume": False}, None),
        ("tokenizer", "tokenizer has changed"),
        ("used input", "a.txt' has changed"),
        ("damaged shard", "is not what was written"),
        ("lost shard", "is not what was written"),
        ("damaged pending", "is not what was written"),
        ("damaged state", "state file"),
    ],
)
def test_what_does_not_fit_any_more_begins_anew(
    inputs, tmp_path, interrupted, caplog, change, said
):
    interrupted()
    partial = tmp_path / ".out.partial-prepare"
    more = change if isinstance(change, dict) else {}
    shard = partial / "output" / "data-00000.arrow"
    if change == "tokenizer":
        more = {"tokenizer": str(Path(tiny_tokenizer()) / "tokenizer.json")}
    elif change == "used input":
        os.utime(inputs[0], (1, 1))
    elif change == "damaged shard":
        content = bytearray(shard.read_bytes())
        content[-40] ^= 1
        shard.write_bytes(content)
    elif change == "lost shard":
        shard.unlink()
    elif change == "damaged pending":
        next(partial.glob("pending-*")).write_bytes(b"")
    elif change == "damaged state":
        state = partial / "state.json"
        state.write_text(state.read_text().replace("16", "17", 1))
    report = run(inputs, tmp_path / "out", **more)
    assert report.kept_shards == 0
    warned = [record.message for record in caplog.records]
    if said is None:
        assert warned == []
    else:
        assert [said in message and "Starting over" in message for message in warned] == [True]
    run(inputs, tmp_path / "whole", **more)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    assert hidden(tmp_path) == []


def test_inputs_that_were_not_reached_may_change(inputs, tmp_path, interrupted):
    interrupted(after=15)
    Path(inputs[-1]).unlink()
    report = run(inputs[:-1], tmp_path / "out")
    assert report.kept_shards > 0
    run(inputs[:-1], tmp_path / "whole")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_a_mistaken_command_does_not_cost_what_was_kept(inputs, tmp_path, interrupted):
    interrupted()
    for mistake in ({"add_mask_token": "<hidden>"}, {"tokenizer": "gone"}, {"split": "train"}):
        with pytest.raises((InputError, NotFoundError)):
            run(inputs, tmp_path / "out", **mistake)
    assert run(inputs, tmp_path / "out").kept_shards > 0


def test_what_cannot_be_read_again_is_not_kept(tmp_path, monkeypatch):
    dies(monkeypatch, KeyboardInterrupt(), after=40)
    with pytest.raises(KeyboardInterrupt):
        run(pa.array(TEXTS), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_data_sets_are_gone_on_with(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    folder = str(tmp_path / "set")
    datasets.Dataset.from_dict({"text": TEXTS * 4}).save_to_disk(folder)
    with monkeypatch.context() as patch:
        dies(patch, KeyboardInterrupt(), after=100)
        with pytest.raises(KeyboardInterrupt, match="kept"):
            run(folder, tmp_path / "out")
    assert run(folder, tmp_path / "out").kept_shards > 0
    run(folder, tmp_path / "whole")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_an_old_store_is_replaced_at_the_end_or_not_at_all(inputs, tmp_path):
    out = tmp_path / "out"
    run(inputs[:1], out)
    old = files_of(out)
    run(inputs, tmp_path / "whole")
    # One rename for each shard, then the old store goes aside, then the new one takes its place.
    shards = len(open_splits(tmp_path / "whole")["train"].manifest.shards)
    given = {"inputs": inputs, "output": str(out), "batch_bytes": BATCH_BYTES,
             **options_of(overwrite=True)}  # fmt: skip
    command = [sys.executable, str(SCRIPT), "rename"]
    subprocess.run([*command, str(shards + 2), json.dumps(given)], check=False)
    assert not out.exists()
    with pytest.raises(OutputExistsError, match="exists already"):
        run(inputs, out)  # which also puts the old one back
    assert files_of(out) == old
    assert run(inputs, out, overwrite=True).kept_shards == shards - 1
    assert files_of(out) == files_of(tmp_path / "whole")
    assert hidden(tmp_path) == []


def test_two_runs_do_not_write_the_same_output(inputs, tmp_path, monkeypatch):
    real, said = TextEncoder.encode, []

    def encode(self, texts):
        if not said:
            said.append("")
            with pytest.raises(OutputExistsError, match="Another `mlmfast prepare`") as caught:
                run(inputs, tmp_path / "out")
            said[0] = str(caught.value)
        return real(self, texts)

    monkeypatch.setattr(TextEncoder, "encode", encode)
    run(inputs, tmp_path / "out")
    assert "at this moment" in said[0]
    assert hidden(tmp_path) == []


def test_ctrl_c_on_the_command_line_says_how_to_go_on(inputs, tmp_path):
    out = tmp_path / "out"
    # A pipe as the last input, which says nothing: the run waits for it with shards behind it.
    pipe = tmp_path / "pipe.txt"
    os.mkfifo(pipe)
    command = [sys.executable, "-c", "from mlmfast.cli import main; main()", "prepare", *inputs]
    options = ["--tokenizer", tiny_tokenizer(), "--block-size", "16", "--shard-tokens", "500"]
    with subprocess.Popen(
        [*command, *options, "--output", str(out), str(pipe)], stderr=subprocess.PIPE, text=True
    ) as process:
        with pipe.open("wb", buffering=0) as feed:
            feed.write(b"the fox\n")
            while not list(tmp_path.glob(".out.partial-*/output/data-00002.arrow")):
                assert process.poll() is None, process.stderr.read()
            process.send_signal(signal.SIGINT)
            process.wait(timeout=300)
        said = process.stderr.read()
    assert process.returncode == 130
    # A pipe cannot be read again, so that nothing is kept.
    assert "nothing half done was left behind" in said
    assert hidden(tmp_path) == []

"""`prepare` on Ray without Ray: every task in this process, by way of pickle."""

from __future__ import annotations

import gzip
import pickle

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from corpus import documents, jsonl, tiny_tokenizer
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.run import run_prepare
from prepare_runs import files_of

TEXTS = documents(400)


class Here:
    """Runs tasks one after the other; what they get and give crosses a process border in vain."""

    def __init__(self, job, fail_after=None):
        self._job = pickle.dumps(job)
        self._left = fail_after

    def map(self, function, calls):
        for call in calls:
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    raise OSError("the power went")
            job, *args = pickle.loads(self._job), *pickle.loads(pickle.dumps(call))
            yield pickle.loads(pickle.dumps(function(job, *args)))


def write_inputs(folder):
    """The texts in files of all kinds; return their names, in order."""
    lines = "".join(f"{text}\n" for text in TEXTS)
    (folder / "a.txt").write_text(lines, newline="")
    (folder / "b.jsonl").write_bytes(jsonl(*({"n": 1, "text": text or None} for text in TEXTS)))
    (folder / "c.txt.gz").write_bytes(gzip.compress(lines.encode()))
    (folder / "d.txt").write_bytes(b"\xef\xbb\xbf" + lines.replace("\n", "\r\n").encode() + b"end")
    (folder / "e.txt").write_text("tiny\n")
    table = pa.table({"text": [*TEXTS, None]})
    pa.parquet.write_table(table, folder / "f.parquet", row_group_size=37)
    pa.csv.write_csv(table, folder / "g.csv")
    records = (f">{n}\r\n{'ACGT' * (n % 9)}\r\n;x\r\nacg\r\n" for n, _ in enumerate(TEXTS))
    (folder / "h.fasta").write_text("".join(records), newline="")
    with pa.ipc.new_file(str(folder / "i.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=37)
    return [str(path) for path in sorted(folder.iterdir())]


def both(tmp_path, inputs, **options):
    """Prepare by both engines; return the files and the report of each."""
    found = []
    for engine in ("local", "ray"):
        out = tmp_path / engine
        given = PrepareOptions(tokenizer=tiny_tokenizer(), engine=engine, overwrite=True, **options)
        report = run_prepare(inputs, out, given).as_dict()
        for name in ("seconds", "megabytes_per_second", "tokens_per_second", "output", "splits"):
            del report[name]
        found.append((files_of(out), report))
    return found

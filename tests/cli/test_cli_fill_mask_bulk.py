"""`mlmfast fill-mask` over files."""

from __future__ import annotations

import json
import lzma
import subprocess
import sys
import zipfile

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from mlmfast.cli.fill_mask import command
from mlmfast.errors import InputError, NoMaskError, NotFoundError, OutputExistsError
from mlmfast.serving.fill_mask import FillMask
from tolerances import GRAPHS, LAYERS

TEXTS = ["a <mask>", "<mask> is <mask>", "the capital of <mask>"]


@pytest.fixture(scope="module")
def model(tiny_model):
    return tiny_model("roberta")


@pytest.fixture(scope="module")
def answers(model):
    return json.loads(json.dumps(FillMask(model.onnx)(TEXTS)))


def run(*arguments, **options):
    return CliRunner().invoke(command, [str(a) for a in arguments], **options)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def same(found, expected):
    """Compare answers; other batches give other last digits."""
    if isinstance(expected, dict):
        assert {**found, "score": 0} == {**expected, "score": 0}
        assert found["score"] == pytest.approx(expected["score"], rel=GRAPHS)
        return
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        same(one, other)


def test_each_format_of_input(model, answers, tmp_path):
    text, json_lines, parquet = (tmp_path / f"q.{kind}" for kind in ("txt", "jsonl", "parquet"))
    text.write_text("a <mask>\r\n\n<mask> is <mask>\nthe capital of <mask>", encoding="utf-8")
    records = [{"q": {"text": one}, "n": 1} for one in TEXTS]
    json_lines.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    pq.write_table(pa.table({"q": [{"text": one} for one in TEXTS]}), parquet)
    for source, numbers in ((text, [1, 3, 4]), (json_lines, [1, 2, 3]), (parquet, [1, 2, 3])):
        output = tmp_path / f"{source.suffix[1:]}.jsonl"
        done = run(
            model.onnx, "--input", source, "--output", output, "--text-column", "q.text", "--quiet"
        )
        assert (done.exit_code, done.output) == (0, ""), done.exception
        rows = lines(output)
        assert [(row["line"], row["text"]) for row in rows] == list(
            zip(numbers, TEXTS, strict=True)
        )
        same([row["answer"] for row in rows], answers)
    done = run(model.onnx, "--input", "-", "--json", input=text.read_bytes())
    same(json.loads(done.stdout), answers)
    done = run(
        *(model.onnx, "--input", "-", "--format", "jsonl", "--text-column", "q.text", "--json"),
        input=json_lines.read_bytes(),
    )
    same(json.loads(done.stdout), answers)


def test_tables_and_lists_as_input(model, answers, tmp_path):
    records = [{"n": 1, "text": one} for one in TEXTS]
    table = pa.table({"n": [1] * 3, "text": TEXTS})
    files = {name: tmp_path / name for name in ("q.csv", "q.tsv", "q.arrow", "q.json", "q.txt.xz")}
    pa.csv.write_csv(table, files["q.csv"])
    files["q.tsv"].write_text("n\ttext\n" + "".join(f"1\t{one}\n" for one in TEXTS))
    with pa.ipc.new_file(str(files["q.arrow"]), table.schema) as writer:
        writer.write_table(table)
    files["q.json"].write_text(json.dumps(records, indent=1))
    files["q.txt.xz"].write_bytes(lzma.compress("".join(f"{one}\n" for one in TEXTS).encode()))
    for source in files.values():
        done = run(model.onnx, "--input", source, "--json", "--quiet")
        assert done.exit_code == 0, done.exception
        same(json.loads(done.stdout), answers)
    bad = tmp_path / "bad.csv"
    bad.write_bytes(b"text\n" + f"{TEXTS[0]}\n".encode() + b"\xff <mask>\n")
    output = tmp_path / "bad.jsonl"
    run(model.onnx, "--input", bad, "--output", output, "--on-error", "skip")
    assert "Row 2" in lines(output)[1]["error"]
    assert "not valid UTF-8" in lines(output)[1]["error"]
    odd = tmp_path / "odd.csv"
    odd.write_text('n;text\n1;"the <mask>\n')
    assert "never closed" in str(run(model.onnx, "--input", odd, "--csv-delimiter", ";").exception)
    how = ("--csv-delimiter", ";", "--csv-quoting", "none", "--json")
    assert run(model.onnx, "--input", odd, *how).exit_code == 0


def test_files_are_read_as_prepare_reads_them(model, answers, tmp_path):
    text = "".join(f"{one}\n" for one in TEXTS).encode()
    with pa.CompressedOutputStream(tmp_path / "q.txt.zst", "zstd") as packed:
        packed.write(text)
    (tmp_path / "mac.txt").write_bytes(text.replace(b"\n", b"\r"))
    (tmp_path / "marked.txt").write_bytes(b"\xef\xbb\xbf" + text)
    lists = [{"text": one.split(" ")} for one in TEXTS]  # joined by blanks
    (tmp_path / "lists.jsonl").write_text("\n".join(map(json.dumps, lists)))
    with zipfile.ZipFile(tmp_path / "q.zip", "w") as archive:
        archive.writestr("a.txt", f"\n{TEXTS[0]}\n")
        archive.writestr("b.json", json.dumps([{"text": one} for one in [*TEXTS[1:], "none"]]))
    for name in ("q.txt.zst", "mac.txt", "marked.txt", "lists.jsonl", "q.zip"):
        output = tmp_path / f"{name}.answers.jsonl"
        how = ("--output", output, "--on-error", "skip", "--quiet")
        done = run(model.onnx, "--input", tmp_path / name, *how)
        assert done.exit_code == 0, done.exception
        rows = lines(output)
        same([row["answer"] for row in rows[:3]], answers)
    assert [row["line"] for row in rows] == [2, 1, 2, 3]
    assert rows[3]["error"].startswith(f"Record 3 of {tmp_path / 'q.zip'}: b.json")


def test_plain_text_needs_no_pyarrow(model, tmp_path):
    source = tmp_path / "q.txt"
    source.write_text("".join(f"{one}\n" for one in TEXTS))
    program = "import sys; sys.modules['pyarrow'] = None; from mlmfast.cli import main; main()"

    def command(*arguments, **options):
        words = [sys.executable, "-c", program, "fill-mask", model.onnx, *arguments, "--json"]
        return subprocess.run(words, capture_output=True, text=True, check=False, **options)

    for done in (command("--input", source), command("-", input=source.read_text())):
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)) == len(TEXTS)
    packed = tmp_path / "q.txt.xz"
    packed.write_bytes(lzma.compress(source.read_bytes()))
    assert "pip install pyarrow" in command("--input", packed).stderr


def test_answers_as_parquet(model, answers, tmp_path):
    output = tmp_path / "answers.parquet"
    done = run(model.onnx, *TEXTS, "--output", output, "--json")
    assert json.loads(done.stdout) == {"output": str(output), "texts": 3, "errors": 0}
    rows = pq.read_table(output).to_pylist()
    assert [row["text"] for row in rows] == TEXTS
    same(rows[0]["answer"], [answers[0]])
    same(rows[1]["answer"], answers[1])
    assert [row["error"] for row in rows] == [None] * 3


def test_the_line_at_fault_is_named_and_no_output_appears(model, tmp_path):
    source, output = tmp_path / "q.txt", tmp_path / "answers.jsonl"
    source.write_text("a <mask>\n\na [MASK]\nb <mask>\n", encoding="utf-8")
    done = run(model.onnx, "--input", source, "--output", output)
    assert isinstance(done.exception, NoMaskError)
    assert str(done.exception).startswith(f'Line 3 of {source} "a [MASK]" has no mask token')
    assert list(tmp_path.iterdir()) == [source]


def test_skipped_errors_keep_their_place(model, answers, tmp_path):
    source, output = tmp_path / "q.jsonl", tmp_path / "answers.jsonl"
    source.write_bytes(
        b"{broken\n"
        b'{"text": "a <mask>"}\n'
        b'{"text": "none"}\n'
        b'{"text": ""}\n'
        b'{"text": 3}\n'
        b'{"other": 3}\n'
        b"\xff\n"
        b'{"text": "<mask> is <mask>"}\n'
        b"[1]\n"
    )
    done = run(model.onnx, "--input", source, "--output", output, "--on-error", "skip")
    assert done.exit_code == 0, done.exception
    assert "9 texts, 7 of them with an error" in done.stderr
    rows = lines(output)
    assert [row["line"] for row in rows] == list(range(1, 10))
    assert [place for place, row in enumerate(rows, 1) if "answer" in row] == [2, 8]
    same([rows[1]["answer"], rows[7]["answer"]], answers[:2])
    told = {row["line"]: row["error"] for row in rows if "error" in row}
    for line, words in (
        (1, "not valid JSON"),
        (3, "no mask token"),
        (4, "is empty"),
        (5, "no text in its field 'text'"),
        (6, "no field 'text'; its fields are other"),
        (7, "not valid UTF-8"),
        (9, "no JSON object"),
    ):
        assert told[line].startswith(f"Line {line} of {source}")
        assert words in told[line]
    parquet = tmp_path / "answers.parquet"
    run(model.onnx, "--input", source, "--output", parquet, "--on-error", "skip")
    assert pq.read_table(parquet)["error"].null_count == 2
    shown = run(model.onnx, "--input", source, "--on-error", "skip", "--json")
    assert [isinstance(one, dict) for one in json.loads(shown.stdout)].count(True) == 7
    assert run(model.onnx, "--input", source, "--on-error", "skip").stdout.count("Error: ") == 7


def test_outputs_are_not_replaced_unasked(model, tmp_path):
    output = tmp_path / "answers.jsonl"
    output.write_text("mine")
    refused = run(model.onnx, "a <mask>", "--output", output).exception
    assert isinstance(refused, OutputExistsError)
    assert output.read_text() == "mine"
    assert run(model.onnx, "a <mask>", "--output", output, "--overwrite").exit_code == 0
    assert len(lines(output)) == 1
    for name, error in (("answers.csv", InputError), (".", InputError)):
        assert isinstance(run(model.onnx, "a", "--output", tmp_path / name).exception, error)


def test_files_that_cannot_be_read(model, tmp_path):
    for name in ("none.txt", "folder.jsonl"):
        assert isinstance(run(model.onnx, "--input", tmp_path / name).exception, NotFoundError)
    odd = tmp_path / "q.odd"
    odd.write_text("a <mask>")
    assert "--format" in str(run(model.onnx, "--input", odd).exception)
    assert run(model.onnx, "--input", odd, "--format", "txt").exit_code == 0
    broken = tmp_path / "q.parquet"
    broken.write_text("no parquet")
    for more in ((), ("--output", tmp_path / "answers.jsonl")):
        refused = run(model.onnx, "--input", broken, *more).exception
        assert isinstance(refused, InputError)
        assert "Parquet" in str(refused)
    empty = tmp_path / "q.txt"
    empty.write_text("\n\n")
    assert "holds no text" in str(run(model.onnx, "--input", empty).exception)
    pq.write_table(pa.table({"a": ["b"]}), broken)
    assert "no column 'text'" in str(run(model.onnx, "--input", broken).exception)


def test_options_that_do_not_go_together(model):
    for arguments in (
        [],
        ["a <mask>", "--input", "-"],
        ["a <mask>", "--joint", "--score"],
        ["a <mask>", "--joint", "--targets", "b"],
        ["a <mask>", "--beams", "3"],
        ["a <mask>", "--overwrite"],
    ):
        assert run(model.onnx, *arguments).exit_code == 2, arguments


def test_joint_and_score(model, tmp_path):
    fill_mask = FillMask(model.onnx)
    text = "<mask> is <mask>"
    done = run(model.onnx, text, "--joint", "--beams", 8, "--top-k", 2, "--json")
    same(json.loads(done.stdout), fill_mask.fill(text, beams=8, top_k=2))
    table = run(model.onnx, text, "--joint", "--top-k", 2).stdout.strip().splitlines()
    assert len(table) == 3
    done = run(model.onnx, "paris is far", "--score", "--json")
    assert json.loads(done.stdout) == pytest.approx(fill_mask.score("paris is far"), rel=LAYERS)
    assert "paris is far" in run(model.onnx, "paris is far", "--score").stdout
    words = ["galaxyparis", "berlin"]
    done = run(model.onnx, "a <mask>", "--targets", ",".join(words), "--whole-targets", "--json")
    same(json.loads(done.stdout), fill_mask("a <mask>", targets=words, whole_targets=True))
    assert str(run(model.onnx, "none", "--joint").exception).startswith('Text 1 "none"')
    for flag in ("--joint", "--score", None):
        output = tmp_path / f"{flag}.parquet"
        arguments = [flag] if flag else ["--targets", "galaxyparis", "--whole-targets"]
        done = run(model.onnx, text, "", "--on-error", "skip", "--output", output, *arguments)
        assert done.exit_code == 0, done.exception
        assert pq.read_table(output)["error"].null_count == 1


@pytest.mark.parametrize("flag", ["--joint", "--score"])
def test_joint_and_score_in_bulk_keep_order_and_lines(model, tmp_path, flag):
    """More texts than one piece; each is answered as alone, and errors stand in their lines."""
    texts = [f"{word} <mask> {word} <mask>" for word in ("paris", "a", "the solar system", "far")]
    texts = [texts[n % 4] if flag == "--joint" else f"is {n} far" for n in range(150)]
    wrong = {0: "", 63: "\ud800", 64: "x " * 100, 149: ""}
    source, output = tmp_path / "q.jsonl", tmp_path / "answers.jsonl"
    given = [json.dumps({"text": wrong.get(n, text)}) for n, text in enumerate(texts)]
    source.write_text("\n".join([*given, "{broken"]) + "\n")
    arguments = [model.onnx, "--input", source, "--output", output, flag, "--top-k", 2]
    done = run(*arguments, "--on-error", "skip")
    assert done.exit_code == 0, done.exception
    rows = lines(output)
    assert [row["line"] for row in rows] == list(range(1, 152))
    assert [row["line"] - 1 for row in rows if "error" in row] == [*wrong, 150]
    assert all(row["error"].startswith(f"Line {row['line']} of") for row in rows if "error" in row)
    fill_mask = FillMask(model.onnx)
    for place in (1, 62, 65, 66, 148):
        text = texts[place]
        if flag == "--joint":
            same(rows[place]["answer"], json.loads(json.dumps(fill_mask.fill(text, top_k=2))))
        else:
            assert rows[place]["answer"] == pytest.approx(fill_mask.score(text), rel=GRAPHS)

    refused = run(*arguments, "--overwrite").exception
    assert isinstance(refused, InputError)
    assert str(refused).startswith(f"Line 1 of {source}")


def test_what_comes_before_an_error_is_answered(model):
    text = "<mask> is <mask>"
    shown = run(model.onnx, text, text, "none", text, "--joint", "--top-k", 1)
    assert str(shown.exception).startswith('Text 3 "none" has no mask')
    assert shown.stdout.count(text) == 2


def test_many_texts_are_asked_side_by_side(model, monkeypatch):
    from mlmfast.serving.engine.engine import Engine

    sizes = []

    def counted(self, session, masked_texts, output_spec, run_batch=Engine.run_batch):
        sizes.append(len(masked_texts))
        return run_batch(self, session, masked_texts, output_spec)

    monkeypatch.setattr(Engine, "run_batch", counted)
    for texts, flag in ((["<mask> is <mask>"] * 40, "--joint"), (["is far"] * 40, "--score")):
        sizes.clear()
        assert run(model.onnx, *texts, flag, "--top-k", 1, "--json").exit_code == 0
        assert len(sizes) <= 6
        assert sum(sizes) >= 80


def test_a_long_text_keeps_its_mask(model):
    long = f"{'is ' * 200}<mask>{' far' * 200}"
    done = run(model.onnx, long, "--truncate", "--json")
    assert "far" in json.loads(done.stdout)[0]["sequence"]

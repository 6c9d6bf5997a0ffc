"""The README and docs/: their Python runs or compiles, their commands name existing options."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from mlmfast.cli import COMMANDS, group
from mlmfast.training.options.arguments import describe_fields
from mlmfast.training.run_mlm.arguments import describe_run_mlm
from places import ROOT
from toy import sentences

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# `mlmfast` itself, or started by a launcher: torchrun ... -m mlmfast
COMMAND = re.compile(r"(?:^|-m )mlmfast (.*)")
# Their help leaves these to `--list-arguments`.
DESCRIBED = {"train": describe_fields, "run-mlm": describe_run_mlm}


def blocks(page, language):
    return [body for kind, body in FENCED.findall(page.read_text("utf-8")) if kind == language]


def commands_of(page):
    """Give the commands of a page, in blocks of shell and in sentences, without `mlmfast`."""
    shell = "\n".join(blocks(page, "bash")).replace("\\\n", " ")
    inline = re.findall(r"`([^`]+)`", FENCED.sub("", page.read_text("utf-8")))
    lines = [*shell.splitlines(), *(text.replace("\n", " ") for text in inline)]
    return [found[1] for line in lines if (found := COMMAND.search(line))]


def options_of(name, words=()):
    command = group.get_command(None, name)
    if isinstance(command, click.Group) and words:
        command = command.commands[words[0]]
    known = {option for each in command.params for option in
             (*each.opts, *each.secondary_opts)}  # fmt: skip
    described = DESCRIBED.get(name, list)()
    known |= {line.split()[0] for line in described if line.startswith("--")}
    return {option.replace("_", "-") for option in known}


COMMAND_LINES = [(page.name, line) for page in PAGES for line in commands_of(page)]


def test_the_blocks_and_masks_example_runs():
    [code] = blocks(ROOT / "docs" / "python.md", "python")
    exec(compile(code, "docs/python.md", "exec"), {})


def test_the_example_of_all_stages_runs(tmp_path, monkeypatch):
    import transformers

    import mlmfast

    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "one.txt").write_text("\n".join(sentences(300)) + "\n", encoding="utf-8")
    mlmfast.train_tokenizer(sentences(300), "tokenizer", vocab_size=300)
    tokenizer = transformers.AutoTokenizer.from_pretrained("tokenizer")
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=130,
        pad_token_id=tokenizer.pad_token_id,
    )
    transformers.RobertaForMaskedLM(config).save_pretrained("checkpoint")
    names: dict = {}
    [code] = blocks(ROOT / "README.md", "python")
    exec(compile(code, "README.md", "exec"), names)
    assert [row["token_str"] for row in names["answers"]]
    assert len(names["answers"]) == 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_compiles(page):
    for code in blocks(page, "python"):
        compile(code, str(page), "exec")


@pytest.mark.parametrize(("page", "line"), COMMAND_LINES)
def test_commands_name_options_that_exist(page, line):
    name, *words = shlex.split(line, comments=True)
    assert name in COMMANDS, page
    given = {word.partition("=")[0].replace("_", "-") for word in words if word.startswith("--")}
    known = options_of(name, words)
    assert given <= known, f"{page}: mlmfast {name} has no {given - known}"


def test_every_command_is_shown():
    shown = {line.split()[0] for _, line in COMMAND_LINES}
    assert set(COMMANDS) - shown <= {"demo", "version"}

"""The README's Python runs as it stands, and its commands name options that exist."""

from __future__ import annotations

import re
import shlex

import pytest

from mlmfast.cli import COMMANDS, group
from places import ROOT
from toy import sentences

README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHELL = "\n".join(re.findall(r"```bash\n(.*?)```", README, re.DOTALL)).replace("\\\n", " ")
INLINE = re.findall(r"`(mlmfast [a-z-]+ [^`]*)`", README)
COMMAND_LINES = [line for line in SHELL.splitlines() if line.startswith("mlmfast ")] + INLINE


def test_the_blocks_and_masks_example_runs():
    exec(compile(PYTHON[0], "README.md", "exec"), {})


def test_the_whole_road_example_runs(tmp_path, monkeypatch):
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
    names: dict = {"mlmfast": mlmfast}
    exec(compile(PYTHON[1], "README.md", "exec"), names)
    assert [row["token_str"] for row in names["answers"]]
    assert len(names["answers"]) == 3


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_commands_name_options_that_exist(line):
    name, *words = shlex.split(line, comments=True)[1:]
    assert name in COMMANDS
    command = group.get_command(None, name)
    known = {option for parameter in command.params for option in parameter.opts}
    for word in words:
        if word.startswith("--"):
            assert word in known, f"{word} is no option of mlmfast {name}"


def test_every_command_is_told_of():
    told = {line.split()[1] for line in COMMAND_LINES}
    assert set(COMMANDS) - told <= {"demo", "version"}

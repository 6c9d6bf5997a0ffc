"""The three waves without Ray, interrupted: what was made is used, if it is whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from corpus import tiny_tokenizer
from mlmfast.data.prepare.distributed import tokenize as tokens
from mlmfast.data.prepare.distributed.units import units_of
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.run import run_prepare
from mlmfast.data.sources.open import open_sources
from prepare_runs import files_of
from waves_here import write_inputs


def test_what_was_tokenized_is_not_tokenized_again(tmp_path, here, monkeypatch):
    (tmp_path / "in").mkdir()
    inputs = write_inputs(tmp_path / "in")
    options = {"block_size": 16, "shard_tokens": 3000, "test_size": 0.2}
    ray = PrepareOptions(tokenizer=tiny_tokenizer(), engine="ray", **options)
    here(fail_after=20)
    with pytest.raises(OSError, match="the power went") as caught:
        run_prepare(inputs, tmp_path / "ray", ray)
    assert "20 finished parts are kept" in "".join(caught.value.__notes__)
    here()
    seen = []
    real = tokens.encoder_of
    monkeypatch.setattr(tokens, "encoder_of", lambda *a, **k: seen.append(1) or real(*a, **k))
    run_prepare(inputs, tmp_path / "ray", ray)
    units = len(units_of(open_sources(inputs), 3000))
    assert len(seen) == units - 20
    local = PrepareOptions(tokenizer=tiny_tokenizer(), **options)
    run_prepare(inputs, tmp_path / "local", local)
    assert files_of(tmp_path / "ray") == files_of(tmp_path / "local")


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unit-000001.arrow", {}),
        ("unit-000001.json", {}),
        ("unit-000001.npy", {"deduplicate": "exact"}),
        ("unit-000001.keys", {"deduplicate": "near"}),
    ],
    ids=str,
)
@pytest.mark.parametrize("damage", [Path.unlink, flip_a_bit, empty])
def test_parts_that_are_damaged_are_made_once_more(
    tmp_path, here, monkeypatch, name, options, damage
):
    (tmp_path / "in").mkdir()
    inputs = write_inputs(tmp_path / "in")
    ray = PrepareOptions(tokenizer=tiny_tokenizer(), block_size=16, engine="ray", **options)
    here(fail_after=20)
    with pytest.raises(OSError, match="the power went"):
        run_prepare(inputs, tmp_path / "ray", ray)
    damage(tmp_path / ".ray.partial-prepare" / "tokens" / name)
    here()
    made = []
    real = tokens.encoder_of
    monkeypatch.setattr(tokens, "encoder_of", lambda *a, **k: made.append(1) or real(*a, **k))
    run_prepare(inputs, tmp_path / "ray", ray)
    assert len(made) == len(units_of(open_sources(inputs), 3000)) - 20 + 1
    run_prepare(inputs, tmp_path / "local", replace(ray, engine="local"))
    assert files_of(tmp_path / "ray") == files_of(tmp_path / "local")

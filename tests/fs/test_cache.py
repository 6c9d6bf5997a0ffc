"""Where cached content lies, and what it is called."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mlmfast.fs.cache import cache_dir, cache_home, digest


def test_the_cache_lies_where_other_programs_have_theirs(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_home() == tmp_path
    assert cache_dir("exports") == tmp_path / "mlmfast" / "exports"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_dir("exports") == Path.home() / ".cache" / "mlmfast" / "exports"


def test_a_folder_that_a_caller_names_comes_first(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert cache_dir("blocks", str(tmp_path)) == tmp_path / "mlmfast" / "blocks"


def test_a_digest_is_the_hash_of_all_parts():
    assert digest([b"a", b"bc"]) == hashlib.sha256(b"abc").hexdigest()[:32]
    assert digest([]) != digest([b"\0"])

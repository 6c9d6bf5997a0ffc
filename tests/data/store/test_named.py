"""`[NAME=]STORE` words of a command line."""

from __future__ import annotations

import pytest

from mlmfast.data.store.named import named_folders, names_of
from mlmfast.errors import InputError


def test_stores_have_the_names_of_their_folders_or_of_their_whole_paths():
    assert names_of(["blocks/wiki/", "blocks/code/train"]) == ("wiki", "code")
    assert names_of(["a/blocks", "b/blocks/test", "c"]) == ("a/blocks", "b/blocks/test", "c")


def test_words_with_and_without_names(tmp_path):
    assert named_folders(["blocks/test"]) == "blocks/test"
    assert named_folders(["wiki=blocks"]) == {"wiki": "blocks"}
    assert named_folders(["wiki=one", "two/test"]) == {"wiki": "one", "two": "two/test"}
    (tmp_path / "a=b").mkdir()
    assert named_folders([f"{tmp_path}/a=b"]) == f"{tmp_path}/a=b", "a folder of that name"


def test_words_that_name_nothing_or_the_same():
    with pytest.raises(InputError, match="Two block stores have the name wiki"):
        named_folders(["wiki=a", "wiki=b"])
    for word in ("=blocks", "wiki="):
        with pytest.raises(InputError, match=f"{word!r} is no NAME=STORE"):
            named_folders([word])

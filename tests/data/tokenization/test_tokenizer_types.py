"""The tokenizers of all model types: AutoTokenizer's ids, and encoded as the docs say."""

from __future__ import annotations

import pytest
import transformers

from architectures import masked_types
from mlmfast.data.tokenization.load import load_tokenizer
from published import published_folder
from tokenizer_types import class_of, folder_of, recipe
from write_tokenizer_types import KNOWN, TITLES, find, read

# Every class once, and every type whose class reads its tokenizer.json as it is.
DISTINCT = list({(class_of(kind), recipe(kind)): kind for kind in masked_types()}.values())
TEXTS = (
    "Milky Way <mask>  [MASK]\n\tis a  (spiral) galaxy;",
    "caf\u00e9 \u5927\u5b66 \u00a0\u0301x",
    "",
)
DOCUMENTED = read()
documented = pytest.mark.skipif(
    transformers.__version__ not in DOCUMENTED, reason="the docs are about two other versions"
)


@pytest.fixture(scope="session")
def vocabularies(tmp_path_factory):
    """Published tokenizers of the repository, some in the place of larger ones of their family."""
    folder = tmp_path_factory.mktemp("published")
    for name, ours in {
        "bert-base-uncased": "bert-base-uncased",
        "roberta-base": "roberta-base",
        "modernbert-base": "roberta-base",
        "xlnet-base-cased": "t5-small",
        "xlm-roberta-base": "t5-small",
    }.items():
        (folder / name).symlink_to(published_folder(ours))
    return folder


@documented
@pytest.mark.parametrize("kind", DISTINCT)
def test_what_encodes_it_is_what_the_docs_say(kind, vocabularies):
    written = [row for row in DOCUMENTED[transformers.__version__] if kind in row[0].split(", ")]
    at = [TITLES.index(title) for title in KNOWN]
    assert [tuple(row[number] for number in at) for row in written] == [
        find(kind, vocabularies).cells
    ], "docs/architectures.md is out of date: run tests/tools/write_tokenizer_types.py"


# RoFormer's ids are those of a splitter that is not installed: test_slow_tokenizer.py has one.
@pytest.mark.parametrize("kind", [kind for kind in DISTINCT if recipe(kind) and kind != "roformer"])
def test_its_ids_are_those_of_auto_tokenizer(kind, vocabularies, tmp_path):
    with folder_of(kind, tmp_path, vocabularies) as folder:
        theirs = transformers.AutoTokenizer.from_pretrained(folder)
        ours = load_tokenizer(folder).tokenizer
    for text in TEXTS:
        assert ours.encode(text).ids == theirs(text)["input_ids"]


@documented
def test_the_docs_tell_of_every_type_once_and_of_no_other():
    written = [kind for row in DOCUMENTED[transformers.__version__] for kind in row[0].split(", ")]
    assert sorted(written) == masked_types()

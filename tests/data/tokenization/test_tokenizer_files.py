from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from tokenizers import Tokenizer

from corpus import tiny_tokenizer
from mlmfast.data.tokenization.added_tokens import with_mask_token
from mlmfast.data.tokenization.encoder import TextEncoder
from mlmfast.data.tokenization.load import id_dtype, load_tokenizer
from mlmfast.errors import InputError, NotFoundError
from places import shared
from published import published_folder

transformers = pytest.importorskip("transformers")


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(tiny_tokenizer(), tmp_path / "tokenizer"))


def edit(path, **changes):
    content = json.loads(path.read_text())
    content.update(changes)
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))


def assert_as_transformers(source, text="the <mask> jumps over Äpfel 🦊"):
    loaded = load_tokenizer(source)
    theirs = transformers.AutoTokenizer.from_pretrained(source)
    assert loaded.vocab_size == len(theirs)
    assert loaded.special_ids == tuple(sorted(set(theirs.all_special_ids)))
    assert (loaded.mask_token_id, loaded.pad_token_id) == (
        theirs.mask_token_id,
        theirs.pad_token_id,
    )
    assert loaded.tokenizer.encode(text).ids == theirs(text)["input_ids"]
    assert loaded.id_bound == max(theirs.get_vocab().values()) + 1
    return loaded


@pytest.mark.parametrize("name", ["bert-base-uncased", "roberta-base"])
def test_published_tokenizers_are_read_as_transformers_reads_them(name):
    loaded = assert_as_transformers(published_folder(name))
    assert loaded.model_max_length == 512


@pytest.mark.parametrize("name", ["bert-base-cased", "modernbert-base", "xlm-roberta-base"])
def test_real_tokenizers_are_read_as_transformers_reads_them(name):
    loaded = assert_as_transformers(shared("tokenizers", name))
    assert loaded.model_max_length in {512, 8192}


def test_every_way_to_name_a_tokenizer_gives_the_same(folder):
    expected = load_tokenizer(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    for source in (
        str(folder),
        folder / "tokenizer.json",
        theirs,
        Tokenizer.from_file(str(folder / "tokenizer.json")),
        expected,
    ):
        loaded = load_tokenizer(source)
        assert loaded.tokenizer.to_str() == expected.tokenizer.to_str()
        assert loaded.special_ids == expected.special_ids
        assert loaded.mask_token_id == expected.mask_token_id
        assert loaded.vocab_size == expected.vocab_size


def test_a_bare_tokenizer_json_is_saved_so_that_auto_tokenizer_opens_it(folder, tmp_path):
    bare = tmp_path / "bare.json"
    shutil.copy(folder / "tokenizer.json", bare)
    (tmp_path / "out").mkdir()
    load_tokenizer(bare).save(tmp_path / "out")
    assert_as_transformers(tmp_path / "out")


def test_truncation_and_padding_are_switched_off(folder):
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs.enable_truncation(4)
    theirs.enable_padding(length=12)
    theirs.save(str(folder / "tokenizer.json"))
    ids = load_tokenizer(folder).tokenizer.encode("the quick brown fox jumps over").ids
    assert len(ids) > 4
    assert load_tokenizer(folder).tokenizer.encode("fox").ids[-1] != 0


@pytest.mark.parametrize(
    "changes",
    [
        {"mask_token": "<hole>"},
        {"add_prefix_space": True, "tokenizer_class": "RobertaTokenizerFast"},
        {"additional_special_tokens": ["fox", "<extra>"]},
    ],
)
def test_what_the_config_changes_is_changed_as_transformers_does(folder, changes):
    (folder / "special_tokens_map.json").unlink()
    edit(folder / "tokenizer_config.json", **changes)
    assert_as_transformers(folder)


@pytest.mark.parametrize("wrong_id", [0, 5, 99_999])
def test_ids_of_added_tokens_in_a_file_are_hints(folder, wrong_id):
    """The library gives an added token its id in the vocabulary, or the next one."""
    path = folder / "tokenizer.json"
    added = json.loads(path.read_text())["added_tokens"]
    new = {**added[-1], "content": "<new>", "special": False}
    edit(path, added_tokens=[*added[:-1], added[-1] | {"id": wrong_id}, new | {"id": wrong_id}])
    library = Tokenizer.from_file(str(path))
    text = f" <new>{added[-1]['content']} the fox <new> and <mask> "
    expected = library.encode(text, add_special_tokens=False).ids
    for engine in ("auto", "library"):
        encoder = TextEncoder(load_tokenizer(folder), engine=engine)
        assert encoder.encode(pa.array([text])).to_pylist() == [expected]
        assert (encoder.engine == "library") == (engine == "library")
    assert load_tokenizer(folder).mask_token_id == library.token_to_id("<mask>")


def test_a_vocabulary_alone_goes_through_transformers(tmp_path):
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "fox", "##es"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    loaded = assert_as_transformers(tmp_path, "The foxes")
    assert loaded.tokenizer.encode("The foxes").ids == [2, 5, 6, 7, 3]
    assert "tokenizer.json" in loaded.files


def test_a_mask_token_is_added(folder, tmp_path):
    from mlmfast.data.tokenization.special_tokens import config_for

    plain = Tokenizer.from_str(
        json.dumps(
            {
                **json.loads((folder / "tokenizer.json").read_text()),
                "added_tokens": [],
                "post_processor": None,
            }
        )
    )
    (tmp_path / "gpt").mkdir()
    plain.save(str(tmp_path / "gpt" / "tokenizer.json"))
    (tmp_path / "gpt" / "tokenizer_config.json").write_text(json.dumps(config_for({})))
    without = load_tokenizer(tmp_path / "gpt")
    assert without.mask_token_id is None
    added = with_mask_token(without, "<hole>")
    assert added.mask_token_id == without.vocab_size == added.vocab_size - 1
    (tmp_path / "out").mkdir()
    added.save(tmp_path / "out")
    assert_as_transformers(tmp_path / "out", "the <hole> jumps")

    assert with_mask_token(added, "<hole>") is added
    with pytest.raises(InputError, match="already"):
        with_mask_token(added, "<other>")
    with pytest.raises(InputError, match="such as '<mask>'"):
        with_mask_token(without, " ")


def test_what_is_no_tokenizer(tmp_path, folder):
    with pytest.raises(NotFoundError, match=r"no such file or folder, and it is no name"):
        load_tokenizer("./not/there")
    with pytest.raises(InputError, match="holds no tokenizer"):
        load_tokenizer(tmp_path)
    with pytest.raises(InputError, match="must be a folder"):
        load_tokenizer(3)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match=r"tokenizer\.json of the tokenizer .* is no JSON"):
        load_tokenizer(folder)
    (folder / "tokenizer.json").write_text('{"model": {}}')
    with pytest.raises(InputError, match="cannot be "):
        load_tokenizer(folder)


def test_a_hub_that_cannot_be_reached(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(NotFoundError, match=r"'nobody/nothing'.*cannot be reached"):
        load_tokenizer("nobody/nothing")


def test_ids_take_two_bytes_where_they_fit():
    assert [str(id_dtype(bound)) for bound in (1, 65_536, 65_537)] == ["uint16", "uint16", "uint32"]

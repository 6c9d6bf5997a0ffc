"""Stores, AutoTokenizer and fill-mask give a text the same ids, whatever a folder leaves unsaid."""

from __future__ import annotations

import json
import logging
import pickle
from types import SimpleNamespace

import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

import mlmfast
from mlmfast import tokenizer_rules
from mlmfast.data.tokenization import lazy
from mlmfast.data.tokenization import load as tokenizer_files
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.data.tokenization.reference import warn_differences
from mlmfast.errors import InputError, MissingDependencyError
from mlmfast.serving.text.tokenizer import ServingTokenizer
from mlmfast.tokenizer_rules import differences, pinned, read_by_class

transformers = pytest.importorskip("transformers")

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<s>", "</s>", "<pad>", "<unk>", "<mask>"]
TEXTS = ["Ab É字c", "éA [MASK] <mask> b", " ab", "", "a\u0301 字 CAB"]


@pytest.fixture(autouse=True)
def said_anew():
    warn_differences.cache_clear()


def wordpiece(*, lowercase=False, strip_accents=None, chinese=True) -> Tokenizer:
    letters = [*"abcdefABCDEFéÉ字", "\u0301"]
    pieces = [*SPECIALS, *letters, *(f"##{letter}" for letter in letters), "[", "]", "MASK", "mask"]
    model = models.WordPiece({piece: at for at, piece in enumerate(pieces)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=lowercase, strip_accents=strip_accents, handle_chinese_chars=chinese
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(SPECIALS[:5])
    return tokenizer


def byte_level(*, prefix=False) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: at for at, piece in enumerate([*SPECIALS, *alphabet, "Ġa", "ab", "Ġab"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("Ġ", "a"), ("a", "b"), ("Ġa", "b")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 6), ("<s>", 5), add_prefix_space=prefix
    )
    tokenizer.add_special_tokens([*SPECIALS[5:9], AddedToken("<mask>", lstrip=True)])
    return tokenizer


def save(folder, tokenizer, config=None, model=None):
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, content in (("tokenizer_config.json", config), ("config.json", model)):
        if content is not None:
            (folder / name).write_text(json.dumps(content))
    return folder


def served(folder) -> ServingTokenizer:
    read = {
        name: json.loads((folder / f"{name}.json").read_text())
        for name in ("config", "tokenizer_config", "special_tokens_map")
        if (folder / f"{name}.json").is_file()
    }
    config = {**read.get("special_tokens_map", {}), **read.get("tokenizer_config", {})}
    return ServingTokenizer(
        SimpleNamespace(
            path=folder,
            config=read.get("config", {}),
            tokenizer_config=config,
            special_token=config.get,
        )
    )


def ids(tokenizer) -> list[list[int]]:
    return [tokenizer.encode(text, add_special_tokens=True).ids for text in TEXTS]


BERT_LOWERS = {"tokenizer_class": "BertTokenizer"}
CASES = {
    "prefix space, Roberta": (
        byte_level(prefix=True),
        {"tokenizer_class": "RobertaTokenizer"},
        None,
    ),
    "prefix space, config.json": (byte_level(prefix=True), None, {"model_type": "roberta"}),
    "prefix space, generic": (
        byte_level(prefix=True),
        {"tokenizer_class": "PreTrainedTokenizerFast", "mask_token": "<mask>"},
        None,
    ),
    "prefix space, wanted": (
        byte_level(),
        {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": True},
        None,
    ),
    "cased, Bert": (wordpiece(), BERT_LOWERS, None),
    "cased, Electra": (wordpiece(), {"tokenizer_class": "ElectraTokenizerFast"}, None),
    "cased, config.json": (wordpiece(), None, {"model_type": "bert"}),
    "cased, class in config.json": (
        wordpiece(),
        {"model_max_length": 64},
        {"model_type": "roberta", "tokenizer_class": "BertTokenizer"},
    ),
    "accents kept": (
        wordpiece(lowercase=True, strip_accents=False),
        {**BERT_LOWERS, "do_lower_case": True},
        None,
    ),
    "Chinese kept": (wordpiece(lowercase=True, chinese=False), BERT_LOWERS, None),
    "special tokens split": (
        wordpiece(lowercase=True),
        {**BERT_LOWERS, "split_special_tokens": True},
        None,
    ),
    "special tokens split, generic": (
        byte_level(),
        {"tokenizer_class": "PreTrainedTokenizerFast", "split_special_tokens": True},
        None,
    ),
    "as the class has it": (wordpiece(lowercase=True), BERT_LOWERS, None),
}


@pytest.fixture(params=[True, False], ids=["transformers", "without it"])
def installed(request, monkeypatch, tmp_path):
    """Our side may ask transformers, or has only its rules; the cache takes small files too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(lazy, "_MIN_CACHED_BYTES", 0)
    if not request.param:

        def missing(name, _):
            raise MissingDependencyError(name)

        monkeypatch.setattr(tokenizer_files, "open_files", missing)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("case", CASES)
def test_store_library_and_server_give_the_same_ids(case, tmp_path):
    tokenizer, config, model = CASES[case]
    folder = save(tmp_path / "tokenizer", tokenizer, config, model)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    expected = [theirs(text)["input_ids"] for text in TEXTS]
    loaded = load_tokenizer(folder)
    assert ids(loaded.tokenizer) == expected
    assert ids(load_tokenizer(folder).tokenizer) == expected
    assert ids(pickle.loads(pickle.dumps(loaded)).tokenizer) == expected
    (tmp_path / "stored").mkdir()
    loaded.save(tmp_path / "stored")
    assert ids(load_tokenizer(tmp_path / "stored").tokenizer) == expected
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "stored")
    assert [again(text)["input_ids"] for text in TEXTS] == expected
    theirs.save_pretrained(tmp_path / "exported")  # as `export` does
    for where in (folder, tmp_path / "stored", tmp_path / "exported"):
        assert ids(served(where)._tokenizer) == expected


@pytest.mark.parametrize("case", ["cased, Bert", "prefix space, Roberta", "special tokens split"])
def test_much_text_has_the_same_ids(case, tmp_path):
    tokenizer, config, model = CASES[case]
    folder = save(tmp_path / "tokenizer", tokenizer, config, model)
    loaded = load_tokenizer(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    import pyarrow as pa

    from mlmfast.data.tokenization.encoder import TextEncoder

    texts = TEXTS * 50
    found = TextEncoder(loaded, add_special_tokens=True, verify=10).encode(pa.array(texts))
    assert found.to_pylist() == [theirs(text)["input_ids"] for text in texts]


def test_two_readings_are_told_once(tmp_path, caplog):
    folder = save(tmp_path / "cased", wordpiece(), BERT_LOWERS)
    with caplog.at_level(logging.WARNING):
        load_tokenizer(folder)
        load_tokenizer(folder)
    (record,) = caplog.records
    assert "lowercase is true instead of false" in record.getMessage()
    assert "BertTokenizer" in record.getMessage()
    caplog.clear()
    load_tokenizer(save(tmp_path / "agrees", wordpiece(lowercase=True), BERT_LOWERS))
    assert not caplog.records


def test_an_object_is_stored_so_that_every_class_reads_it_as_it_is(tmp_path):
    split = wordpiece()
    split.encode_special_tokens = True
    changed = transformers.BertTokenizerFast(tokenizer_object=wordpiece(lowercase=True))
    changed.backend_tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    for number, source in enumerate([byte_level(prefix=True), split, changed]):
        loaded = load_tokenizer(source)
        backend = getattr(source, "backend_tokenizer", source)
        assert ids(loaded.tokenizer) == ids(backend)
        (tmp_path / str(number)).mkdir()
        loaded.save(tmp_path / str(number))
        again = transformers.AutoTokenizer.from_pretrained(tmp_path / str(number))
        assert [again(text)["input_ids"] for text in TEXTS] == ids(backend)
        assert ids(load_tokenizer(tmp_path / str(number)).tokenizer) == ids(backend)


def test_a_bare_tokenizer_json_is_taken_as_it_is(tmp_path):
    folder = save(tmp_path / "bare", wordpiece())
    assert ids(load_tokenizer(folder).tokenizer) == ids(wordpiece())
    folder = save(tmp_path / "named", wordpiece(), {"model_max_length": 64})
    loaded = load_tokenizer(folder)
    assert ids(loaded.tokenizer) == ids(wordpiece())
    # A model's config.json beside it must not change it later.
    assert json.loads(loaded.files["tokenizer_config.json"])["tokenizer_class"]


def _classes():
    from transformers.models.auto.tokenization_auto import (
        TOKENIZER_MAPPING_NAMES,
        tokenizer_class_from_name,
    )

    names = set()
    for pair in TOKENIZER_MAPPING_NAMES.values():
        names |= {name for name in (pair if isinstance(pair, tuple) else (pair,)) if name}
    classes = [tokenizer_class_from_name(name) for name in sorted(names)]
    fast = transformers.PreTrainedTokenizerFast
    return [each for each in classes if isinstance(each, type) and issubclass(each, fast)]


def test_the_rules_are_those_of_all_classes_of_the_installed_version(tmp_path):
    """What a class cannot open is no case; what it opens, it reads as the rules say."""
    if int(transformers.__version__.split(".")[0]) > 4:
        pytest.skip("classes of 5.x build parts of their own: AutoTokenizer is asked there")
    files = [
        *(wordpiece(lowercase=lower) for lower in (False, True)),
        *(wordpiece(lowercase=True, strip_accents=strip) for strip in (False, True)),
        wordpiece(chinese=False),
        *(byte_level(prefix=prefix) for prefix in (False, True)),
    ]
    options = [{}, {"do_lower_case": False}, {"strip_accents": False}, {"add_prefix_space": True}]
    opened = 0
    for number, file in enumerate(files):
        content = json.loads(file.to_str())
        for option in options:
            folder = save(tmp_path / str(number), file, option)
            for each in _classes():
                if each.__name__ in {"LlamaTokenizerFast", "T5TokenizerFast", "MT5TokenizerFast"}:
                    continue  # they make their file anew where a prefix is named
                try:
                    theirs = each.from_pretrained(folder)
                except Exception:  # noqa: BLE001 - whatever its parts raise
                    continue
                opened += 1
                config = {**option, "tokenizer_class": each.__name__}
                ours = read_by_class(content, config, {}).content
                parts = json.loads(theirs.backend_tokenizer.to_str())
                for part in ("normalizer", "pre_tokenizer"):
                    assert ours[part] == parts[part], (each.__name__, option, part)
                fixed = pinned(content, config)
                assert not read_by_class(content, fixed, {}).differences
    assert opened > 500


def test_transformers_sees_which_version_wrote_a_checkpoint(tmp_path, monkeypatch):
    """Without it, 4.57 takes every vocabulary above 100,000 tokens for a wrong one of Mistral's."""
    model = {"model_type": "bert", "transformers_version": "4.17.0"}
    folder = save(tmp_path / "early", wordpiece(lowercase=True), BERT_LOWERS, {**model, "a": 1})
    seen = []

    def note(name, files, real=tokenizer_files.open_files):
        seen.append(json.loads(files["config.json"]))
        return real(name, files)

    monkeypatch.setattr(tokenizer_files, "open_files", note)
    load_tokenizer(folder)
    assert seen == [model]


def test_differences_are_told_in_words():
    before = {"added_tokens": [{"content": "a", "id": 1}, {"content": "b", "id": 2}], "model": {}}
    after = {"added_tokens": [{"content": "a", "id": 3}, {"content": "c", "id": 2}], "model": {}}
    assert differences(before, after) == [
        "the added token 'a' is another",
        "the added token 'b' is left out",
        "the added token 'c' is new",
    ]
    maps = [{"normalizer": {"type": "Precompiled", "map": letter * 9000}} for letter in "ab"]
    (change,) = differences(*maps)
    assert change.startswith('map is "bbb')
    assert len(change) < 250
    assert tokenizer_rules.class_name({}, {"model_type": "bert"}) == "BertTokenizer"


@pytest.mark.parametrize("files", [{"vocab.txt"}, {"vocab.json", "merges.txt"}])
def test_a_vocabulary_without_a_class_gives_one_sentence(files, tmp_path):
    content = {"vocab.txt": "[UNK]\na\n", "vocab.json": '{"a": 0}', "merges.txt": ""}
    for name in files:
        (tmp_path / name).write_text(content[name])
    with pytest.raises(InputError, match=r"^[^\n]*write a tokenizer_config\.json beside it[^\n]*$"):
        load_tokenizer(tmp_path)


def test_dropout_is_left_out_and_told_once(tmp_path, caplog):
    from mlmfast.tokenizers_compat import _warn_dropout

    _warn_dropout.cache_clear()
    tokenizer = byte_level()
    tokenizer.model.dropout = 0.5
    folder = save(tmp_path / "drops", tokenizer, {"tokenizer_class": "PreTrainedTokenizerFast"})
    with caplog.at_level(logging.WARNING):
        drawn = mlmfast.tokenize(["abab ab" * 20] * 20, folder).to_pylist()
        load_tokenizer(folder)
        assert len({tuple(row) for row in drawn}) == 1
        assert len([record for record in caplog.records if "dropout" in record.getMessage()]) == 1
    assert drawn[0] == byte_level().encode("abab ab" * 20, add_special_tokens=False).ids
    assert ids(served(folder)._tokenizer) == ids(byte_level())


def test_a_text_beyond_a_vocabulary_without_an_unknown_token_is_our_error(tmp_path):
    tokenizer = Tokenizer(models.Unigram([("<mask>", 0.0), ("a", -1.0), ("▁", -1.0)], unk_id=None))
    tokenizer.add_special_tokens(["<mask>"])
    folder = save(tmp_path / "no-unk", tokenizer, {"tokenizer_class": "PreTrainedTokenizerFast"})
    with pytest.raises(InputError, match="unk_id"):
        mlmfast.tokenize(["aaa", "xyz"], folder)
    (tmp_path / "text.txt").write_text("aaa\nxyz\n" * 50)
    with pytest.raises(InputError, match="unk_id"):
        mlmfast.prepare(tmp_path / "text.txt", tmp_path / "out", tokenizer=folder, block_size=8)
    from mlmfast.serving.text.options import EncodeOptions

    with pytest.raises(InputError, match="unk_id"):
        served(folder).encode(["xyz <mask>"], EncodeOptions(), None)

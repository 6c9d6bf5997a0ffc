from __future__ import annotations

import logging
import pickle
import sys
import warnings
from types import ModuleType

import pytest
from tokenizers import pre_tokenizers

import mlmfast
from mlmfast.data.tokenization.added_tokens import with_mask_token, with_tokens
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.data.tokenization.python_classes.slow import warn_slow
from mlmfast.errors import InputError

transformers = pytest.importorskip("transformers")

# There, RoFormer's class does not find its words in a vocab.txt, and cannot be pickled.
OF_TRANSFORMERS_5 = int(transformers.__version__.split(".")[0]) >= 5
TEXTS = ["Tôi là sinhviên", "", "là là <mask> Tôi", "unknown"]


@pytest.fixture
def slow(tmp_path):
    vocabulary, codes = tmp_path / "vocab.txt", tmp_path / "bpe.codes"
    vocabulary.write_text("Tôi 5\nlà 4\nsinh@@ 3\nviên 2\n", encoding="utf-8")
    merges = "T ô 1\nTô i</w> 1\nl à</w> 1\ns i 1\nsi n 1\nsin h 1\nv i 1\nvi ê 1\nviê n</w> 1\n"
    codes.write_text(merges, encoding="utf-8")
    return transformers.PhobertTokenizer(str(vocabulary), str(codes))


def test_tokenizers_without_a_tokenizer_json_encode_as_they_do_themselves(slow, tmp_path, caplog):
    folder = tmp_path / "saved"
    slow.save_pretrained(folder)
    for source in (slow, folder):
        caplog.clear()
        warn_slow.cache_clear()  # each tokenizer is told of once
        with caplog.at_level(logging.WARNING):
            for special in (False, True):
                ours = mlmfast.tokenize(TEXTS, source, add_special_tokens=special)
                theirs = [slow(text, add_special_tokens=special)["input_ids"] for text in TEXTS]
                assert ours.to_pylist() == theirs
        assert "written in Python" in caplog.text


def test_their_store_opens_with_the_same_tokenizer(slow, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("Tôi là sinhviên\n" * 20, encoding="utf-8")
    store = mlmfast.prepare(text, tmp_path / "blocks", tokenizer=slow, block_size=8)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "blocks")
    assert again(TEXTS[0])["input_ids"] == slow(TEXTS[0])["input_ids"]
    assert len(store) > 0
    assert store.manifest.special_ids == tuple(sorted(set(slow.all_special_ids)))


def test_tokens_are_added_to_them(slow):
    with pytest.raises(InputError, match="already"):
        with_mask_token(load_tokenizer(slow), "<hide>")
    more = with_tokens(slow, ["Nam"])
    assert more.vocab_size == len(slow) + 1
    assert more.tokenizer.encode("Nam", add_special_tokens=False).ids == [len(slow)]
    assert "Nam" not in slow.get_vocab()
    slow.mask_token = None
    added = with_mask_token(load_tokenizer(slow), "<hide>")
    assert added.tokens["mask_token"] == "<hide>"
    assert added.mask_token_id == added.tokenizer.token_to_id("<hide>")


@pytest.fixture
def roformer(tmp_path, monkeypatch):
    """A folder with RoFormer's vocabulary, and a splitter that finds words of two letters."""
    splitter = ModuleType("rjieba")

    def tokenize(text, **_):
        starts = range(0, len(text), 2)
        return [(text[at : at + 2], at, min(at + 2, len(text))) for at in starts]

    splitter.tokenize = tokenize
    splitter.cut = lambda text, **_: [token for token, _, _ in tokenize(text)]
    monkeypatch.setitem(sys.modules, "rjieba", splitter)
    folder = tmp_path / "roformer"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "roformer"}')
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"今天气非常好", "今天", "天气", "非常"]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    return folder


def test_a_splitter_in_python_stays_when_the_tokenizer_is_saved_or_pickled(roformer):
    text = "今天天气非常好"
    theirs = transformers.AutoTokenizer.from_pretrained(roformer)
    expected = theirs(text)["input_ids"]
    by_letters = [theirs.convert_tokens_to_ids(letter) for letter in text]
    assert (expected[1:-1] == by_letters) == OF_TRANSFORMERS_5
    for source in (roformer, theirs):
        loaded = load_tokenizer(source)
        assert loaded.tokenizer.encode(text).ids == expected
        assert theirs(text)["input_ids"] == expected
        if not OF_TRANSFORMERS_5:
            again = pickle.loads(pickle.dumps(loaded))
            assert again.tokenizer.encode(text).ids == expected
            more = with_tokens(loaded, ["Nam"])
            assert more.tokenizer.encode(text).ids == expected
            assert loaded.tokenizer.encode(text).ids == expected


def _esm(folder):
    entries = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWC", ".", "-", "<mask>"]
    (folder / "vocab.txt").write_text("\n".join(entries))
    return transformers.EsmTokenizer(str(folder / "vocab.txt"), model_max_length=64)


def test_a_list_of_words_gets_a_tokenizer_json_with_the_same_ids(tmp_path, caplog):
    esm = _esm(tmp_path)
    saved = tmp_path / "saved"
    esm.save_pretrained(saved)
    texts = ["MKT LLA", "M<mask>K", "", "mkt x", "A?B\u2028C\x1cG", "<unk>-.", " A  <eos> "]
    for source in (esm, saved):
        loaded = load_tokenizer(source)
        assert [loaded.tokenizer.encode(text).ids for text in texts] == esm(texts)["input_ids"]
        assert loaded.special_ids == tuple(sorted(set(esm.all_special_ids)))
    assert "written in Python" not in caplog.text
    (tmp_path / "stored").mkdir()
    loaded.save(tmp_path / "stored")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "stored")
    assert again(texts)["input_ids"] == esm(texts)["input_ids"]


def _run(tokenizer, config, text, tmp_path):
    """From text to an evaluated model, by way of a checkpoint that has the tokenizer."""
    start = tmp_path / "start"
    transformers.AutoModelForMaskedLM.from_config(config).save_pretrained(start)
    tokenizer.save_pretrained(start)
    few = {"max_steps": 2, "per_device_train_batch_size": 4, "quiet": True}
    few_texts = {"max_seq_length": 16, "validation_split_percentage": 0}
    mlmfast.train(text, output=tmp_path / "direct", model=start, **few_texts, **few)
    store = mlmfast.prepare(text, tmp_path / "blocks", tokenizer=start, block_size=16)
    mlmfast.train(store, output=tmp_path / "model", model=tmp_path / "direct", **few)
    assert mlmfast.evaluate(tmp_path / "model", store).perplexity > 1
    return tmp_path / "model"


def test_proteins_from_text_to_an_answer(tmp_path):
    esm = _esm(tmp_path)
    text = tmp_path / "proteins.txt"
    text.write_text("MKTLLAGVSERTIDPKQNFYMHWC\n" * 40)
    config = transformers.EsmConfig(
        vocab_size=len(esm),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=66,
        pad_token_id=1,
        mask_token_id=esm.mask_token_id,
        position_embedding_type="rotary",
    )
    model = _run(esm, config, text, tmp_path)
    mlmfast.export(model, tmp_path / "onnx")
    rows = mlmfast.FillMask(tmp_path / "onnx")("MKT<mask>LAG", top_k=3)
    peer = transformers.pipeline("fill-mask", model=str(model), tokenizer=esm)("MKT<mask>LAG")
    assert [row["token"] for row in rows] == [row["token"] for row in peer[:3]]


def test_a_python_tokenizer_from_text_to_an_evaluation(slow, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("Tôi là sinhviên\n" * 80, encoding="utf-8")
    config = transformers.RobertaConfig(
        vocab_size=len(slow),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=66,
        tokenizer_class="PhobertTokenizer",
    )
    model = _run(slow, config, text, tmp_path)
    assert transformers.AutoTokenizer.from_pretrained(model)("Tôi là") == slow("Tôi là")
    with pytest.raises(InputError, match=r"no fast form \(tokenizer.json\), which serving needs"):
        mlmfast.export(model, tmp_path / "onnx")


def test_much_that_is_unknown_is_told_with_its_share(slow, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("Tôi foreign words\n" * 80, encoding="utf-8")
    options = {"tokenizer": slow, "block_size": 8}
    with pytest.warns(UserWarning, match=r"92 % of the tokens are the unknown token '<unk>'"):
        mlmfast.prepare(text, tmp_path / "blocks", **options)
    text.write_text("Tôi là sinhviên\n" * 80, encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mlmfast.prepare(text, tmp_path / "known", **options)


class _Letters:
    """A splitter that is a Python object, as RoFormer's is."""

    def pre_tokenize(self, text):
        text.split(lambda _, part: [part[at : at + 1] for at in range(len(str(part)))])


def test_a_fast_tokenizer_with_a_part_in_python_keeps_its_ids(tmp_path):
    class Letters(transformers.BertTokenizerFast):
        def save_pretrained(self, folder, **options):
            backend = self._tokenizer.pre_tokenizer
            self._tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
            saved = super().save_pretrained(folder, **options)
            self._tokenizer.pre_tokenizer = backend
            return saved

    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nab\n")
    tokenizer = Letters(str(tmp_path / "vocab.txt"))
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(_Letters())
    expected = tokenizer("abab")["input_ids"]
    assert expected == [2, 5, 6, 5, 6, 3]
    assert load_tokenizer(tokenizer).tokenizer.encode("abab").ids == expected

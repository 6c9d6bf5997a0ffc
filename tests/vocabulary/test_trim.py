"""`trim_vocabulary`: kept tokens, kept rows, and files that agree with each other."""

from __future__ import annotations

import json
import shutil

import pyarrow as pa
import pytest
import torch
import transformers

from mlmfast import FillMask, export, trim_vocabulary
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError, NotFoundError, OutputExistsError
from places import SHARED, shared
from published import PUBLISHED, languages, published_folder, python_texts
from tiny_models import KINDS, WORDS, save_checkpoint
from tolerances import SUMS
from trimming import add_model, assert_same_tokens, copied_tokenizer, trimmed

SHARED_TOKENIZERS = (
    "bert-base-cased",
    "bert-base-multilingual-cased",
    "modernbert-base",
    "xlm-roberta-base",
    "xlnet-base-cased",
)
SENTENCES = [
    "the milky way is a spiral galaxy .",
    "paris is the capital of france",
    "it does n't rain !",
    "it is far \u2603",  # a character that no tiny vocabulary has
]


def column(texts):
    return pa.array(texts, pa.large_string())


def opened(folder):
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder, dtype="auto").eval()
    return model, transformers.AutoTokenizer.from_pretrained(folder)


def table_of(folder):
    ids = json.loads((folder / "vocabulary.json").read_text())["old_to_new"]
    return {int(old): new for old, new in ids.items()}


@pytest.fixture(scope="module", params=KINDS)
def checkpoint(request, tmp_path_factory):
    return save_checkpoint(request.param, tmp_path_factory.mktemp("tiny") / request.param)


@pytest.fixture(scope="module")
def small(checkpoint, tmp_path_factory):
    """The checkpoint, its trimmed form, and the report."""
    output = tmp_path_factory.mktemp("small") / "out"
    return checkpoint, output, trim_vocabulary(checkpoint, column(SENTENCES), output)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_texts_of_a_published_tokenizer_keep_their_tokens(name, tmp_path):
    loaded = load_tokenizer(copied_tokenizer(published_folder(name), tmp_path / "old"))
    texts = [*languages(), *python_texts()]
    result = trimmed(loaded, texts, tmp_path / "new")
    assert assert_same_tokens(loaded, result, texts) == len(texts)
    assert result.used < len(result.new_ids) < loaded.vocab_size


@pytest.mark.parametrize("name", PUBLISHED)
def test_with_few_tokens_the_texts_whose_tokens_stay_keep_them(name, tmp_path):
    loaded = load_tokenizer(copied_tokenizer(published_folder(name), tmp_path / "old"))
    texts = [line for text in python_texts() for line in text.splitlines() if line.strip()]
    everything = trimmed(loaded, texts, tmp_path / "all")
    keep = (everything.required + len(everything.new_ids)) // 2
    result = trimmed(loaded, texts, tmp_path / "new", keep=keep)
    assert len(result.new_ids) <= keep
    assert 0 < assert_same_tokens(loaded, result, texts) < len(texts)
    # Other texts, too: those that happen to have kept tokens only.
    assert_same_tokens(loaded, result, [word for text in languages() for word in text.split()])


@pytest.mark.parametrize("name", SHARED_TOKENIZERS)
def test_the_large_tokenizers_keep_the_tokens_of_texts(name, tmp_path):
    loaded = load_tokenizer(shared("tokenizers", name))
    lines = (SHARED / "text" / "wikitext-2" / "test.raw.txt").read_text("utf-8").splitlines()
    texts = [*languages(), *lines[:500]]
    result = trimmed(loaded, texts, tmp_path / "new")
    assert assert_same_tokens(loaded, result, texts) == len(texts)
    words = [word for line in lines[500:1500] for word in line.split()]
    assert_same_tokens(loaded, result, words)


def test_kept_tokens_have_the_same_rows_and_logits(small):
    checkpoint, output, report = small
    (old, old_tokenizer), (new, new_tokenizer) = opened(checkpoint), opened(output)
    table = table_of(output)
    kept = torch.tensor(sorted(table, key=table.__getitem__))
    assert sorted(table.values()) == list(range(len(table)))
    assert len(new_tokenizer) == new.config.vocab_size == report.after.tokens == len(table)
    before = old.get_input_embeddings().weight
    after = new.get_input_embeddings().weight
    assert torch.equal(after, before[kept])
    assert torch.equal(new.get_output_embeddings().bias, old.get_output_embeddings().bias[kept])
    assert new.get_output_embeddings().weight is after  # tied, as it was
    for sentence in SENTENCES:
        text = sentence.replace("galaxy", old_tokenizer.mask_token)
        old_ids = torch.tensor([old_tokenizer(text).input_ids])
        new_ids = torch.tensor([new_tokenizer(text).input_ids])
        assert new_ids.tolist() == [[table[number] for number in old_ids[0].tolist()]]
        with torch.no_grad():
            one, other = old(old_ids), new(new_ids)
        torch.testing.assert_close(
            other.logits,
            one.logits[..., kept],
            rtol=SUMS,
            atol=SUMS * one.logits.abs().max().item(),
        )


def test_the_hidden_states_are_the_same_numbers(small):
    checkpoint, output, _ = small
    (old, old_tokenizer), (new, new_tokenizer) = opened(checkpoint), opened(output)
    batches = [one(SENTENCES, padding=True, return_tensors="pt")
               for one in (old_tokenizer, new_tokenizer)]  # fmt: skip
    with torch.no_grad():
        states = [
            model(**batch, output_hidden_states=True).hidden_states[-1]
            for model, batch in zip((old, new), batches, strict=True)
        ]
    assert torch.equal(*states)


def test_the_configuration_names_the_same_tokens(small):
    checkpoint, output, _ = small
    (old, old_tokenizer), (new, new_tokenizer) = opened(checkpoint), opened(output)
    named = 0
    for field, number in old.config.to_dict().items():
        if field.endswith("_token_id") and number is not None and number < len(old_tokenizer):
            same = old_tokenizer.convert_ids_to_tokens(number)
            found = new_tokenizer.convert_ids_to_tokens(getattr(new.config, field))
            assert found == same, field
            named += 1
    assert named
    assert new_tokenizer.special_tokens_map == old_tokenizer.special_tokens_map
    assert new_tokenizer.mask_token_id == table_of(output)[old_tokenizer.mask_token_id]


def test_the_report_says_what_became_of_it(small):
    checkpoint, output, report = small
    old, new = (opened(folder)[0] for folder in (checkpoint, output))
    assert report.before.parameters == old.num_parameters()
    assert report.after.parameters == new.num_parameters() < old.num_parameters()
    assert report.after.megabytes == pytest.approx(new.num_parameters() * 4 / 1e6)
    assert (report.sample.texts, report.sample.same) == (4, 4)
    assert report.to_dict()["shares"] == {"sample": 1.0, "test": None}
    assert "100.00% of 4 texts have the same tokens" in str(report)
    assert report.speed is None


def test_a_trimmed_model_answers_with_the_best_of_its_words(tmp_path):
    checkpoint = save_checkpoint("bert", tmp_path / "old")
    trim_vocabulary(checkpoint, column(SENTENCES), tmp_path / "new")
    best = {}
    for name in ("old", "new"):
        export(tmp_path / name, tmp_path / f"onnx-{name}")
        size = load_tokenizer(tmp_path / name).vocab_size
        rows = FillMask(tmp_path / f"onnx-{name}")("the [MASK] way is far", top_k=size)
        best[name] = [row["token_str"] for row in rows]
    assert len(best["new"]) < len(best["old"])
    assert best["new"] == [word for word in best["old"] if word in set(best["new"])]


def test_other_texts_are_counted_by_whether_they_keep_their_tokens(tmp_path):
    checkpoint = save_checkpoint("bert", tmp_path / "old")
    report = trim_vocabulary(
        checkpoint,
        column(["the milky way"]),
        tmp_path / "new",
        test=column(["the way", "milky milky", "the galaxy", ""]),
    )
    assert (report.sample.texts, report.sample.same) == (1, 1)
    assert (report.test.texts, report.test.same) == (4, 3)
    assert report.test.share == 0.75


def test_rare_tokens_go_with_min_count(tmp_path):
    checkpoint = save_checkpoint("bert", tmp_path / "old")
    texts = column(["the the way", "the galaxy way"])
    report = trim_vocabulary(checkpoint, texts, tmp_path / "new", min_count=2)
    vocabulary = load_tokenizer(tmp_path / "new").tokenizer.get_vocab()
    assert {"the", "way"} <= vocabulary.keys()
    assert "galaxy" not in vocabulary
    assert report.sample.same == 1
    # Its letters stay, so that it can still be written.
    assert {"g", "##g"} & vocabulary.keys()
    assert "[UNK]" not in load_tokenizer(tmp_path / "new").tokenizer.encode("galaxy").tokens


def test_the_padding_of_roberta_keeps_its_id(tmp_path):
    checkpoint = save_checkpoint("roberta", tmp_path / "old")
    trim_vocabulary(checkpoint, column(["the way"]), tmp_path / "new")
    model, tokenizer = opened(tmp_path / "new")
    assert tokenizer.pad_token_id == 1
    assert model.roberta.embeddings.position_embeddings.padding_idx == 1


def test_half_precision_stays(tmp_path):
    checkpoint = save_checkpoint("bert", tmp_path / "old")
    model = transformers.AutoModelForMaskedLM.from_pretrained(checkpoint).half()
    model.save_pretrained(checkpoint)
    report = trim_vocabulary(checkpoint, column(SENTENCES), tmp_path / "new")
    small, _ = opened(tmp_path / "new")
    assert small.dtype == torch.float16
    assert report.after.megabytes == pytest.approx(small.num_parameters() * 2 / 1e6)


def test_the_rows_of_a_padded_vocabulary_go(tmp_path):
    folder = copied_tokenizer(published_folder("bert-base-uncased"), tmp_path / "old")
    add_model(folder, "bert", vocab_size=30_592)
    report = trim_vocabulary(folder, column(["some words"]), tmp_path / "new")
    assert report.before.tokens == 30_592
    assert report.after.tokens == len(opened(tmp_path / "new")[1])


def test_the_times_are_told_on_request(tmp_path):
    checkpoint = save_checkpoint("bert", tmp_path / "old")
    report = trim_vocabulary(checkpoint, column(SENTENCES), tmp_path / "new", speed=True)
    assert set(report.speed.times) == {"all logits", "one mask a text"}
    assert all(min(times) > 0 for times in report.speed.times.values())
    assert "ms, one mask a text" in str(report)


def test_without_a_mask_token_nothing_is_trimmed(tmp_path):
    checkpoint = save_checkpoint("bert", tmp_path / "old")
    for name in ("tokenizer_config.json", "special_tokens_map.json", "tokenizer.json"):
        text = (checkpoint / name).read_text("utf-8")
        content = json.loads(text)
        content.pop("mask_token", None)
        if "added_tokens" in content:
            content["added_tokens"] = [
                token for token in content["added_tokens"] if token["content"] != "[MASK]"
            ]
        content.get("added_tokens_decoder", {}).pop("4", None)
        (checkpoint / name).write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"names no mask token, so a change .* would drop it"):
        trim_vocabulary(checkpoint, column(SENTENCES), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_too_few_tokens_are_refused_with_the_least_number(tmp_path):
    checkpoint = save_checkpoint("roberta", tmp_path / "old")
    with pytest.raises(InputError, match=r"keep is 100, but (\d+) tokens must stay") as refused:
        trim_vocabulary(checkpoint, column(SENTENCES), tmp_path / "new", keep=100)
    least = int(str(refused.value).rpartition("keep ")[2].split()[0])
    assert least >= 256
    report = trim_vocabulary(checkpoint, column(SENTENCES), tmp_path / "new", keep=least)
    assert report.after.tokens == report.required == least


def test_a_model_with_too_few_rows_is_refused(tmp_path):
    folder = copied_tokenizer(published_folder("bert-base-uncased"), tmp_path / "old")
    add_model(folder, "bert", vocab_size=30_000)
    with pytest.raises(InputError, match="30,522 ids, but the model has rows for 30,000"):
        trim_vocabulary(folder, column(SENTENCES), tmp_path / "new")


def test_a_tokenizer_in_python_is_refused(tmp_path):
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]
    old = tmp_path / "old"
    old.mkdir()
    (old / "vocab.txt").write_text("\n".join(dict.fromkeys(vocabulary)), encoding="utf-8")
    tokenizer = transformers.BertJapaneseTokenizer(
        old / "vocab.txt", word_tokenizer_type="basic", subword_tokenizer_type="wordpiece"
    )
    tokenizer.save_pretrained(old)
    with pytest.raises(InputError, match="exists in Python only"):
        trim_vocabulary(old, column(SENTENCES), tmp_path / "new")


def test_outputs_and_inputs_that_cannot_be(tmp_path):
    checkpoint = save_checkpoint("bert", tmp_path / "old")
    with pytest.raises(InputError, match="is the model itself"):
        trim_vocabulary(checkpoint, column(SENTENCES), checkpoint, overwrite=True)
    with pytest.raises(InputError, match="no text in texts"):
        trim_vocabulary(checkpoint, column([""]), tmp_path / "new")
    with pytest.raises(NotFoundError, match=r"no file 'nowhere\.txt'"):
        trim_vocabulary(checkpoint, "nowhere.txt", tmp_path / "new")
    with pytest.raises(InputError, match="no option for reading texts"):
        trim_vocabulary(checkpoint, column(SENTENCES), tmp_path / "new", text_colum="body")
    with pytest.raises(InputError, match="keep must be a whole number from 1 up"):
        trim_vocabulary(checkpoint, column(SENTENCES), tmp_path / "new", keep=0)
    trim_vocabulary(checkpoint, column(SENTENCES), tmp_path / "new")
    with pytest.raises(OutputExistsError, match="exists already"):
        trim_vocabulary(checkpoint, column(SENTENCES), tmp_path / "new")
    trim_vocabulary(checkpoint, column(SENTENCES), tmp_path / "new", overwrite=True)
    shutil.copytree(checkpoint, tmp_path / "mine")
    with pytest.raises(OutputExistsError, match="did not write"):
        trim_vocabulary(checkpoint, column(SENTENCES), tmp_path / "mine", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "new", "old"]

"""`FillMask` answers as `pipeline("fill-mask")` does on the same weights, without torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mlmfast.errors import (
    InputError,
    NoMaskError,
)
from mlmfast.serving.fill_mask import FillMask
from places import SHARED, SHARED_MISSING, shared
from published import PUBLISHED, published_folder
from tiny_models import KINDS, save_checkpoint
from tolerances import GRAPHS, KERNELS

KEYS = ["score", "token", "token_str", "sequence"]


class Pair:
    """Our answers and the peer's, on one model."""

    def __init__(self, checkpoint, onnx):
        from transformers import pipeline

        self.ours = FillMask(onnx, device="cpu", threads=2)
        self.peer = pipeline("fill-mask", model=str(checkpoint), device="cpu")
        self.mask = self.ours.mask_token
        assert self.mask == self.peer.tokenizer.mask_token

    def agree(self, texts, **options):
        """Ask both, and return our answer once it is known to be the peer's."""
        ours, theirs = self.ours(texts, **options), self.peer(texts, **options)
        assert_same(ours, theirs)
        return ours


def assert_same(ours, theirs):
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs) == KEYS
        assert [type(value) for value in ours.values()] == [float, int, str, str]
        assert {**ours, "score": 0} == {**theirs, "score": 0}
        assert ours["score"] == pytest.approx(theirs["score"], rel=2 * GRAPHS, abs=1e-7)
        return
    assert isinstance(ours, list)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert_same(one, other)


@pytest.fixture(scope="module")
def pairs(tiny_model):
    built = {}

    def build(kind):
        if kind not in built:
            model = tiny_model(kind)
            built[kind] = Pair(model.checkpoint, model.onnx)
        return built[kind]

    return build


@pytest.fixture(params=KINDS)
def pair(request, pairs):
    return pairs(request.param)


def test_one_mask_gives_a_list_of_rows(pair):
    rows = pair.agree(f"the milky way is a {pair.mask} galaxy")
    assert len(rows) == 5
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)


@pytest.mark.parametrize(
    "text",
    ["{m}", "{m}.", " {m} , far !", "it is n't  {m} .\n", "Caf\u00e9 \u65e5\u672c {m} \U0001f600"],
)
def test_spaces_and_strange_letters(pair, text):
    pair.agree(text.format(m=pair.mask))


def test_several_masks_give_a_list_a_mask_and_keep_the_others_open(pair):
    answer = pair.agree(f"{pair.mask} is the {pair.mask} of france", top_k=2)
    assert [len(rows) for rows in answer] == [2, 2]
    assert all(pair.mask in row["sequence"] for rows in answer for row in rows)


def test_neighbouring_masks(pair):
    assert len(pair.agree(f"the {pair.mask}{pair.mask} {pair.mask}")) == 3


def test_lists_give_an_answer_a_text_in_their_order(pair):
    texts = [
        f"the {pair.mask}",
        f"the milky way is a spiral galaxy that contains our solar system and {pair.mask}",
        f"{pair.mask} is {pair.mask}",
        f"paris is the capital of {pair.mask}",
    ]
    assert len(pair.agree(texts)) == 4


def test_a_list_of_one_text_is_answered_as_the_text(pair):
    assert isinstance(pair.agree([f"paris is {pair.mask}"])[0], dict)
    assert isinstance(pair.agree([f"{pair.mask} is {pair.mask}"])[0], list)
    assert pair.ours([]) == []  # where the pipeline of transformers 5 has an IndexError


def test_top_k(pair):
    one, two = f"a {pair.mask} city", f"a {pair.mask} city in {pair.mask}"
    assert pair.agree(one, top_k=0) == []
    assert pair.agree(two, top_k=0) == [[], []]
    assert len(pair.agree(one, top_k=None)) == 5
    assert len(pair.agree(one, top_k=1)) == 1


def test_every_token_of_the_vocabulary(pair):
    """Special tokens and padding too: what vanishes from `sequence` and what stays."""
    size = len(pair.peer.tokenizer)
    for text in (f"the {pair.mask} galaxy", f"the {pair.mask} galaxy {pair.mask}"):
        ours, theirs = pair.ours(text, top_k=size), pair.peer(text, top_k=size)
        if isinstance(ours[0], dict):
            ours, theirs = [ours], [theirs]
        for mine, other in zip(ours, theirs, strict=True):
            # The last of them are so unlikely that rounding alone orders them.
            assert_same(*(sorted(rows, key=lambda row: row["token"]) for rows in (mine, other)))
            assert sum(row["score"] for row in mine) == pytest.approx(1, rel=KERNELS)


def test_special_tokens_in_the_text(pair):
    tokenizer = pair.peer.tokenizer
    for token in (tokenizer.pad_token, tokenizer.unk_token, tokenizer.sep_token):
        pair.agree(f"a {token} {pair.mask} city")
        pair.agree(f"a {token} {pair.mask} city {pair.mask}")


def test_targets_choose_without_changing_the_scores(pair):
    text = f"paris is {pair.mask} city"
    vocabulary = sorted(pair.peer.tokenizer.get_vocab())
    words = [vocabulary[30], vocabulary[60], vocabulary[30], vocabulary[90]]
    rows = pair.agree(text, targets=words)
    assert len(rows) == 3
    everything = {row["token"]: row["score"] for row in pair.ours(text, top_k=100)}
    assert all(everything.get(row["token"], row["score"]) == row["score"] for row in rows)
    assert len(pair.agree(text, targets=words, top_k=2)) == 2
    pair.agree(text, targets=words[0])
    pair.agree(f"{text} in {pair.mask}", targets=words)
    pair.agree([text, f"a {pair.mask}"], targets=words)
    # top_k is capped by the targets before anything else, so that it may be any number.
    assert len(pair.agree(text, targets=words, top_k=10**6)) == 3


def test_a_target_outside_the_vocabulary_stands_for_its_first_piece(pair, caplog):
    pair.agree(f"a {pair.mask} city", targets=["galaxyparis", "berlin"])
    assert any("'galaxyparis' is not in the vocabulary" in m for m in caplog.messages)


def test_a_blank_as_target_is_an_error_for_bert_and_a_token_for_roberta(pairs):
    with pytest.raises(InputError, match="At least one target"):
        pairs("bert").ours("a [MASK]", targets=" ")
    assert pairs("roberta").agree("a <mask>", targets=" ")[0]["token_str"] == " "


@pytest.mark.parametrize("targets", [[], "", [""], [3], [None]])
def test_targets_that_name_nothing(pair, targets):
    with pytest.raises(ValueError, match=r"target|text input"):
        pair.peer(f"a {pair.mask}", targets=targets)
    with pytest.raises(InputError) as raised:
        pair.ours(f"a {pair.mask}", targets=targets)
    assert "target" in str(raised.value).lower()


@pytest.mark.parametrize(
    "options",
    [
        {"truncation": True},
        {"truncation": True, "max_length": 6},
        {"max_length": 6},
        {"truncation": "longest_first", "max_length": 6},
        {"truncation": True, "max_length": 4, "add_special_tokens": False},
        {"truncation": False},
        {"add_special_tokens": False},
        {},
        None,
    ],
)
def test_tokenizer_keywords(pair, options):
    pair.agree(f"{pair.mask} is the capital of france", tokenizer_kwargs=options)


def test_truncation_lets_a_long_text_through_as_long_as_its_mask_stays(pair):
    long = "paris is the capital of france " * 30
    pair.agree(f"{pair.mask} {long}", tokenizer_kwargs={"truncation": True})
    with pytest.raises(NoMaskError, match="has lost its mask"):
        pair.ours(f"{long} {pair.mask}", tokenizer_kwargs={"truncation": True})
    with pytest.raises(InputError, match="no room"):
        pair.ours(pair.mask, tokenizer_kwargs={"truncation": True, "max_length": 2})


def test_a_text_may_be_as_long_as_the_model_takes_and_no_longer(pair):
    word = "is " * 61  # one token each, and two special ones around
    longest = f"{word}{pair.mask}" if pair.mask == "[MASK]" else f" {word}{pair.mask}"
    count = len(pair.peer.tokenizer(longest)["input_ids"])
    assert count <= pair.ours.max_length == 64
    pair.agree(longest)
    with pytest.raises(InputError, match=r"has \d+ tokens, and this model takes at most 64"):
        pair.ours("is " * 80 + pair.mask)


@pytest.mark.parametrize("texts", [None, 3, 2.5, b"a", {}, {"text": "a"}, [None], ["a", 3], [[]]])
def test_what_is_no_text_is_a_value_error(pair, texts):
    with pytest.raises(InputError, match="must be a string"):
        pair.ours(texts)
    with pytest.raises(InputError, match="surrogate"):
        pair.ours(f"\ud800 {pair.mask}")


def test_options_that_cannot_be_are_refused(pair):
    text = f"a {pair.mask}"
    for options in ({"nonsense": 1}, {"top_k": 1.5}, {"tokenizer_kwargs": {"nonsense": 1}}):
        with pytest.raises(TypeError):  # transformers 5 lets some of them pass
            pair.ours(text, **options)
    size = len(pair.peer.tokenizer)
    for top_k in (-1, size + 1):
        with pytest.raises(InputError, match=f"between 0 and {size}.*is {top_k}"):
            pair.ours(text, top_k=top_k)
    with pytest.raises(InputError, match="truncation"):
        pair.ours(text, tokenizer_kwargs={"truncation": "sideways"})
    with pytest.raises(InputError, match="max_length"):
        pair.ours(text, tokenizer_kwargs={"max_length": 0})


def test_a_text_without_mask_is_told_what_this_model_wants(pairs):
    bert, roberta = pairs("bert").ours, pairs("roberta").ours
    with pytest.raises(NoMaskError, match=r"write <mask> where"):
        roberta("a city")
    for typed in ("[MASK]", "[mask]", "{mask}", "<MASK>", "____"):
        with pytest.raises(NoMaskError) as raised:
            roberta(f"a {typed} city")
        assert f"write <mask> for {typed}" in str(raised.value)
    with pytest.raises(NoMaskError, match=r'^Text 2 "a <mask>" .*write \[MASK\] for <mask>'):
        bert(["a [MASK]", "a <mask>"])


def test_many_texts_in_batches_answer_as_one_by_one(pair):
    words = ["paris", "is", "the", "capital", "of", "france", "and", "berlin", "is", "far"]
    texts = [
        " ".join([*words[: number % 10], pair.mask, *words[number % 7 :]]) for number in range(120)
    ]
    together = pair.ours(texts)
    for text, answer in zip(texts, together, strict=True):
        assert_same(answer, pair.ours(text))


def test_a_model_whose_tokens_see_padding_gets_none(pairs):
    pair = pairs("convbert")  # it convolves over neighbouring tokens
    pair.agree(["a [MASK]", "paris is the [MASK] of france", "the [MASK]", "[MASK] is far [MASK]"])


def test_a_stream_reads_ahead_no_further_than_it_is_told(pair):
    read = []

    def source():
        for number in range(10):
            read.append(number)
            yield f"{pair.mask} is {'far ' * number}"

    stream = pair.ours.stream(source(), top_k=2, read_ahead=3)
    assert read == []
    first = next(stream)
    assert read == [0, 1, 2]
    texts = [f"{pair.mask} is {'far ' * number}" for number in range(10)]
    assert_same([first, *stream], pair.ours(texts, top_k=2))
    assert_same(list(pair.ours(iter_generator(texts), top_k=2)), pair.ours(texts, top_k=2))
    assert list(pair.ours.stream([f"{pair.mask}"])) == [pair.ours(pair.mask)]
    with pytest.raises(InputError, match="read_ahead"):
        pair.ours.stream(texts, read_ahead=0)
    broken = pair.ours.stream([pair.mask, pair.mask, "none"], read_ahead=2)
    assert len([next(broken), next(broken)]) == 2
    with pytest.raises(NoMaskError, match="Text 3"):
        next(broken)


def iter_generator(texts):
    yield from texts


def test_serving_needs_neither_torch_nor_transformers(tiny_model):
    model = tiny_model("roberta")
    code = f"""
import sys
for name in ("torch", "transformers", "optimum", "datasets", "huggingface_hub", "pyarrow"):
    sys.modules[name] = None
import json
from mlmfast.serving.fill_mask import FillMask
assert "onnxruntime" not in sys.modules
print(json.dumps(FillMask({str(model.onnx)!r})("paris is <mask>")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert_same(json.loads(done.stdout), FillMask(model.onnx)("paris is <mask>"))


@pytest.mark.parametrize("name", ["roberta-base", "modernbert-base", "bert-base-cased"])
def test_published_tokenizers(name, tmp_path):
    from transformers import AutoTokenizer

    from mlmfast.exporting.export import export

    folder = published_folder(name) if name in PUBLISHED else shared("tokenizers", name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    kind = name.removesuffix("-base").removesuffix("-base-cased")
    checkpoint = save_checkpoint(
        kind,
        tmp_path / "model",
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        hidden_size=8,
        intermediate_size=8,
    )
    for file in checkpoint.glob("*token*"):
        file.unlink()
    tokenizer.save_pretrained(checkpoint)
    pair = Pair(checkpoint, export(checkpoint, tmp_path / "onnx").output)
    for text in (
        "The Milky Way is a {m} galaxy.",
        "  Do n't   {m}!  It 's {m} , really .",
        "{m}ing\u00e9 \u65e5\u672c\u8a9e {m}\n\n  x  =   1",
    ):
        pair.agree(text.format(m=pair.mask))
    pair.agree(f"The {pair.mask} galaxy.", targets=[" spiral", "spiral", "xylophonist"])


@pytest.mark.skipif(not SHARED.exists(), reason=SHARED_MISSING)
def test_a_published_model(tmp_path):
    from mlmfast.exporting.export import export

    checkpoint = SHARED / "models" / "bert-tiny-splade"
    pair = Pair(checkpoint, export(checkpoint, tmp_path / "onnx").output)
    rows = pair.agree("The capital of [MASK] is Paris.", top_k=50)
    assert rows[0]["sequence"] == "the capital of city is paris."
    pair.agree(["The [MASK] of [MASK] is Paris.", "It 's [MASK] , isn't it ?"])
    pair.agree("Paris is the [MASK] of France.", targets=["capital", "heart", "Capitals"])

"""`prepare` with filters: what they leave out and count, beside the rules in plain Python."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from corpus import jsonl, tiny_tokenizer
from mlmfast._core import TextFilters
from mlmfast.data.prepare import run as prepare_run
from mlmfast.data.prepare.options import FILTERS, PrepareOptions
from mlmfast.data.prepare.reading.filtering import DocumentFilters
from mlmfast.data.prepare.run import run_prepare
from mlmfast.data.sources.base import ReadOptions
from mlmfast.errors import InputError
from prepare_runs import dies, files_of

WORDS = [
    *("the", "of", "and", "to", "be", "that", "have", "with", "in", "on", "a", "b", "fox", "wood"),
    *("river", "12", "#", "...", "•", "-", "x1", "(so)", "İstanbul", "naïve"),
]
CLOSED = re.compile("[.?!][\"')\\]\u201d\u2019»*]*$")
LINES = [
    "The fox went into the wood, and it was cold there.",
    "Was it alone? Nobody knew, and nobody asked at all!",
    'He said that the river was "deep and cold"',
    "A title",
    "Read more here and there and so on ...",
    "Please enable JavaScript in your browser to go on.",
    "You accept our Terms of Use by reading this page.",
    "A fact with a source, and with another one.[1][citation needed]",
    "A fact with a source behind a blank at its end. [12]",
    "[edit] The house of the fox was empty. Mr. Fox had left it.",
    "  An indented line of prose with enough words.  ",
    "Lorem ipsum is what stands here in place of text.",
    "if (x) { return; } is no prose, though it ends so.",
    f"{'x' * 1001} is a word that is too long for prose.",
    "",
    "Read more now.",
]


def gopher(text):
    """The rules of MassiveText, as docs/cleaning.md has them."""
    every = text.split()
    bare = [re.sub(r"^[\W_]+|[\W_]+$", "", word) for word in every]
    words = [word for word in bare if word]
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    ellipses = text.count("...") + text.count("…")
    if len(words) < 50:
        return "gopher.few_words"
    if not 3 <= sum(map(len, words)) / len(words) <= 10:
        return "gopher.word_length"
    if max(text.count("#"), ellipses) > 0.1 * len(every):
        return "gopher.symbols"
    if sum(line.startswith(("•", "-")) for line in lines) > 0.9 * len(lines):
        return "gopher.bullets"
    if sum(line.endswith(("...", "…")) for line in lines) > 0.3 * len(lines):
        return "gopher.ellipses"
    if sum(any(c.isalpha() for c in word) for word in words) < 0.8 * len(every):
        return "gopher.alphabetic_words"
    stops = {"the", "be", "to", "of", "and", "that", "have", "with"} & set(words)
    return "gopher.stop_words" if len(stops) < 2 else None


def c4(text):
    """(text, None) or (None, rule), and the lines left out by rule: `clean_page` of C4's code."""
    kept, sentences, dropped = [], 0, {}
    policy = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies",
              "use cookies")  # fmt: skip
    for line in filter(None, map(str.strip, text.split("\n"))):
        short = re.sub(r"\[[0-9]*\]|\[edit\]|\[citation needed\]", "", line)
        lower = short.lower()
        rule = None
        if any(len(word) > 1000 for word in line.split()):
            rule = "c4.long_word"
        elif not short.endswith((".", "?", "!", '"')) or short.endswith("..."):
            rule = "c4.end_mark"
        elif len(short.split()) < 5:
            rule = "c4.line_words"
        elif "lorem ipsum" in lower:
            return None, "c4.lorem_ipsum", {}
        elif "javascript" in lower:
            rule = "c4.javascript"
        elif "{" in short:
            return None, "c4.curly_bracket", {}
        elif any(phrase in lower for phrase in policy):
            rule = "c4.policy"
        if rule is not None:
            dropped[rule] = dropped.get(rule, 0) + 1
            continue
        kept.append(short)
        *others, _ = short.split()
        sentences += 1 + sum(bool(CLOSED.search(word)) for word in others)
    if sentences < 3:
        return None, "c4.sentences", {}
    return "\n".join(kept), None, dropped


def repetition(text):
    """The limits of table A1, the plain way."""
    size = len(text)

    def came_before(parts):
        parts = [part for part in parts if part.strip()]
        again = [part for number, part in enumerate(parts) if part in parts[:number]]
        return len(again) > 0.3 * len(parts), sum(map(len, again)) > 0.2 * size

    for name, parts in (
        ("paragraph", [part.strip("\n") for part in re.split("\n\n", text)]),
        ("line", text.split("\n")),
    ):
        many, long = came_before(parts)
        if many or long:
            return f"gopher-repetition.{name}s" if many else f"gopher-repetition.{name}_characters"
    words = text.split()
    for n, share in ((2, 0.20), (3, 0.18), (4, 0.16)):
        grams = [" ".join(words[at : at + n]) for at in range(len(words) - n + 1)]
        for top, count in Counter(grams).most_common(1):
            if count > 1 and len(top) * count > share * size:
                return f"gopher-repetition.top_{n}_gram"
    for n, share in zip(range(5, 11), (0.15, 0.14, 0.13, 0.12, 0.11, 0.10), strict=True):
        seen, at, again = set(), 0, 0
        while at + n <= len(words):
            gram = tuple(words[at : at + n])
            if gram in seen:
                again += sum(map(len, gram))
                at += n
            else:
                seen.add(gram)
                at += 1
        if again > share * size:
            return f"gopher-repetition.repeated_{n}_grams"
    return None


def texts(count=400):
    """Return texts of words and of lines, and of both again and again."""
    draw = random.Random(0)
    found = []
    for number in range(count):
        if number % 2:
            lines = draw.choices(
                LINES, weights=[9, 9, 9, 3, 3, 3, 3, 3, 3, 3, 3, 1, 1, 3, 3, 3], k=8
            )
        else:
            chosen = draw.sample(WORDS, k=draw.randint(3, len(WORDS)))
            lines = [
                " ".join(draw.choices(chosen, k=draw.randint(1, 20)))
                for _ in range(draw.randint(1, 12))
            ]
        separator = draw.choice(["\n", "\n\n", "\n\n\n", "\n"])
        found.append(separator.join(lines))
    return found


def rules_of(names, given):
    new, filtered = DocumentFilters(names)(pa.array(given, pa.large_string()))
    every = [*TextFilters.rules(), None]
    numbers = [min(rule, len(every) - 1) for rule in filtered.rules.tolist()]
    return new.to_pylist(), [every[number] for number in numbers], filtered.lines


@pytest.mark.parametrize(
    ("name", "oracle"), [("gopher", gopher), ("gopher-repetition", repetition)]
)
def test_documents_are_left_out_by_the_rules_as_they_are_written_down(name, oracle):
    given = texts()
    _, found, lines = rules_of([name], given)
    assert found == [oracle(text) for text in given]
    assert len(set(found)) > 5
    assert not lines.any()


def test_lines_and_documents_of_c4_are_those_of_its_code():
    given = texts()
    new, found, lines = rules_of(["c4"], given)
    expected = [c4(text) for text in given]
    assert found == [rule for _, rule, _ in expected]
    assert new == [
        text if kept is None else kept for text, (kept, _, _) in zip(given, expected, strict=True)
    ]
    assert set(found) == {None, "c4.lorem_ipsum", "c4.curly_bracket", "c4.sentences"}
    names = TextFilters.line_rules()
    for counts, (_, _, dropped) in zip(lines.tolist(), expected, strict=True):
        assert {name: n for name, n in zip(names, counts, strict=True) if n} == dropped
    assert lines.sum(axis=0).all()


# In `prepare`

PROSE = "\n".join(f"{line} It was so, and nobody knew why it was so." for line in LINES[:3])
TEXTS = [
    PROSE, None, "too short", f"{PROSE}\nA title\nAnother title", PROSE.replace("fox", "wolf"),
    "function() {\n" * 60, "Lorem ipsum is what stands here in place of text.", "", PROSE,
] * 9  # fmt: skip


def run(inputs, out, **more):
    options = {"tokenizer": tiny_tokenizer(), "block_size": 16, "filters": "c4", **more}
    return run_prepare(inputs, out, PrepareOptions(**options))


def test_counts_are_reported_by_rule(tmp_path):
    report = run(pa.array(TEXTS), tmp_path / "out")
    counts = {"c4.lorem_ipsum": 9, "c4.curly_bracket": 0, "c4.sentences": 27}
    lines = {"c4.long_word": 0, "c4.end_mark": 18, "c4.line_words": 0, "c4.javascript": 0,
             "c4.policy": 0}  # fmt: skip
    assert (report.documents, report.null, report.empty) == (36, 9, 9)
    assert report.as_dict()["filtered_documents"] == counts
    assert report.as_dict()["dropped_lines"] == lines
    source = json.loads((tmp_path / "out" / "mlmfast.json").read_text())["source"]
    assert source["filters"] == ["c4"]
    assert (source["filtered_documents"], source["dropped_lines"]) == (counts, lines)
    clean = [PROSE, PROSE, PROSE.replace("fox", "wolf"), PROSE] * 9
    plain = run(pa.array(clean), tmp_path / "plain", filters=())
    np.testing.assert_array_equal(report.stores["train"][:], plain.stores["train"][:])
    assert plain.as_dict()["filtered_documents"] == {}


def test_filters_come_before_limits_of_duplicates_and_after_those_of_documents(tmp_path):
    more = {"filters": ["c4", "gopher"], "limit": 8, "drop_empty": True, "remainder": "pad"}
    for kind in ("exact", "near"):
        report = run(pa.array(TEXTS), tmp_path / kind, deduplicate=kind, **more)
        # PROSE with titles is PROSE when the titles are gone, and that of the wolf nearly so.
        kept = 2 if kind == "exact" else 1
        assert (report.documents, report.duplicates) == (kept, 3 - kept)
        assert (report.null, report.empty) == (1, 1)
        found = {rule: number for rule, number in report.filtered.items() if number}
        assert found == {"gopher.few_words": 2, "gopher.alphabetic_words": 1}
        assert report.dropped_lines["c4.end_mark"] == 2


def test_an_interrupted_run_counts_on(tmp_path, monkeypatch):
    path = tmp_path / "in.jsonl"
    path.write_bytes(jsonl(*({"text": text} for text in TEXTS * 6)))
    more = {"shard_tokens": 2000, "filters": FILTERS[::2]}
    monkeypatch.setattr(prepare_run, "ReadOptions", partial(ReadOptions, batch_bytes=4000))
    whole = run(str(path), tmp_path / "whole", **more)
    with monkeypatch.context() as patch:
        dies(patch, KeyboardInterrupt(), after=8)
        with pytest.raises(KeyboardInterrupt, match="finished shard"):
            run(str(path), tmp_path / "out", **more)
    report = run(str(path), tmp_path / "out", **more)
    assert report.kept_shards > 0
    assert (report.filtered, report.dropped_lines) == (whole.filtered, whole.dropped_lines)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_nothing_left_says_which_rules_left_it_out(tmp_path):
    with pytest.raises(InputError, match=r"the filters left out 2: gopher.few_words 2"):
        run(pa.array(["too short", "as well"]), tmp_path / "out", filters="gopher")


def test_unknown_filters_are_refused():
    with pytest.raises(InputError, match="filters must be one of gopher, gopher-repetition, c4"):
        PrepareOptions(tokenizer="any", filters="fineweb")
    assert PrepareOptions(tokenizer="any", filters=["c4", "gopher", "c4"]).filters == (
        "gopher",
        "c4",
    )
    with pytest.raises(ValueError, match="there is no filter"):
        TextFilters(["fineweb"])
    with pytest.raises(TypeError, match="LargeString"):
        TextFilters(["c4"]).apply(pa.array(["a"]))

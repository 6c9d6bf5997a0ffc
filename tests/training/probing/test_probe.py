"""`probe`: from labelled files to a table, a report and fine-tuned models."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import transformers
from click.testing import CliRunner

import mlmfast
from labelled import labelled_texts, write_labels
from mlmfast.cli.probe import command
from mlmfast.errors import InputError, NotFoundError, OutputExistsError
from mlmfast.training.probing.measure import FINE_TUNED, LINEAR
from tiny_models import save_checkpoint

COMPUTING = {"device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Training and test texts, and two checkpoints: of the second, the embeddings are all equal."""
    folder = tmp_path_factory.mktemp("probe")
    write_labels(folder / "train.csv", labelled_texts(240, seed=1))
    write_labels(folder / "test.csv", labelled_texts(120, seed=2))
    save_checkpoint("bert", folder / "able", initializer_range=0.05)
    blind = save_checkpoint("bert", folder / "blind", initializer_range=0.05)
    model = transformers.AutoModelForMaskedLM.from_pretrained(blind)
    model.get_input_embeddings().weight.data[5:] = 0.0
    model.save_pretrained(blind)
    return folder


@pytest.fixture(scope="module")
def result(files):
    return mlmfast.probe(
        [files / "blind", files / "able"],
        train=files / "train.csv",
        test=files / "test.csv",
        output=files / "out",
        **COMPUTING,
    )


def test_states_that_differ_are_told_apart_and_others_are_not(result):
    blind, able = result.rows
    assert (blind.model, able.model, able.method) == ("blind", "able", LINEAR)
    assert able.accuracy > 0.9
    # What a blind model sees is a text's length: a third of the texts, with four standard errors.
    assert abs(blind.accuracy - 1 / 3) < 4 * np.sqrt(2 / 9 / 120)
    assert result.majority_accuracy == pytest.approx(1 / 3)
    assert result.majority_f1 == pytest.approx(0.5 / 3)
    assert result.class_shares == pytest.approx(dict.fromkeys(("city", "country", "star"), 1 / 3))
    [difference] = result.differences
    assert (difference.model, difference.against, difference.better) == ("able", "blind", "able")
    assert difference.accuracy == pytest.approx(able.accuracy - blind.accuracy)
    assert difference.p_value < 1e-6


def test_labels_of_chance_are_not_learned(files, tmp_path):
    rows = labelled_texts(240, seed=3)
    labels = np.random.default_rng(0).permutation([row["label"] for row in rows])
    mixed = [row | {"label": str(label)} for row, label in zip(rows, labels, strict=True)]
    found = mlmfast.probe(
        files / "able",
        train=write_labels(tmp_path / "mixed.csv", mixed),
        test=files / "test.csv",
        **COMPUTING,
    )
    assert abs(found.rows[0].accuracy - 1 / 3) < 4 * np.sqrt(2 / 9 / 120)


def test_the_table_and_the_report_say_what_was_measured(result, files):
    text = str(result)
    for part in ("majority class", "linear probe, blind", "able is better", "5 seeds", "33.3 %"):
        assert part in text
    written = json.loads((files / "out" / "probe.json").read_text())
    assert written == json.loads(json.dumps(result.to_dict()))
    assert [row["model"] for row in written["rows"]] == ["blind", "able"]
    assert len(written["rows"][0]["by_seed"]) == 5
    page = (files / "out" / "probe.html").read_text()
    assert page.count("<svg") == 2
    assert "able is better" in page
    assert (files / "out" / "probe.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_repeats(result, files):
    again = mlmfast.probe(
        files / "able", train=files / "train.csv", test=files / "test.csv", **COMPUTING
    )
    assert again.rows[0].by_seed == result.rows[1].by_seed


def test_batches_do_not_matter(result, files):
    again = mlmfast.probe(
        files / "able",
        train=files / "train.csv",
        test=files / "test.csv",
        batch_size=5,
        **COMPUTING,
    )
    assert again.rows[0].accuracy == pytest.approx(result.rows[1].accuracy, abs=0.02)


def test_without_a_test_a_stratified_part_is_one(files):
    found = mlmfast.probe(files / "able", train=files / "train.csv", test_size=0.25, **COMPUTING)
    assert (found.train_texts, found.test_texts) == (180, 60)
    assert "25%, stratified, seed 0" in found.origin
    assert found.class_shares == pytest.approx(dict.fromkeys(("city", "country", "star"), 1 / 3))


def test_texts_of_both_sets_are_reported(files, caplog):
    with caplog.at_level("WARNING"):
        found = mlmfast.probe(
            files / "able",
            train=files / "train.csv",
            test=files / "train.csv",
            seeds=1,
            **COMPUTING,
        )
    assert found.repeated == 240
    assert "are training texts, too" in caplog.text


def test_one_seed_has_no_standard_error(files):
    found = mlmfast.probe(
        files / "able", train=files / "train.csv", test=files / "test.csv", seeds=1, **COMPUTING
    )
    assert found.rows[0].accuracy_error is None
    assert "one seed" in str(found)


def test_fine_tuned_models_are_plain_folders(files, tmp_path):
    found = mlmfast.probe(
        [files / "able"],
        train=files / "train.csv",
        test=files / "test.csv",
        seeds=2,
        finetune=True,
        epochs=6,
        learning_rate=3e-3,
        output=tmp_path / "out",
        **COMPUTING,
    )
    row = found.rows[1]
    assert (row.method, found.folders) == (FINE_TUNED, {"able": tmp_path / "out" / "able"})
    assert row.accuracy > 0.7  # the model has a few thousand weights, and sees 192 texts
    best = max(row.by_seed, key=lambda one: one["held_out_accuracy"])
    assert 1 <= best["epoch"] <= 6
    classify = transformers.pipeline("text-classification", model=str(found.folders["able"]))
    rows = labelled_texts(120, seed=2)
    answers = [one["label"] for one in classify([row["text"] for row in rows])]
    right = np.mean([answer == row["label"] for answer, row in zip(answers, rows, strict=True)])
    assert right == pytest.approx(best["accuracy"])
    assert sorted(classify.model.config.label2id) == ["city", "country", "star"]


def test_the_command_prints_a_table_or_json(files):
    words = [str(files / "able"), "--train", str(files / "train.csv"), "--test",
             str(files / "test.csv"), "--seeds", "2", "--device", "cpu"]  # fmt: skip
    table = CliRunner().invoke(command, [*words, "--quiet"])
    assert table.exit_code == 0, table.output
    assert "linear probe, able" in table.stdout
    as_json = CliRunner().invoke(command, [*words, "--json"])
    assert json.loads(as_json.stdout)["rows"][0]["method"] == LINEAR


def test_an_output_is_replaced_on_demand_only(files, tmp_path):
    given = {"train": files / "train.csv", "output": tmp_path / "out", "seeds": 1, **COMPUTING}
    mlmfast.probe(files / "able", **given)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        mlmfast.probe(files / "able", **given)
    before = (tmp_path / "out" / "probe.json").read_text()
    with pytest.raises(NotFoundError):
        mlmfast.probe(files / "able", **{**given, "test": "nowhere.csv", "overwrite": True})
    assert (tmp_path / "out" / "probe.json").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    mlmfast.probe(files / "blind", overwrite=True, **given)
    assert "blind" in (tmp_path / "out" / "probe.json").read_text()


def rows_of(**counts):
    return [
        {"text": f"the {label} {number}", "label": label}
        for label, count in counts.items()
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (rows_of(a=20), None, r"All 20 labels of .*train.csv are 'a'.*at least two classes"),
        (rows_of(a=20, b=3), None, r"1 of the 2 labels .* fewer than 5 texts.*'b' \(3\)"),
        (rows_of(a=20, b=20), rows_of(a=3, c=2), r"test.csv has labels that no training.*'c'"),
        (rows_of(a=20, b=6), None, r"'b' \(\d\)"),  # too few once the test is split off
    ],
)
def test_labels_that_cannot_be_learned_are_refused(files, tmp_path, train, test, message):
    given = {"train": write_labels(tmp_path / "train.csv", train)}
    if test:
        given["test"] = write_labels(tmp_path / "test.csv", test)
    with pytest.raises(InputError, match=message):
        mlmfast.probe(files / "able", output=tmp_path / "out", test_size=0.5, **given)
    assert not (tmp_path / "out").exists()


def test_mistakes_in_the_models_are_named(files, tmp_path):
    given = {"train": files / "train.csv"}
    with pytest.raises(InputError, match="given twice"):
        mlmfast.probe([files / "able", files / "able"], **given)
    with pytest.raises(InputError, match="There is no model"):
        mlmfast.probe([], **given)
    with pytest.raises(NotFoundError, match="nowhere"):
        mlmfast.probe([files / "able", tmp_path / "nowhere" / "model"], **given)


def test_models_of_the_same_name_are_told_apart(files, tmp_path):
    for parent in ("one", "other"):
        shutil.copytree(files / "able", tmp_path / parent / "model")
    found = mlmfast.probe(
        [tmp_path / "one" / "model", tmp_path / "other" / "model"],
        train=files / "train.csv",
        seeds=2,
        **COMPUTING,
    )
    first, second = found.models
    assert first.endswith("one-model")
    assert second.endswith("other-model")
    assert found.differences[0].better is None
    assert found.differences[0].accuracy == 0.0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pooling": "max"}, "pooling must be one of mean, cls"),
        ({"seeds": 0}, "seeds must be a whole number from 1 up"),
        ({"test_size": 1.5}, "test_size must lie between"),
        ({"learning_rate": 0.0}, "learning_rate is 0"),
        ({"test_split": "test"}, "test_split goes with test"),
        ({"label_column": ""}, "label_column must be a column's name"),
    ],
)
def test_options_are_checked_first(given, message):
    with pytest.raises(InputError, match=message):
        mlmfast.probe("nowhere", train="nowhere", **given)

"""`train`: from blocks to a checkpoint folder."""

from __future__ import annotations

import json
import logging
import signal
import threading
from pathlib import Path

import pytest
import transformers

from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError, NotFoundError, OutputExistsError
from mlmfast.training.evaluation.evaluate import evaluate
from mlmfast.training.train import train
from mlmfast.training.trainer.interrupt import TrainingInterrupted
from stopped_trainings import At, press_ctrl_c, same_weights
from tolerances import KERNELS
from toy import SCRATCH, TINY, make_blocks


@pytest.fixture(scope="module")
def trained(toy_blocks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "model"
    return train(toy_blocks, output=folder, **SCRATCH, num_train_epochs=6)


def test_the_model_learns(trained):
    assert trained.after.perplexity < 0.7 * trained.before.perplexity
    assert trained.before.masked_tokens == trained.after.masked_tokens


def test_the_output_is_a_plain_hugging_face_folder(trained, toy_blocks):
    folder = trained.output
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == model.config.vocab_size
    store = open_splits(toy_blocks)["train"]
    assert (folder / "tokenizer.json").read_bytes() == (store.path / "tokenizer.json").read_bytes()
    assert (model.config.pad_token_id, model.config.bos_token_id) == (
        tokenizer.pad_token_id,
        tokenizer.bos_token_id,
    )
    assert not list(folder.glob("checkpoint-*"))
    assert not folder.with_name("model.partial").exists()


def test_the_figures_are_those_of_evaluate(trained, toy_blocks):
    found = evaluate(trained.output, toy_blocks, device="cpu")
    assert found.loss == pytest.approx(trained.after.loss, rel=KERNELS)
    kept = json.loads((trained.output / "mlmfast_training.json").read_text())
    assert kept["after"]["loss"] == trained.after.loss
    assert kept["masks"]["mlm_probability"] == 0.3  # of random weights
    assert kept["text"]["block_size"] == found.block_size
    assert (kept["text"]["special_tokens"], kept["text"]["packing"]) == ("document", "concat")


def test_the_same_seed_gives_the_same_weights_for_any_number_of_workers(toy_blocks, tmp_path):
    options = SCRATCH | {"max_steps": 8, "eval_strategy": "no"}
    train(toy_blocks, output=tmp_path / "one", seed=5, **options)
    train(toy_blocks, output=tmp_path / "two", seed=5, dataloader_num_workers=2, **options)
    train(toy_blocks, output=tmp_path / "other", seed=6, **options)
    assert same_weights(tmp_path / "one", tmp_path / "two")
    assert not same_weights(tmp_path / "one", tmp_path / "other")


@pytest.mark.parametrize("where", ["inside", "at the end", "after"])
def test_ctrl_c_leaves_a_checkpoint_and_a_resume_ends_as_if_nothing_had_been(
    toy_blocks, tmp_path, where
):
    """Dropout, the order of the blocks and the masks all go on where they were."""
    options = SCRATCH | {"num_train_epochs": 2, "per_device_train_batch_size": 12}
    whole = train(toy_blocks, output=tmp_path / "whole", **options)
    steps = whole.steps // 2
    # Of the first of two epochs.
    stop = At({"inside": 2, "at the end": steps, "after": steps + 1}[where], press_ctrl_c)
    with pytest.raises(TrainingInterrupted, match=f"step {stop.step} is in .*resume-from-checkp"):
        train(toy_blocks, output=tmp_path / "cut", callbacks=[stop], **options)
    assert not (tmp_path / "cut").exists()
    with pytest.raises(OutputExistsError, match="interrupted training"):
        train(toy_blocks, output=tmp_path / "cut", **options)
    resumed = train(toy_blocks, output=tmp_path / "cut", resume_from_checkpoint=True, **options)
    assert resumed.steps == whole.steps
    assert same_weights(tmp_path / "whole", tmp_path / "cut")
    assert resumed.before.loss == whole.before.loss
    assert resumed.after.loss == whole.after.loss
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut", "whole"]


def test_a_resume_with_other_masks_is_refused(toy_blocks, tmp_path):
    stop = At(2, press_ctrl_c)
    with pytest.raises(TrainingInterrupted):
        train(toy_blocks, output=tmp_path / "out", callbacks=[stop], **SCRATCH)
    with pytest.raises(InputError, match="another mlm_probability"):
        train(
            toy_blocks,
            output=tmp_path / "out",
            mlm_probability=0.2,
            resume_from_checkpoint=True,
            **SCRATCH,
        )
    assert list((tmp_path / "out.partial").glob("checkpoint-2"))
    train(toy_blocks, output=tmp_path / "out", overwrite=True, **SCRATCH, max_steps=1)
    assert not (tmp_path / "out.partial").exists()


def test_ctrl_c_before_the_first_step_leaves_nothing(toy_blocks, tmp_path):
    class AtOnce(transformers.TrainerCallback):
        def on_train_begin(self, *_args, **_kwargs):
            press_ctrl_c()

    with pytest.raises(TrainingInterrupted, match="nothing was left behind"):
        train(toy_blocks, output=tmp_path / "out", callbacks=[AtOnce()], **SCRATCH)
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_leaves_nothing(toy_blocks, tmp_path):
    def fail():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        train(toy_blocks, output=tmp_path / "out", callbacks=[At(1, fail)], **SCRATCH)
    assert not list(tmp_path.iterdir())


def test_training_works_in_another_thread(toy_blocks, tmp_path):
    options = SCRATCH | {"max_steps": 1, "eval_strategy": "no"}
    thread = threading.Thread(
        target=train, args=[toy_blocks], kwargs={"output": tmp_path / "out", **options}
    )
    thread.start()
    thread.join()
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_an_output_that_exists(trained, toy_blocks, tmp_path):
    with pytest.raises(OutputExistsError, match="--overwrite"):
        train(toy_blocks, output=trained.output, **SCRATCH)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputExistsError):
        train(toy_blocks, output=foreign, overwrite=True, **SCRATCH)
    assert (foreign / "thesis.txt").exists()


def test_checkpoints_are_kept_when_asked(toy_blocks, tmp_path):
    options = SCRATCH | {"max_steps": 4, "eval_strategy": "no"}
    train(
        toy_blocks,
        output=tmp_path / "out",
        keep_checkpoints=True,
        save_strategy="steps",
        save_steps=2,
        save_total_limit=5,
        **options,
    )
    kept = sorted(path.name for path in (tmp_path / "out").glob("checkpoint-*"))
    assert kept == ["checkpoint-2", "checkpoint-4"]


def test_going_on_from_a_checkpoint_folder_adapts_it(trained, toy_blocks, tmp_path):
    found = train(
        toy_blocks,
        model=trained.output,
        output=tmp_path / "out",
        max_steps=1,
        learning_rate=1e-6,
        precision="fp32",
        use_cpu=True,
        quiet=True,
    )
    assert found.before.loss == pytest.approx(trained.after.loss, rel=KERNELS)
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"trained from `{trained.output}`" in card


def test_a_single_store_is_trained_on_without_measuring(tmp_path):
    folder = make_blocks(tmp_path, count=20, test_size=None)
    found = train(folder, output=tmp_path / "out", max_steps=1, **SCRATCH)
    assert found.before is found.after is None
    with pytest.raises(InputError, match="no test split"):
        train(folder, output=tmp_path / "two", max_steps=1, eval_strategy="epoch", **SCRATCH)
    with_eval = train(folder, output=tmp_path / "two", eval_data=folder, max_steps=1, **SCRATCH)
    assert with_eval.after.data == str(folder)


def test_a_checkpoint_without_head_is_announced(toy_blocks, tmp_path, caplog, monkeypatch):
    # The command line, which other tests call, keeps the log to itself.
    monkeypatch.setattr(logging.getLogger("mlmfast"), "propagate", True)
    store = open_splits(toy_blocks)["train"]
    config = transformers.BertConfig(vocab_size=store.manifest.vocab_size, **TINY)
    transformers.BertModel(config).save_pretrained(tmp_path / "encoder")
    options = {"max_steps": 1, "use_cpu": True, "quiet": True, "eval_strategy": "no"}
    train(toy_blocks, model=tmp_path / "encoder", output=tmp_path / "out", **options)
    assert "lacks the head for masked tokens" in caplog.text


def test_the_vocabulary_must_be_the_models(toy_blocks, tmp_path):
    config = transformers.BertConfig(vocab_size=100, **TINY)
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path / "small")
    with pytest.raises(InputError, match=r"knows 100 tokens, but the tokenizer .* has 300"):
        train(toy_blocks, model=tmp_path / "small", output=tmp_path / "out")
    assert not (tmp_path / "out.partial").exists()


def test_blocks_longer_than_the_positions(toy_blocks, tmp_path):
    longer = SCRATCH | {"config_overrides": TINY | {"max_position_embeddings": 12}}
    with pytest.raises(InputError, match=r"takes 10 \(12 rows, 2 reserved\)"):
        train(toy_blocks, output=tmp_path / "out", **longer)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--from-scratch"),
        ({"model_type": "roberta", "model": "bert/"}, "for --from-scratch"),
        ({"from_scratch": True}, "either a model type"),
        ({"from_scratch": True, "model_type": "robrta"}, "did you mean roberta"),
        ({"from_scratch": True, "model_type": "gpt2"}, "No masked language model"),
        (
            {"from_scratch": True, "model_type": "bert", "config_overrides": "hiden_size=3"},
            "did you mean hidden_size",
        ),
        (
            {"from_scratch": True, "model_type": "bert", "config_overrides": "hidden_size"},
            "expected name=value",
        ),
        ({"learnin_rate": 1.0}, "did you mean learning_rate"),
        ({"output_dir": "x"}, "under two names"),
        ({"seed": -1}, "seed is -1"),
        ({"mlm_probability": 1.5}, "mlm_probability"),
        ({"model_type": "bert", "from_scratch": True, "precision": "fp8"}, "precision is 'fp8'"),
        ({"model_type": "bert", "from_scratch": True, "optim": "best"}, "refuses"),
        (
            {"model_type": "bert", "from_scratch": True, "precision": "fp32", "bf16": True},
            "not both",
        ),
    ],
)
def test_wrong_options_are_named_and_leave_nothing(toy_blocks, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        train(toy_blocks, output=tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_to_go_on_from_must_be_there(toy_blocks, tmp_path):
    with pytest.raises(NotFoundError, match="no checkpoint"):
        train(toy_blocks, output=tmp_path / "out", resume_from_checkpoint=True, **SCRATCH)
    with pytest.raises(NotFoundError, match="no checkpoint of a training"):
        train(toy_blocks, output=tmp_path / "out", resume_from_checkpoint=tmp_path, **SCRATCH)
    assert not list(tmp_path.iterdir())


def test_push_to_hub_makes_the_repository_first_and_uploads_the_whole_folder(
    toy_blocks, tmp_path, monkeypatch
):
    import huggingface_hub

    calls = []

    class Repository:
        repo_id = "me/toy"

    class Commit:
        commit_url = "https://hub/me/toy/commit/1"

    def create_repo(name, **options):
        calls.append(("create", name, options["token"]))
        return Repository

    def upload_folder(*, repo_id, folder_path, **_options):
        calls.append(("upload", repo_id, (folder_path / "model.safetensors").exists()))
        return Commit

    monkeypatch.setattr(huggingface_hub, "create_repo", create_repo)
    monkeypatch.setattr(huggingface_hub, "upload_folder", upload_folder)
    options = SCRATCH | {"max_steps": 1, "eval_strategy": "no", "hub_token": "secret"}
    train(toy_blocks, output=tmp_path / "toy", push_to_hub=True, **options)
    assert calls == [("create", "toy", "secret"), ("upload", "me/toy", True)]
    card = (tmp_path / "toy" / "README.md").read_text()
    assert "secret" not in card


def test_with_a_hub_strategy_checkpoints_are_uploaded_and_the_finished_folder_once(
    toy_blocks, tmp_path, monkeypatch
):
    import huggingface_hub

    class Url:
        repo_id = "me/toy"
        commit_url = "https://hub/me/toy/commit/1"

    uploads = []
    monkeypatch.setattr(huggingface_hub, "create_repo", lambda *_args, **_kwargs: Url)
    monkeypatch.setattr(
        huggingface_hub,
        "upload_folder",
        lambda *, folder_path, **_options: uploads.append(folder_path.name) or Url,
    )
    theirs = transformers.Trainer
    monkeypatch.setattr(theirs, "init_hf_repo", lambda *_args, **_kwargs: None)
    monkeypatch.setattr(
        theirs, "_push_from_checkpoint", lambda _self, folder: uploads.append(Path(folder).name)
    )
    monkeypatch.setattr(
        theirs, "push_to_hub", lambda *_args, **_kwargs: uploads.append("from within the Trainer")
    )
    options = SCRATCH | {"max_steps": 1, "eval_strategy": "no", "hub_strategy": "every_save"}
    train(toy_blocks, output=tmp_path / "toy", push_to_hub=True, **options)
    assert uploads == ["checkpoint-1", "toy"]


def test_a_hub_that_refuses_stops_before_the_training(toy_blocks, tmp_path, monkeypatch):
    import huggingface_hub

    def create_repo(*_args, **_kwargs):
        raise OSError("401 Unauthorized")

    monkeypatch.setattr(huggingface_hub, "create_repo", create_repo)
    with pytest.raises(InputError, match="log in"):
        train(toy_blocks, output=tmp_path / "toy", push_to_hub=True, **SCRATCH)
    assert not list(tmp_path.iterdir())

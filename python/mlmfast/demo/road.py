"""The stages of the demonstration, one after the other."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.data.prepare.api import prepare
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.sources.open import open_sources, read_texts
from mlmfast.data.store.store import open_splits
from mlmfast.data.tokenization.train import train_tokenizer
from mlmfast.demo.corpus import write_corpus
from mlmfast.demo.options import DemoOptions, DemoResult
from mlmfast.demo.sentences import MASK, STANDARD_LIBRARY, held_out
from mlmfast.demo.stages import Ledger, Stage
from mlmfast.errors import InputError, NotFoundError
from mlmfast.fs.paths import as_path
from mlmfast.serving.fill_mask import FillMask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TOP_K = 5


def run_demo(options: DemoOptions, say: Callable[[str], None] = print) -> DemoResult:
    """Walk the whole road: text, tokenizer, blocks, training, evaluation, ONNX, filled masks.

    Stages that an earlier run finished with the same inputs are not done again. The number of
    training steps follows from the time that is given and the speed of the machine, so two fresh
    runs need not give the same model.

    Args:
        options: what to run on.
        say: takes each line of the report.

    Raises:
        InputError: `seconds` is not above 0, or as the stages do.
        KeyboardInterrupt: Ctrl-C; the next run goes on where this one stopped.
    """
    if not options.seconds > 0:
        raise InputError(f"seconds is {options.seconds}; expected more than 0.")
    started = time.perf_counter()
    road = Road(options, say)
    road.take_text()
    road.learn_tokenizer()
    road.make_blocks()
    trained = road.train()
    measured = road.measure()
    road.to_onnx()
    answers = road.fill_masks()
    say(f"\nDone in {time.perf_counter() - started:,.0f} s. Everything lies in {options.output}/")
    say(road.what_next())
    return DemoResult(
        model=road.model,
        onnx=road.onnx,
        before=trained.figures["before"],
        after=measured.figures["figures"],
        answers=answers,
        reused=road.reused,
    )


class Road:
    """One walk; each method is a stage, and they are called in their order.

    What a stage needs is imported when it is done: a walk past finished stages loads no torch.
    """

    def __init__(self, options: DemoOptions, say: Callable[[str], None]) -> None:
        self.options = options
        self.say = say
        folder = options.output
        folder.mkdir(parents=True, exist_ok=True)
        self.ledger = Ledger(folder, fresh=options.fresh)
        self.corpus = folder / "corpus.jsonl"
        self.tokenizer = options.model or str(folder / "tokenizer")
        self.blocks = folder / "blocks"
        self.model = folder / "model"
        self.onnx = folder / "onnx"
        self.inputs = list(options.data) or [str(self.corpus)]
        self.column = options.text_column if options.data else "text"
        self.reused: list[str] = []
        self._key = ""

    def _stage(
        self,
        name: str,
        inputs: dict[str, Any],
        output: Path,
        make: Callable[[str], dict[str, Any]],
    ) -> Stage:
        """Do a stage or find it finished; what went into the stages before counts as its input."""
        stage = self.ledger.run(name, {**inputs, "after": self._key}, output, make)
        self._key = stage.key
        if stage.reused:
            self.reused.append(name)
        return stage

    def _tell(self, stage: Stage, name: str, text: str) -> None:
        when = "found finished" if stage.reused else f"{stage.seconds:,.1f} s"
        self.say(f"{name:<10} {text} ({when})")

    def take_text(self) -> None:
        """Collect the corpus, or look at the user's files."""
        if self.options.data:
            self._key = repr([self._stamp(name) for name in self.options.data])
            self.say(f"{'text':<10} {', '.join(self.inputs)}, column {self.column}")
            return

        def make(_key: str) -> dict[str, Any]:
            documents, size = write_corpus(self.corpus)
            return {"documents": documents, "bytes": size}

        stage = self._stage("text", {"python": platform.python_version()}, self.corpus, make)
        figures = stage.figures
        self._tell(
            stage,
            "text",
            f"{figures['documents']:,} documents, {figures['bytes'] / 1e6:.2f} MB: docstrings and "
            f"language reference of Python {platform.python_version()}",
        )

    @staticmethod
    def _stamp(name: str) -> tuple[str, int, int]:
        path = as_path(name)
        if not path.exists():
            raise NotFoundError(f"There is no file or folder {name!r}.")
        status = path.stat()
        return str(path.resolve()), status.st_size, status.st_mtime_ns

    def learn_tokenizer(self) -> None:
        """Train a byte-level BPE tokenizer, unless a checkpoint brings its own."""
        if self.options.model:
            return

        def texts() -> Iterator[str]:
            for array in read_texts(open_sources(self.inputs), ReadOptions(self.column)):
                yield from array.drop_null().to_pylist()

        def make(_key: str) -> dict[str, Any]:
            loaded = train_tokenizer(
                texts(), self.tokenizer, vocab_size=self.options.vocab_size, overwrite=True
            )
            return {"tokens": loaded.vocab_size}

        inputs = {"vocab_size": self.options.vocab_size, "column": self.column}
        stage = self._stage("tokenizer", inputs, Path(self.tokenizer), make)
        self._tell(stage, "tokenizer", f"byte-level BPE with {stage.figures['tokens']:,} tokens")

    def make_blocks(self) -> None:
        """Tokenize and cut the text into blocks, with a part held out."""
        options: dict[str, Any] = {
            "tokenizer": self.tokenizer,
            "text_column": self.column,
            "block_size": self.options.block_size,
            "test_size": self.options.test_size,
        }

        def make(_key: str) -> dict[str, Any]:
            prepare(self.inputs, self.blocks, overwrite=True, drop_empty=True, **options)
            splits = open_splits(self.blocks).items()
            return {name: store.manifest.blocks for name, store in splits}

        stage = self._stage("blocks", options, self.blocks, make)
        figures = stage.figures
        tokens = sum(figures.values()) * self.options.block_size
        self._tell(
            stage,
            "blocks",
            f"{tokens:,} tokens in blocks of {self.options.block_size}: {figures['train']:,} to "
            f"train on, {figures['test']:,} held out",
        )

    def train(self) -> Stage:
        """Train for about the time that is given, or go on with a training that was stopped."""
        training = self._training()

        def make(key: str) -> dict[str, Any]:
            from mlmfast.demo.speed import steps_within
            from mlmfast.training.train import train

            begun = self.ledger.recall("training begun")
            waiting = any(self.model.with_name("model.partial").glob("checkpoint-*"))
            resume = waiting and begun.get("key") == key
            if resume:
                steps = begun["steps"]
                self.say(f"{'train':<10} going on with the training that was stopped ...")
            else:
                fit = steps_within(self.options.seconds, self.blocks, **training)
                steps = max(fit, 1 if self.options.model else self.options.least_steps)
                self.ledger.remember("training begun", {"key": key, "steps": steps})
                fits = f"{fit:,} steps fit into {self.options.seconds:,.0f} s here"
                longer = f"; {steps:,} are done, since fewer teach it nothing"
                self.say(f"{'train':<10} {fits}{longer if steps > fit else ''} ...")
            # The learning rate falls to zero at the last step, which is why their number is fixed
            # beforehand.
            return train(
                self.blocks,
                output=self.model,
                overwrite=True,
                resume_from_checkpoint=resume,
                max_steps=steps,
                eval_strategy="steps",
                eval_steps=steps,
                save_strategy="no",
                warmup_steps=steps // 10,
                logging_steps=max(1, steps // 10),
                **training,
            ).to_dict()

        stage = self._stage(
            "train", {**training, "seconds": self.options.seconds}, self.model, make
        )
        figures = stage.figures
        self._tell(
            stage,
            "train",
            f"{figures['parameters'] / 1e6:,.1f} million weights, {figures['steps']:,} steps, "
            f"{figures['tokens_per_second']:,.0f} tokens/s in {figures['precision']} on "
            f"{figures['device']}: perplexity {figures['before']['perplexity']:,.0f} before, "
            f"{figures['after']['perplexity']:,.1f} after",
        )
        return stage

    def _training(self) -> dict[str, Any]:
        if self.options.model:
            return {"model": self.options.model}
        return {
            "from_scratch": True,
            "model_type": "modernbert",
            "config_overrides": self.options.config,
            "mlm_probability": 0.2,
            "learning_rate": 2e-3,
            # Small batches: within a few minutes, more steps are worth more than smoother ones.
            "per_device_train_batch_size": 8,
            "adam_beta2": 0.98,
        }

    def measure(self) -> Stage:
        """Measure the finished checkpoint, in fp32, as `mlmfast evaluate` does."""

        def make(_key: str) -> dict[str, Any]:
            from mlmfast.training.evaluation.evaluate import evaluate

            found = evaluate(self.model, self.blocks)
            return {"figures": found.to_dict(), "sentence": str(found)}

        stage = self._stage("evaluate", {}, self.model, make)
        self._tell(stage, "evaluate", stage.figures["sentence"])
        return stage

    def to_onnx(self) -> None:
        """Export the checkpoint; the export compares itself with PyTorch."""

        def make(_key: str) -> dict[str, Any]:
            from mlmfast.exporting.export import export

            report = export(self.model, self.onnx, overwrite=True)
            shapes = len(report.graphs["model.onnx"].comparisons)
            return {"bytes": sum(report.files.values()), "shapes": shapes}

        stage = self._stage("export", {}, self.onnx, make)
        figures = stage.figures
        self._tell(
            stage,
            "export",
            f"ONNX folder of {figures['bytes'] / 1e6:,.1f} MB, equal to PyTorch at "
            f"{figures['shapes']} shapes",
        )

    def fill_masks(self) -> dict[str, list[str]]:
        """Fill the masks of a few sentences with the ONNX model."""
        fill = FillMask(self.onnx)
        asked = self._sentences()
        self.say("")
        answers = {}
        for text, truth in asked:
            rows = fill([text.replace(MASK, fill.mask_token)], top_k=_TOP_K)
            first = rows if isinstance(rows[0], dict) else rows[0]
            answers[text] = [row["token_str"].strip() for row in first]
            shown = ", ".join(f"{row['token_str'].strip()} {row['score']:.0%}" for row in first)
            self.say(
                f"  {' '.join(text.split())}\n    {shown}" + f"   (was: {truth})" * bool(truth)
            )
        return answers

    def _sentences(self) -> list[tuple[str, str]]:
        if self.options.texts or not (self.options.data or self.options.model):
            return [(text, "") for text in self.options.texts or STANDARD_LIBRARY]
        test = open_splits(self.blocks)["test"]
        return held_out(test, test.tokenizer)

    def what_next(self) -> str:
        """Tell what to type next."""
        return (
            f'  mlmfast fill-mask {self.onnx} "{STANDARD_LIBRARY[0]}" --top-k 3\n'
            f"  mlmfast evaluate {self.model} --data {self.blocks}\n"
            f"  mlmfast train {self.blocks} --model {self.model} --output more/ --max-steps 200\n"
            "  mlmfast demo --data FILE --text-column NAME --model distilroberta-base\n"
            "  mlmfast demo --fresh --seconds 600"
        )

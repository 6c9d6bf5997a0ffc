"""The demonstration: its stages, one after the other."""

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
from mlmfast.demo.stages import Stage, StageCache
from mlmfast.errors import InputError, NotFoundError
from mlmfast.fs.paths import as_path
from mlmfast.serving.fill_mask import FillMask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TOP_K = 5


def run_demo(options: DemoOptions, say: Callable[[str], None] = print) -> DemoResult:
    """Run every stage: text, tokenizer, blocks, training, evaluation, ONNX, filled masks.

    Stages that an earlier run finished with the same inputs are skipped. The number of training
    steps depends on the given time and the speed of the machine, so two fresh runs may give
    different models.

    Args:
        options: the text, the model and the time to train.
        say: called with each line of the report.

    Raises:
        InputError: `seconds` is not above 0, or an error of a stage.
        KeyboardInterrupt: Ctrl-C; the next run resumes where this one stopped.
    """
    if not options.seconds > 0:
        raise InputError(f"seconds is {options.seconds}; expected more than 0.")
    started = time.perf_counter()
    demo = Demo(options, say)
    demo.collect_text()
    demo.train_tokenizer()
    demo.prepare_blocks()
    trained = demo.train()
    evaluated = demo.evaluate()
    demo.export()
    answers = demo.fill_masks()
    say(f"\nDone in {time.perf_counter() - started:,.0f} s. Everything lies in {options.output}/")
    say(demo.next_commands())
    return DemoResult(
        model=demo.model,
        onnx=demo.onnx,
        before=trained.figures["before"],
        after=evaluated.figures["figures"],
        answers=answers,
        reused=demo.reused,
    )


class Demo:
    """One run; each method is a stage, called in this order.

    A stage imports what it needs when it runs, so that skipping finished stages loads no torch.
    """

    def __init__(self, options: DemoOptions, say: Callable[[str], None]) -> None:
        self.options = options
        self.say = say
        folder = options.output
        folder.mkdir(parents=True, exist_ok=True)
        self.cache = StageCache(folder, fresh=options.fresh)
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
        """Run a stage unless it is finished; its inputs include those of the stages before it."""
        stage = self.cache.run(name, {**inputs, "after": self._key}, output, make)
        self._key = stage.key
        if stage.reused:
            self.reused.append(name)
        return stage

    def _report(self, stage: Stage, name: str, text: str) -> None:
        when = "found finished" if stage.reused else f"{stage.seconds:,.1f} s"
        self.say(f"{name:<10} {text} ({when})")

    def collect_text(self) -> None:
        """Write the corpus, unless the user gives files."""
        if self.options.data:
            self._key = repr([self._stamp(name) for name in self.options.data])
            self.say(f"{'text':<10} {', '.join(self.inputs)}, column {self.column}")
            return

        def make(_key: str) -> dict[str, Any]:
            documents, size = write_corpus(self.corpus)
            return {"documents": documents, "bytes": size}

        stage = self._stage("text", {"python": platform.python_version()}, self.corpus, make)
        figures = stage.figures
        self._report(
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

    def train_tokenizer(self) -> None:
        """Train a byte-level BPE tokenizer, unless the checkpoint has one."""
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
        self._report(stage, "tokenizer", f"byte-level BPE with {stage.figures['tokens']:,} tokens")

    def prepare_blocks(self) -> None:
        """Tokenize the text and cut it into blocks, with a held-out part."""
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
        self._report(
            stage,
            "blocks",
            f"{tokens:,} tokens in blocks of {self.options.block_size}: {figures['train']:,} to "
            f"train on, {figures['test']:,} held out",
        )

    def train(self) -> Stage:
        """Train for about the given time, or resume an interrupted training."""
        training = self._training()

        def make(key: str) -> dict[str, Any]:
            from mlmfast.demo.speed import steps_within
            from mlmfast.training.train import train

            started = self.cache.get("training begun")
            checkpoints = any(self.model.with_name("model.partial").glob("checkpoint-*"))
            resume = checkpoints and started.get("key") == key
            if resume:
                steps = started["steps"]
                self.say(f"{'train':<10} resuming the interrupted training ...")
            else:
                fit = steps_within(self.options.seconds, self.blocks, **training)
                steps = max(fit, 1 if self.options.model else self.options.least_steps)
                self.cache.put("training begun", {"key": key, "steps": steps})
                fits = f"{fit:,} steps fit into {self.options.seconds:,.0f} s here"
                longer = f"; training for {steps:,}, the fewest from which it learns anything"
                self.say(f"{'train':<10} {fits}{longer if steps > fit else ''} ...")
            # The number of steps is fixed, since the learning rate falls to zero at the last one.
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
        self._report(
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
            "config_overrides": _known_to_transformers(self.options.config),
            "mlm_probability": 0.2,
            "learning_rate": 2e-3,
            # Small batches: in a few minutes, more steps help more than smoother gradients.
            "per_device_train_batch_size": 8,
            "adam_beta2": 0.98,
        }

    def evaluate(self) -> Stage:
        """Evaluate the finished checkpoint in fp32, as `mlmfast evaluate` does."""

        def make(_key: str) -> dict[str, Any]:
            from mlmfast.training.evaluation.evaluate import evaluate

            evaluation = evaluate(self.model, self.blocks)
            return {"figures": evaluation.to_dict(), "sentence": str(evaluation)}

        stage = self._stage("evaluate", {}, self.model, make)
        self._report(stage, "evaluate", stage.figures["sentence"])
        return stage

    def export(self) -> None:
        """Export the checkpoint, which compares the ONNX graphs with PyTorch."""

        def make(_key: str) -> dict[str, Any]:
            from mlmfast.exporting.export import export

            report = export(self.model, self.onnx, overwrite=True)
            shapes = len(report.graphs["model.onnx"].comparisons)
            return {"bytes": sum(report.files.values()), "shapes": shapes}

        stage = self._stage("export", {}, self.onnx, make)
        figures = stage.figures
        self._report(
            stage,
            "export",
            f"ONNX folder of {figures['bytes'] / 1e6:,.1f} MB, equal to PyTorch at "
            f"{figures['shapes']} shapes",
        )

    def fill_masks(self) -> dict[str, list[str]]:
        """Fill the masks of a few sentences with the ONNX model."""
        fill = FillMask(self.onnx)
        sentences = self._sentences()
        self.say("")
        answers = {}
        for text, truth in sentences:
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

    def next_commands(self) -> str:
        """Return commands to try next."""
        return (
            f'  mlmfast fill-mask {self.onnx} "{STANDARD_LIBRARY[0]}" --top-k 3\n'
            f"  mlmfast evaluate {self.model} --data {self.blocks}\n"
            f"  mlmfast train {self.blocks} --model {self.model} --output more/ --max-steps 200\n"
            "  mlmfast demo --data FILE --text-column NAME --model distilroberta-base\n"
            "  mlmfast demo --fresh --seconds 600"
        )


def _known_to_transformers(config: dict[str, Any]) -> dict[str, Any]:
    """Leave out what transformers 5 has no more: it compiles no ModernBERT by itself."""
    from transformers import ModernBertConfig

    known = hasattr(ModernBertConfig(), "reference_compile")
    return {name: value for name, value in config.items() if known or name != "reference_compile"}

"""Fill the masks of texts with an ONNX folder, as `pipeline("fill-mask")` does."""

from __future__ import annotations

from collections.abc import Sized
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError
from mlmfast.serving.engine.model import open_model
from mlmfast.serving.tasks.base import answer_texts
from mlmfast.serving.tasks.beam_search import BeamSearchTask
from mlmfast.serving.tasks.fill_mask import fill_mask_task
from mlmfast.serving.tasks.one_pass import OnePass
from mlmfast.serving.tasks.rows import Answer, FilledRow, Row
from mlmfast.serving.tasks.scoring import ScoringTask, TokenScores
from mlmfast.serving.tasks.streaming import SizedAnswers, in_order
from mlmfast.serving.text.encode import text_number, the_text
from mlmfast.serving.text.inputs import as_list, is_lazy, iterate_texts
from mlmfast.serving.text.options import checked_batch_size, keeps_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from mlmfast.serving.tasks.base import Task

__all__ = ["Answer", "FillMask", "FilledRow", "Row", "TokenScores"]

# Texts of a list that are tokenized while earlier ones are answered.
CALL_READ_AHEAD = 4096


class FillMask:
    """A masked language model that fills masks. It is safe to use from several threads.

    Args:
        folder: an ONNX folder, as `mlmfast export` or Optimum writes it: fill_mask.onnx or
            model.onnx, config.json, tokenizer.json, tokenizer_config.json. fill_mask.onnx, which
            only `mlmfast export` writes, is faster: it runs the head at the masks alone and outputs
            the best tokens.
        device: "cpu"; "cuda", which refuses to run on anything else; "openvino" and "tensorrt-rtx",
            the plugins of the packages onnxruntime-ep-openvino and onnxruntime-ep-nv-tensorrt-rtx,
            which are refused where they do not agree with onnxruntime's own CPU provider; "auto":
            CUDA where the installed onnxruntime can use it, else the CPU.
        threads: cores to use on the CPU; None: all that the affinity mask and the CPU quota of this
            process allow.
        spinning: whether threads wait for each other by spinning, which is fastest if no other
            process needs the cores, and slows everything down if one does; None: on if there is no
            quota and the machine's load is below half its cores.
        batching: "shared" runs texts of similar length together. "independent" runs each text by
            itself, so that its answer is the same to the last bit whatever other texts there are
            (in int8 the scale of a layer's numbers is chosen for a whole batch, and one or two in
            a hundred best tokens depend on the neighbours); that is slower for many short texts.
        batch_size: how many texts run together at most, for calls without `batch_size`; None: as
            many as make a batch of some 512 tokens (16,384 on a GPU).
        cuda_graphs: with "cuda", replay captured kernels for batches of up to 32 texts, from the
            fill_mask_fixed.onnx of `mlmfast export --cuda-graphs`. Refused where its answers are
            not those of onnxruntime's CPU provider. No GPU has run it yet.

    Attributes:
        device: "cpu", "cuda", "openvino" or "tensorrt-rtx", where the model really runs.
        mask_token: the token to write in a text for each word to fill in.
        max_length: tokens a text may have, special tokens included; None: no limit.

    Raises:
        NotFoundError: the folder, or one of its files, does not exist.
        InputError: the folder is a PyTorch checkpoint, a file is damaged, the graph is for another
            task, or the tokenizer has no mask token.
        MissingDependencyError: onnxruntime, or the plugin, is not installed.
        MlmfastError: `device` is "cuda" or a plugin, and cannot be used; or `cuda_graphs` cannot.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        device: str = "auto",
        threads: int | None = None,
        spinning: bool | None = None,
        batching: str = "shared",
        batch_size: int | None = None,
        cuda_graphs: bool = False,
    ):
        rows = checked_batch_size(batch_size)
        self._model = open_model(
            folder,
            device=device,
            threads=threads,
            spinning=spinning,
            batching=batching,
            cuda_graphs=cuda_graphs,
        )
        self._one_pass = OnePass(self._model, rows)
        self._engine = self._model.engine
        self._limits = self._model.limits
        self.device: str = self._engine.device
        self.mask_token: str = self._model.tokenizer.mask_token
        self.max_length: int | None = self._limits.max_length

    def __repr__(self) -> str:
        return f"FillMask({str(self._model.folder.path)!r}, device={self.device!r})"

    def __call__(
        self,
        texts: str | Iterable[str],
        *,
        top_k: int | None = 5,
        targets: str | Iterable[str] | None = None,
        whole_targets: bool = False,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        batch_size: int | None = None,
    ) -> Any:
        """Fill the masks of one text or of several.

        Args:
            texts: one string; a list of strings, or anything that has a length and holds strings
                (a column of a `datasets.Dataset`, of pandas, polars, pyarrow or numpy); or a source
                that is read lazily, as by `stream`: a generator or another iterator, a data set of
                torch (`transformers.pipelines.pt_utils.KeyDataset`), a column of a
                `datasets.IterableDataset`.
            top_k: rows of each mask; None means 5.
            targets: words to choose from, instead of the whole vocabulary. Scores are still
                probabilities over the whole vocabulary. A word that is not a single token is
                replaced by its first piece, with a warning, unless `whole_targets` is set.
            whole_targets: score targets of several tokens as a whole: a target of n pieces takes
                the place of n masks, and its score is the product of the probability of its first
                piece, of the second given the first, and so on. The rows are
                `{"score", "tokens", "token_strs", "sequence"}` then, as those of `fill`. Targets
                of different lengths are scored with different numbers of masks.
            tokenizer_kwargs: `add_special_tokens`, `truncation`, `max_length`, as in transformers;
                `truncation` may also be "around_mask", which truncates both ends of a text, so that
                its masks stay.
            batch_size: how many texts run together at most; None: the constructor's `batch_size`.

        Returns:
            For a text with one mask a list of rows `{"score", "token", "token_str", "sequence"}`,
            best first; with several masks a list of such lists, one for each mask. For a list of
            texts a list of these answers, except that a list of exactly one text gives the answer
            of that text. For a lazy source an iterator of these answers, which has a length if the
            source has one.

        Raises:
            NoMaskError: a text has no mask token.
            InputError: a text is no string or too long, no target has a token, `top_k` or
                `batch_size` is out of range, or `texts` is a table.
            TypeError: a keyword is not known, or `top_k` or `batch_size` is no integer.
        """
        task = fill_mask_task(
            self._model,
            top_k,
            targets,
            whole_targets=whole_targets,
            tokenizer_kwargs=tokenizer_kwargs,
        )
        if is_lazy(texts):
            start = self._one_pass.starter(task, batch_size=batch_size)
            lazy = in_order(iterate_texts(texts), start, read_ahead=1024)
            return SizedAnswers(lazy, len(texts)) if isinstance(texts, Sized) else lazy
        _, listed = as_list(texts)
        names = the_text if len(listed) == 1 else text_number
        start = self._one_pass.starter(task, names=names, raise_early=True, batch_size=batch_size)
        answers = list(in_order(listed, start, read_ahead=CALL_READ_AHEAD))
        return answers[0] if len(answers) == 1 else answers

    def stream(
        self,
        texts: Iterable[str],
        *,
        top_k: int | None = 5,
        targets: str | Iterable[str] | None = None,
        whole_targets: bool = False,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        batch_size: int | None = None,
        read_ahead: int = 1024,
        on_error: str = "raise",
        names: Callable[[int], str] = text_number,
    ) -> Iterator[Any]:
        """Answer any number of texts in bounded memory.

        Args:
            texts: any iterable of strings, or a data set of torch.
            top_k: as in a call.
            targets: as in a call.
            whole_targets: as in a call.
            tokenizer_kwargs: as in a call.
            batch_size: as in a call.
            read_ahead: texts that may be read before the first of them is answered. More of them
                make better batches; 1 answers each text as soon as it is read.
            on_error: "raise", or "return": a text that cannot be used gives an InputError in place
                of its answer, and the others are answered.
            names: what messages call the text of a number, counted from 1.

        Yields:
            The answers, in the order of the texts.

        Raises:
            InputError: as in a call, after the answers of all texts before the bad one.
        """
        if read_ahead < 1:
            raise InputError(f"read_ahead must be at least 1, and is {read_ahead}.")
        keep_errors = keeps_errors(on_error)
        task = fill_mask_task(
            self._model,
            top_k,
            targets,
            whole_targets=whole_targets,
            tokenizer_kwargs=tokenizer_kwargs,
        )
        start = self._one_pass.starter(
            task, names=names, keep_errors=keep_errors, batch_size=batch_size
        )
        return in_order(iterate_texts(texts), start, read_ahead=read_ahead)

    def fill(
        self,
        texts: str | Iterable[str],
        *,
        top_k: int = 5,
        beams: int | None = None,
        order: str = "certain",
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        on_error: str = "raise",
        names: Callable[[int], str] | None = None,
    ) -> Any:
        """Fill all masks of a text together, so that the words fit each other.

        A call predicts each mask as if the others stayed open. This method fills one mask at a time
        and runs the model again with that token in place; a beam search keeps several fillings.

        Args:
            texts: one string, or several as in a call.
            top_k: fillings to return.
            beams: fillings to keep after each token; None: as many as `top_k`. More beams find
                better fillings, and the cost grows with them.
            order: which mask to fill next: "certain", the one whose best token is the most
                probable, for each beam by itself; or "left_to_right".
            tokenizer_kwargs: as in a call.
            on_error: as in `stream`.
            names: as in `stream`.

        Returns:
            For a text a list of rows `{"score", "tokens", "token_strs", "sequence"}`, best first,
            tokens in the order of the masks; for a list of texts a list of these. The score is the
            product of the tokens' probabilities, each given the tokens filled in before it, with
            the other masks open. Where two orders lead to the same tokens, the better score counts.

        Raises:
            InputError: as in a call; `top_k` or `beams` below 1.
        """
        task = BeamSearchTask.checked(top_k, beams, order, tokenizer_kwargs)
        return self._answer_in_steps(task, texts, on_error, names)

    def score(
        self,
        texts: str | Iterable[str],
        *,
        per_token: bool = False,
        method: str = "original",
        on_error: str = "raise",
        names: Callable[[int], str] | None = None,
    ) -> Any:
        """Compute the pseudo-log-likelihood of a text: how probable it is to the model.

        Each token is masked in turn; the score is the sum of the natural logarithms of the original
        tokens' probabilities (Salazar et al., 2020). Special tokens and masks in the text are
        context and are not scored. Scores of texts with different numbers of tokens cannot be
        compared directly.

        Args:
            texts: one string, or several as in a call, without a mask.
            per_token: return the scores of the tokens too.
            method: "original", or "word_l2r", which masks with a token the later tokens of its
                word, so that they do not give it away (Kauf and Ivanova, 2023).
            on_error: as in `stream`.
            names: as in `stream`.

        Returns:
            For a text its score, at most 0; with `per_token`
            `{"score", "tokens", "token_strs", "token_scores"}`. For a list of texts a list of
            these. A probability below 1.4e-45 counts as that number (-103.3).

        Raises:
            InputError: a text is no string, empty, or too long.
        """
        scores = self._answer_in_steps(ScoringTask(method), texts, on_error, names)
        if per_token:
            return scores
        return [_total(text) for text in scores] if isinstance(scores, list) else _total(scores)

    def _answer_in_steps(
        self,
        task: Task,
        texts: str | Iterable[str],
        on_error: str,
        names: Callable[[int], str] | None,
    ) -> Any:
        """Answer one text or several with a task that takes several steps."""
        keep_errors = keeps_errors(on_error)
        single, listed = as_list(texts)
        names = names or (the_text if single else text_number)
        answers = answer_texts(self._model, task, listed, names=names, keep_errors=keep_errors)
        return answers[0] if single else answers


def _total(scores: TokenScores | InputError) -> float | InputError:
    """Return the score of a text without those of its tokens."""
    return scores if isinstance(scores, InputError) else scores["score"]

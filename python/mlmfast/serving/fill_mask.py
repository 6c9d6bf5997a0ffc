"""Fill the masks of texts with an ONNX folder, answering as `pipeline("fill-mask")` does."""

from __future__ import annotations

from collections.abc import Sized
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError
from mlmfast.serving.engine.model import open_model
from mlmfast.serving.tasks.base import answer_texts
from mlmfast.serving.tasks.beam_search import BeamSearchTask
from mlmfast.serving.tasks.fill_mask import FillMaskTask, PendingAnswers, fill_mask_task
from mlmfast.serving.tasks.rows import Answer, FilledRow, Row
from mlmfast.serving.tasks.scoring import ScoringTask, TokenScores
from mlmfast.serving.tasks.streaming import SizedAnswers, in_order
from mlmfast.serving.text.encode import raise_first_error, text_number, the_text
from mlmfast.serving.text.inputs import as_list, is_lazy, one_by_one
from mlmfast.serving.text.options import checked_batch_size, keeps_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from mlmfast.serving.tasks.base import Task
    from mlmfast.serving.tasks.multi_token_targets import WholeTargets

__all__ = ["Answer", "FillMask", "FilledRow", "Row", "TokenScores"]

# Texts of a list that are tokenized while those before them are answered.
CALL_AHEAD = 4096


class FillMask:
    """A masked language model, open for questions. Threads may share one.

    Args:
        folder: an ONNX folder, as `mlmfast export` or Optimum writes it: fill_mask.onnx or
            model.onnx, config.json, tokenizer.json, tokenizer_config.json. The first of the graphs
            is ours and faster: it runs the head at the masks alone and finds the best tokens.
        device: "cpu"; "cuda", which refuses to run on anything else; "auto": CUDA where the
            installed onnxruntime can use it, else the CPU.
        threads: cores to use on the CPU; None: those this process may use, by its affinity mask
            and its container's quota.
        spinning: whether threads wait for each other by spinning, which is quickest where the cores
            are ours and slows everybody where they are not; None: on where no quota binds and the
            machine's load is below half its cores.
        batching: "shared": texts of like length are computed together. "independent": each by
            itself, so that its answer is the same to the last bit whatever else is asked beside it
            (in int8 the scale of a layer's numbers is chosen for a whole batch, and one or two in
            a hundred best tokens depend on the neighbours); slower for many short texts.
        batch_size: texts that are computed together at most, in calls that do not say; None: as
            many as make a batch of some 512 tokens (16,384 on a GPU).

    Attributes:
        device: "cpu" or "cuda", where the model really runs.
        mask_token: what to write in a text where a word shall be filled in.
        max_length: tokens a text may have, special tokens included; None: the model sets no limit.

    Raises:
        NotFoundError: the folder or a file of it is not there.
        InputError: a PyTorch checkpoint instead of an ONNX folder, a damaged file, a graph of
            another task, a tokenizer without mask token.
        MissingDependencyError: onnxruntime is not installed.
        MlmfastError: `device="cuda"` and CUDA cannot be used.
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
    ):
        self._batch_size = checked_batch_size(batch_size)
        self._model = open_model(
            folder, device=device, threads=threads, spinning=spinning, batching=batching
        )
        self._engine = self._model.engine
        self._vocabulary = self._model.vocabulary
        self._limits = self._model.limits
        self.device: str = self._engine.device
        self.mask_token: str = self._vocabulary.mask_token
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
                that is answered as by `stream` while it is read: a generator or another iterator, a
                data set of torch (`transformers.pipelines.pt_utils.KeyDataset`), a column of a
                `datasets.IterableDataset`.
            top_k: rows a mask gets; None means 5.
            targets: words to choose from, instead of the whole vocabulary. Scores stay shares of
                the whole vocabulary. A word that is no single token stands for its first piece,
                with a warning, unless `whole_targets` is set.
            whole_targets: score targets of several tokens as a whole: a target of n pieces is put
                in the place of n masks, and its score is the product of the probability of its
                first piece, of the second where the first is known, and so on. Rows are
                `{"score", "tokens", "token_strs", "sequence"}` then, as those of `fill`. Targets
                of different lengths compete with different numbers of masks.
            tokenizer_kwargs: `add_special_tokens`, `truncation`, `max_length`, as in transformers;
                `truncation` also takes "around_mask", which cuts both ends so that the masks stay.
            batch_size: texts that are computed together at most; None: as the constructor says.

        Returns:
            For a text with one mask a list of rows `{"score", "token", "token_str", "sequence"}`,
            best first; with several masks a list of such lists, one a mask. For a list of texts a
            list of these answers, except that a list of exactly one text is answered as the text
            itself would be. For a source an iterator of these answers, one a text, which has a
            length where the source has one.

        Raises:
            NoMaskError: a text has no mask token.
            InputError: a text is no string or too long, no target has a token, `top_k` or
                `batch_size` is out of range, or `texts` is a table.
            TypeError: a keyword that is not known, or a `top_k` or `batch_size` that is no integer.
        """
        task = fill_mask_task(
            self._model,
            top_k,
            targets,
            whole_targets=whole_targets,
            tokenizer_kwargs=tokenizer_kwargs,
        )
        if is_lazy(texts):
            begin = self._begin(task, batch_size=batch_size)
            lazily = in_order(one_by_one(texts), begin, read_ahead=1024)
            return SizedAnswers(lazily, len(texts)) if isinstance(texts, Sized) else lazily
        _, listed = as_list(texts)
        names = the_text if len(listed) == 1 else text_number
        begin = self._begin(task, names=names, refuse=True, batch_size=batch_size)
        answers = list(in_order(listed, begin, read_ahead=CALL_AHEAD))
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
        """Answer texts one after the other, whatever their number, in bounded memory.

        Args:
            texts: any iterable of strings, or a data set of torch.
            top_k: as in a call.
            targets: as in a call.
            whole_targets: as in a call.
            tokenizer_kwargs: as in a call.
            batch_size: as in a call.
            read_ahead: texts that may be read before the first of them is answered. More of them
                make better batches; 1 answers each text as soon as it is there.
            on_error: "raise", or "return": an InputError takes the place of the answer of a text
                that cannot be asked, and the others are answered.
            names: what messages call the text of a number, counted from 1.

        Yields:
            The answer of each text, in their order.

        Raises:
            InputError: as in a call. By then the answers of all texts before have been given.
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
        begin = self._begin(task, names=names, keep_errors=keep_errors, batch_size=batch_size)
        return in_order(one_by_one(texts), begin, read_ahead=read_ahead)

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

        A call answers each mask as if the others stayed open. Here one mask is filled at a time,
        and the model is asked again with that word in place; a beam search keeps several fillings.

        Args:
            texts: one string, or several as in a call.
            top_k: fillings to return.
            beams: fillings to keep after each word; None: as many as `top_k`. More of them find
                better fillings and cost as much more.
            order: which mask is next: "certain", that whose best token is the most probable, in
                each filling by itself; or "left_to_right".
            tokenizer_kwargs: as in a call.
            on_error: as in `stream`.
            names: as in `stream`.

        Returns:
            For a text a list of rows `{"score", "tokens", "token_strs", "sequence"}`, best first,
            tokens in the order of the masks; for a list of texts a list of these. The score is the
            product of each token's probability at the time it was filled in: with the tokens chosen
            before it known, and the masks after it open. Where two orders lead to the same words,
            the better score counts.

        Raises:
            InputError: as in a call; `top_k` or `beams` below 1.
        """
        task = BeamSearchTask.checked(top_k, beams, order, tokenizer_kwargs)
        return self._in_steps(task, texts, on_error, names)

    def score(
        self,
        texts: str | Iterable[str],
        *,
        per_token: bool = False,
        method: str = "original",
        on_error: str = "raise",
        names: Callable[[int], str] | None = None,
    ) -> Any:
        """Tell how probable the model finds a text: its pseudo-log-likelihood.

        Each token is masked in turn, and the natural logarithms of the probabilities that the model
        gives to the tokens that were there are summed (Salazar et al., 2020). Special tokens and
        masks in the text are context and have no part in the sum. The sums of texts with different
        numbers of tokens are not comparable by themselves.

        Args:
            texts: one string, or several as in a call, without a mask.
            per_token: return the values of the tokens too.
            method: "original", or "word_l2r": with a token the later tokens of its word are
                masked as well, so that they do not give it away (Kauf and Ivanova, 2023).
            on_error: as in `stream`.
            names: as in `stream`.

        Returns:
            For a text its score, at most 0; with `per_token`
            `{"score", "tokens", "token_strs", "token_scores"}`. For a list of texts a list of
            these. A probability below 1.4e-45 counts as that number (-103.3).

        Raises:
            InputError: a text is no string, empty, or too long.
        """
        told = self._in_steps(ScoringTask(method), texts, on_error, names)
        if per_token:
            return told
        return [_sum_of(one) for one in told] if isinstance(told, list) else _sum_of(told)

    def _in_steps(
        self,
        task: Task,
        texts: str | Iterable[str],
        on_error: str,
        names: Callable[[int], str] | None,
    ) -> Any:
        """Answer one text or several, each in steps."""
        keep_errors = keeps_errors(on_error)
        alone, listed = as_list(texts)
        names = names or (the_text if alone else text_number)
        answers = answer_texts(self._model, task, listed, names=names, keep_errors=keep_errors)
        return answers[0] if alone else answers

    def _begin(
        self,
        task: FillMaskTask | WholeTargets,
        *,
        names: Callable[[int], str] = text_number,
        keep_errors: bool = False,
        refuse: bool = False,
        batch_size: int | None = None,
    ) -> Callable[[list[Any], int], PendingAnswers]:
        """Return what starts a piece of the texts.

        Args:
            asked: the options of the call.
            names: what messages call a text.
            keep_errors: errors take the place of answers.
            refuse: the first error of a piece is raised before anything is computed.
            batch_size: texts that are computed together at most; None: the constructor's.
        """
        rows = checked_batch_size(batch_size) or self._batch_size

        def begin(texts: list[Any], first: int) -> PendingAnswers:
            read = task.read(texts, self._model, first=first, names=names)
            if refuse:
                raise_first_error(read)
            return PendingAnswers(read, self._model, task, keep_errors=keep_errors, batch_size=rows)

        return begin


def _sum_of(told: TokenScores | InputError) -> float | InputError:
    """Return the score of a text alone."""
    return told if isinstance(told, InputError) else told["score"]

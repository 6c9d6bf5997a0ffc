"""Encode texts as sparse vectors with an ONNX folder, as sentence-transformers' class does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError
from mlmfast.options import check_choice
from mlmfast.serving.engine.model import open_model
from mlmfast.serving.tasks.one_pass import OnePass
from mlmfast.serving.tasks.sparse import sparse_of, sparse_task
from mlmfast.serving.tasks.sparse_formats import FORMATS, STREAMED, csr_matrix, struct_array
from mlmfast.serving.tasks.streaming import in_order
from mlmfast.serving.text.encode import text_number, the_text
from mlmfast.serving.text.inputs import as_list, iterate_texts
from mlmfast.serving.text.options import checked_batch_size, keeps_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from mlmfast.serving.types import SparseVector

__all__ = ["SparseEncoder"]

_READ_AHEAD = 1024


class SparseEncoder:
    """A sparse encoder (SPLADE): texts to the weights of words. It is safe to use from threads.

    Args:
        folder: an ONNX folder with sparse.onnx, as `mlmfast export --task sparse` writes it.
        device: as for `FillMask`.
        threads: as for `FillMask`.
        spinning: as for `FillMask`.
        batching: as for `FillMask`.
        batch_size: as for `FillMask`.

    Attributes:
        device: "cpu", "cuda", "openvino" or "tensorrt-rtx", where the model really runs.
        vocab_size: words that a vector can have.
        max_length: tokens a text may have, special tokens included; None: no limit.
        has_query_table: whether queries are encoded by a table of weights, without the model.

    Raises:
        NotFoundError: the folder, or one of its files, does not exist: sparse.onnx, or the table of
            weights for queries where the model needs one.
        InputError: the folder is a PyTorch checkpoint, or a file is damaged.
        MissingDependencyError: onnxruntime, or the plugin, is not installed.
        MlmfastError: `device` is "cuda" or a plugin, and cannot be used.
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
        rows = checked_batch_size(batch_size)
        self._model = open_model(
            folder,
            device=device,
            threads=threads,
            spinning=spinning,
            batching=batching,
            tasks=("sparse",),
        )
        self._one_pass = OnePass(self._model, rows)
        sparse = sparse_of(self._model)
        self._words = sparse.words
        self.device: str = self._model.engine.device
        self.vocab_size: int = self._model.engine.vocab_size
        self.max_length: int | None = self._model.limits.max_length
        self.has_query_table: bool = sparse.queries is not None

    def __repr__(self) -> str:
        return f"SparseEncoder({str(self._model.folder.path)!r}, device={self.device!r})"

    def __call__(
        self,
        texts: str | Iterable[str],
        *,
        top_k: int | None = None,
        threshold: float = 0.0,
        special_tokens: bool = False,
        truncate: bool = True,
        returns: str | None = None,
        batch_size: int | None = None,
    ) -> Any:
        """Encode one document or several.

        Args:
            texts: one string; a list of strings, or anything that holds strings, as for `FillMask`.
            top_k: how many of the heaviest words of each text to keep; None: all, unless the
                checkpoint has a `max_active_dims`.
            threshold: keep words whose weights exceed it.
            special_tokens: whether special tokens may have a weight, as in sentence-transformers.
            truncate: cut texts at the length of the model, instead of refusing them.
            returns: "dict": `{token: weight}`, the heaviest first; "csr": a SciPy matrix float32
                [texts, vocabulary]; "arrow": a pyarrow array of
                `struct<ids: list<int32>, weights: list<float>>`, ids ascending; None: "arrow" for
                Arrow columns, "dict" for others.
            batch_size: how many texts run together at most; None: the constructor's `batch_size`.

        Returns:
            For a single string its dictionary (or a matrix or an array with one row); for several
            texts a list of dictionaries, a matrix or an array. A text of which nothing is left has
            an empty row.

        Raises:
            InputError: a text is no string, or too long with `truncate=False`; an option is out of
                range; `texts` is a table.
            TypeError: `top_k` or `batch_size` is no integer.
            MissingDependencyError: `returns` needs SciPy or pyarrow, which is not installed.
        """
        return self._encode(
            texts,
            "document",
            returns,
            batch_size,
            top_k=top_k,
            threshold=threshold,
            special_tokens=special_tokens,
            truncate=truncate,
        )

    def encode_query(
        self,
        texts: str | Iterable[str],
        *,
        top_k: int | None = None,
        threshold: float = 0.0,
        special_tokens: bool = False,
        truncate: bool = True,
        returns: str | None = None,
        batch_size: int | None = None,
    ) -> Any:
        """Encode one query or several: by the table of weights, if the model has one.

        Without a table, a query is encoded as a document is. The arguments, the result and the
        errors are those of a call.
        """
        return self._encode(
            texts,
            "query",
            returns,
            batch_size,
            top_k=top_k,
            threshold=threshold,
            special_tokens=special_tokens,
            truncate=truncate,
        )

    def stream(
        self,
        texts: Iterable[str],
        *,
        kind: str = "document",
        top_k: int | None = None,
        threshold: float = 0.0,
        special_tokens: bool = False,
        truncate: bool = True,
        returns: str = "dict",
        batch_size: int | None = None,
        read_ahead: int = _READ_AHEAD,
        on_error: str = "raise",
        names: Callable[[int], str] = text_number,
    ) -> Iterator[Any]:
        """Encode any number of texts in bounded memory.

        Args:
            texts: any iterable of strings, or a data set of torch.
            kind: "document" or "query".
            top_k: as in a call.
            threshold: as in a call.
            special_tokens: as in a call.
            truncate: as in a call.
            returns: "dict" for `{token: weight}`, or "lists" for
                `{"ids": [...], "tokens": [...], "weights": [...]}`.
            batch_size: as in a call.
            read_ahead: as in `FillMask.stream`.
            on_error: as in `FillMask.stream`.
            names: as in `FillMask.stream`.

        Yields:
            The words of each text, the heaviest first, in the order of the texts.

        Raises:
            InputError: as in a call, after the vectors of all texts before the bad one.
        """
        if read_ahead < 1:
            raise InputError(f"read_ahead must be at least 1, and is {read_ahead}.")
        check_choice("returns", returns, STREAMED)
        keep_errors = keeps_errors(on_error)
        write = self._words.weights if returns == "dict" else self._words.lists
        task = sparse_task(
            self._model,
            kind,
            top_k=top_k,
            threshold=threshold,
            special_tokens=special_tokens,
            truncate=truncate,
        )
        start = self._one_pass.starter(
            task, names=names, keep_errors=keep_errors, batch_size=batch_size
        )
        vectors = in_order(iterate_texts(texts), start, read_ahead=read_ahead)
        return (v if isinstance(v, InputError) else write(v) for v in vectors)

    def _encode(
        self,
        texts: str | Iterable[str],
        kind: str,
        returns: str | None,
        batch_size: int | None,
        **options: Any,
    ) -> Any:
        check_choice("returns", returns, FORMATS, optional=True)
        is_arrow = hasattr(texts, "__arrow_c_stream__") or hasattr(texts, "__arrow_c_array__")
        task = sparse_task(self._model, kind, **options)
        single, listed = as_list(texts)
        start = self._one_pass.starter(
            task,
            names=the_text if single else text_number,
            raise_early=True,
            batch_size=batch_size,
        )
        vectors: list[SparseVector] = list(in_order(listed, start, read_ahead=4 * _READ_AHEAD))
        if returns == "csr":
            return csr_matrix(vectors, self.vocab_size)
        if returns == "arrow" or (returns is None and is_arrow):
            return struct_array(vectors)
        weights = [self._words.weights(vector) for vector in vectors]
        return weights[0] if single else weights

# The compiled core. Use the functions of `mlmfast`, which take more kinds of input.

from typing import Any, final

import numpy as np
import numpy.typing as npt

__all__ = ["DEBUG_BUILD", "Masker", "__version__", "group_lists", "permutation"]

__version__: str
DEBUG_BUILD: bool

def group_lists(
    column: Any,
    block_size: int,
    *,
    remainder: str,
    separator_id: int | None,
    pad_id: int | None,
    threads: int | None,
) -> tuple[Any, int]: ...
def permutation(
    count: int, start: int, stop: int, *, seed: int, epoch: int
) -> npt.NDArray[np.uint64]: ...

@final
class Masker:
    def __new__(
        cls,
        *,
        mask_token_id: int,
        vocab_size: int,
        special_ids: list[int],
        mode: str,
        word_starts: npt.NDArray[np.bool_] | None,
        span_probability: float,
        max_span_length: int,
        mlm_probability: float,
        masks_per_row: int | None,
        at_least_one: bool,
        mask_replace_prob: float,
        random_replace_prob: float,
        random_specials: bool,
    ) -> Masker: ...
    def with_probability(self, mlm_probability: float) -> Masker: ...
    def mask(
        self,
        input_ids: npt.NDArray[Any],
        out_ids: npt.NDArray[Any],
        out_labels: npt.NDArray[Any] | None,
        *,
        seed: int,
        epoch: int,
        block_ids: npt.NDArray[np.uint64] | None,
        special_tokens_mask: npt.NDArray[np.bool_] | None,
        pad_id: int | None,
        strict: bool,
        threads: int | None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any] | None]: ...
    def mask_blocks(
        self,
        shards: list[npt.NDArray[Any]],
        block_ids: npt.NDArray[np.uint64],
        out_ids: npt.NDArray[Any],
        out_labels: npt.NDArray[Any] | None,
        out_attention: npt.NDArray[Any] | None,
        *,
        pad_id: int | None,
        seed: int,
        epoch: int,
        threads: int | None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any] | None]: ...

# The compiled core. Use the functions of `mlmfast`, which take more kinds of input.

from typing import Any, final

import numpy as np
import numpy.typing as npt

__all__ = ["DEBUG_BUILD", "Masker", "__version__", "group_lists"]

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

@final
class Masker:
    def __new__(
        cls,
        *,
        mask_token_id: int,
        vocab_size: int,
        special_ids: list[int],
        word_starts: npt.NDArray[np.bool_] | None,
        mlm_probability: float,
        mask_replace_prob: float,
        random_replace_prob: float,
    ) -> Masker: ...
    def mask(
        self,
        input_ids: npt.NDArray[Any],
        out_ids: npt.NDArray[np.int64],
        out_labels: npt.NDArray[np.int64],
        *,
        seed: int,
        epoch: int,
        block_ids: npt.NDArray[np.uint64] | None,
        special_tokens_mask: npt.NDArray[np.bool_] | None,
        pad_id: int | None,
        strict: bool,
        threads: int | None,
    ) -> npt.NDArray[np.int64]: ...

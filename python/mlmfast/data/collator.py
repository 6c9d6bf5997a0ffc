"""A data collator in the place of Hugging Face's: `DataCollatorForLanguageModeling`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlmfast.data.frameworks import (
    Framework,
    global_seed,
    known_framework,
    random_word,
    to_tensor,
    worker_seed,
)
from mlmfast.data.mask_options import make_masker
from mlmfast.data.padding import pad_lists, pad_mappings
from mlmfast.errors import InputError

# The epoch word of calls without a known epoch; real epochs are far below it.
_FRESH = 1 << 63


class DataCollatorForLanguageModeling:
    """Pad a list of examples to a batch and mask it.

    Arguments and outputs are those of the class of the same name in transformers; the masks are
    drawn by the compiled core.

    Rows of a mapping give a `BatchEncoding` as the tokenizer's own `pad` makes it, plus `labels`;
    plain rows (lists, arrays, tensors of ids) a dict of `input_ids` and `labels`. All are
    `[B, L]`, int64 (numpy arrays of plain rows keep the rows' type). Special tokens and padding
    are never chosen.

    Where nobody calls `set_epoch`, every call draws fresh masks: from `seed` where one is given,
    else from the framework's global generator, so that `transformers.set_seed` repeats a run. After
    `set_epoch` a row is masked by what it holds: its mask is a pure function of (seed, epoch, its
    tokens), the same in whichever worker, batch or order it is met and whatever it was padded to.
    (Rows of the very same tokens then get the same mask in an epoch; the blocks of a `BlockStore`,
    which have numbers, do not.)

    Args:
        tokenizer: A transformers tokenizer, fast or slow.
        mlm: Mask tokens; False makes `labels` a copy of `input_ids` without the padding.
        whole_word_mask: Choose whole words, found by the vocabulary's own marker (`##`, `Ġ`, `▁`),
            instead of tokens. Unlike the class in transformers this needs no offsets and keeps the
            replacement shares.
        mlm_probability: Share of the tokens (or words) to choose.
        mask_replace_prob: Share of the chosen tokens that become the mask token.
        random_replace_prob: Share of the chosen tokens that become a random word; the rest stays.
        pad_to_multiple_of: Pad to a multiple of this many tokens.
        return_tensors: `"pt"` for torch tensors, `"np"` for numpy arrays, `"tf"` for TensorFlow's.
        seed: Seed of the masks; None takes the framework's.

    Raises:
        InputError: No mask token, a probability outside of 0..1, an unknown `return_tensors`.
    """

    def __init__(
        self,
        tokenizer: Any,
        mlm: bool = True,
        whole_word_mask: bool = False,
        mlm_probability: float | None = 0.15,
        mask_replace_prob: float = 0.8,
        random_replace_prob: float = 0.1,
        pad_to_multiple_of: int | None = None,
        return_tensors: str = "pt",
        seed: int | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.mlm = mlm
        self.whole_word_mask = whole_word_mask
        self.mlm_probability = mlm_probability
        self.mask_replace_prob = mask_replace_prob
        self.random_replace_prob = random_replace_prob
        self.pad_to_multiple_of = pad_to_multiple_of
        self.return_tensors: str = known_framework(return_tensors)
        self.seed = seed
        self._epoch: int | None = None
        self._framework_seed = 0
        self._calls = 0
        self._word_starts: bytes | None = None
        self._vocabulary: tuple[Any, int, int] | None = None
        if whole_word_mask and not mlm:
            raise InputError("whole_word_mask=True needs mlm=True")
        if mlm:
            if tokenizer.mask_token is None:
                raise InputError(
                    f"the tokenizer {tokenizer.name_or_path or type(tokenizer).__name__!r} has no "
                    "mask token: add one, tokenizer.add_special_tokens({'mask_token': '<mask>'}), "
                    "or pass mlm=False"
                )
            self._masker(special_ids=())  # checks the probabilities now rather than at the batch

    def set_epoch(self, epoch: int) -> None:
        """Key the masks by this epoch from now on. Call it before the workers are started."""
        if self._epoch is None and self.seed is None:
            self._framework_seed = global_seed()
        self._epoch = epoch

    def __call__(self, features: Sequence[Any], return_tensors: str | None = None) -> Any:
        """Collate `features`, a list of mappings or of rows of ids, to a batch."""
        framework = known_framework(return_tensors or self.return_tensors)
        if isinstance(features[0], Mapping):
            batch = pad_mappings(features, self.tokenizer, self.pad_to_multiple_of, framework)
        else:
            ids = pad_lists(features, self.tokenizer, self.pad_to_multiple_of)
            batch = {
                "input_ids": ids
                if framework == "np"
                else to_tensor(ids.astype(np.int64), framework)
            }
        special_tokens_mask = batch.pop("special_tokens_mask", None)
        batch.pop("offset_mapping", None)
        if not self.mlm:
            labels = np.array(batch["input_ids"])
            if self.tokenizer.pad_token_id is not None:
                labels[labels == self.tokenizer.pad_token_id] = -100
            batch["labels"] = to_tensor(labels, framework)
            return batch
        if framework == "tf":
            vocabulary = self._vocab_size(), self.tokenizer.mask_token_id
            masked = self.tf_mask_tokens(batch["input_ids"], *vocabulary, special_tokens_mask)
        else:
            mask = self.torch_mask_tokens if framework == "pt" else self.numpy_mask_tokens
            masked = mask(batch["input_ids"], special_tokens_mask)
        batch["input_ids"], batch["labels"] = masked
        return batch

    def torch_mask_tokens(self, inputs: Any, special_tokens_mask: Any = None) -> tuple[Any, Any]:
        """Mask a torch tensor of ids `[B, L]`; returns the masked ids and the labels."""
        flags = None if special_tokens_mask is None else np.asarray(special_tokens_mask)
        ids, labels = self._mask(inputs.numpy(), flags, "pt")
        return to_tensor(ids, "pt"), to_tensor(labels, "pt")

    def numpy_mask_tokens(self, inputs: Any, special_tokens_mask: Any = None) -> tuple[Any, Any]:
        """Mask a numpy array of ids `[B, L]`; returns the masked ids and the labels."""
        flags = None if special_tokens_mask is None else np.asarray(special_tokens_mask)
        ids, labels = self._mask(np.asarray(inputs), flags, "np")
        return ids.astype(inputs.dtype), labels.astype(inputs.dtype)

    def tf_mask_tokens(
        self, inputs: Any, vocab_size: int, mask_token_id: int, special_tokens_mask: Any = None
    ) -> tuple[Any, Any]:
        """Mask a TensorFlow tensor of ids `[B, L]`; returns the masked ids and the labels, int64.

        Args:
            inputs: The ids.
            vocab_size: Number of ids that random words are drawn from.
            mask_token_id: What is put in the place of a masked token.
            special_tokens_mask: `[B, L]`, true where a token must not be chosen.
        """
        flags = None if special_tokens_mask is None else np.asarray(special_tokens_mask)
        ids, labels = self._mask(np.asarray(inputs), flags, "tf", (vocab_size, int(mask_token_id)))
        return to_tensor(ids, "tf"), to_tensor(labels, "tf")

    def _mask(
        self,
        ids: np.ndarray,
        flags: np.ndarray | None,
        framework: Framework,
        vocabulary: tuple[int, int] | None = None,
    ) -> Any:
        seed, epoch, block_ids = self._next_key(framework, len(ids))
        special_ids = () if flags is not None else tuple(sorted(self.tokenizer.all_special_ids))
        out_ids, out_labels = np.empty(ids.shape, np.int64), np.empty(ids.shape, np.int64)
        self._masker(special_ids, vocabulary).mask(
            np.ascontiguousarray(ids),
            out_ids,
            out_labels,
            seed=seed,
            epoch=epoch,
            block_ids=block_ids,
            special_tokens_mask=None if flags is None else np.ascontiguousarray(flags, np.bool_),
            pad_id=self.tokenizer.pad_token_id,
            strict=False,
            threads=1,
        )
        return out_ids, out_labels

    def _masker(
        self, special_ids: tuple[int, ...], vocabulary: tuple[int, int] | None = None
    ) -> Any:
        vocab_size, mask_token_id = vocabulary or (
            self._vocab_size(),
            self.tokenizer.mask_token_id,
        )
        if self.whole_word_mask and self._word_starts is None:
            from mlmfast.data.words import word_starts

            self._word_starts = word_starts(self.tokenizer, vocab_size).tobytes()
        if self.mlm_probability is None:
            raise InputError("mlm_probability must be between 0 and 1, got None")
        try:
            return make_masker(
                mask_token_id=mask_token_id,
                vocab_size=vocab_size,
                special_ids=special_ids,
                mlm_probability=float(self.mlm_probability),
                mask_replace_prob=float(self.mask_replace_prob),
                random_replace_prob=float(self.random_replace_prob),
                mode="whole_word" if self.whole_word_mask else "token",
                word_starts=self._word_starts,
            )
        except (TypeError, ValueError) as error:
            raise InputError(str(error)) from None

    def _vocab_size(self) -> int:
        # A fast tokenizer counts its whole vocabulary for `len`, which takes longer than all the
        # rest of a call; it grows by added tokens alone.
        tokenizer = self.tokenizer
        if (decoder := getattr(tokenizer, "added_tokens_decoder", None)) is None:
            return len(tokenizer)
        added, known = len(decoder), self._vocabulary
        if known is None or known[0] is not tokenizer or known[1] != added:
            known = self._vocabulary = tokenizer, added, len(tokenizer)
        return known[2]

    def _next_key(self, framework: Framework, rows: int) -> tuple[int, int, np.ndarray | None]:
        """Seed, epoch and block ids that key this call's masks; no ids: the rows' content does."""
        if self._epoch is not None:
            return (self._framework_seed if self.seed is None else self.seed), self._epoch, None
        row_numbers = np.arange(rows, dtype=np.uint64)
        if self.seed is None:
            return random_word(framework), _FRESH, row_numbers
        # A worker's seed is its own, and new in every pass over the data.
        calls, self._calls = self._calls, self._calls + 1
        return self.seed, _FRESH ^ worker_seed(), row_numbers + np.uint64(calls << 32)

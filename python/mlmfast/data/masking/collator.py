"""A drop-in for Hugging Face's data collator: `DataCollatorForLanguageModeling`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlmfast.data.masking.frameworks import Framework, check_framework, to_tensor
from mlmfast.data.masking.keys import MaskKeys
from mlmfast.data.masking.options import build_masker
from mlmfast.data.masking.padding import pad_lists, pad_mappings, pad_offsets, without_columns
from mlmfast.data.masking.vocabulary_cache import VocabularyCache
from mlmfast.data.tokenization.word_boundaries import WordBoundaries, known_boundaries
from mlmfast.errors import InputError


@dataclass
class DataCollatorForLanguageModeling:
    """Pad a list of examples to a batch and mask it.

    Arguments, outputs and methods are those of the class of the same name in transformers, so that
    its subclasses can derive from this one; the compiled core draws the masks. A call goes through
    `torch_call`, `numpy_call` or `tf_call`, and these through `torch_mask_tokens`,
    `numpy_mask_tokens` or `tf_mask_tokens`.

    Examples that are mappings become a `BatchEncoding`, as the tokenizer's own `pad` makes it, plus
    `labels`; plain rows (lists, arrays, tensors of ids) become a dict of `input_ids` and `labels`.
    All are `[B, L]`, int64 (numpy arrays of plain rows keep the rows' dtype). Special tokens and
    padding are never chosen. A `labels` column of the examples is dropped, since the masks decide
    the labels.

    Until `set_epoch` is called, every call draws new masks: from `seed` if there is one, else from
    the framework's global generator, so that `transformers.set_seed` makes a run reproducible. With
    a seed, a run is reproducible whatever the state of the global generators, also in the workers
    of a `DataLoader`, where every pass over the data has its own masks. After `set_epoch`, the mask
    of a row is a pure function of (seed, epoch, its tokens): it does not depend on the worker, the
    batch, the order or the padding. (Rows of equal tokens then get equal masks in an epoch; the
    blocks of a `BlockStore`, which have ids, do not.)

    Args:
        tokenizer: A transformers tokenizer, fast or slow.
        mlm: Mask tokens; False makes `labels` a copy of `input_ids` without the padding.
        whole_word_mask: Choose whole words, found by the vocabulary's own marker (`##`, `Ġ`, `▁`),
            instead of tokens. Unlike the class in transformers this needs no offsets and keeps the
            replacement shares.
        mlm_probability: Share of the tokens (or words) to choose; `"uniform:LOW,HIGH"` or
            `"beta:A,B"` draws one for each row.
        mask_replace_prob: Share of the chosen tokens that become the mask token.
        random_replace_prob: Share of the chosen tokens that become a random word; the rest stays.
        pad_to_multiple_of: Pad to a multiple of this many tokens.
        tf_experimental_compile: Accepted for transformers 4, without effect: the core is compiled
            already.
        return_tensors: `"pt"` for torch tensors, `"np"` for numpy arrays, `"tf"` for TensorFlow's.
        seed: Seed of the masks, 0 to 2^64 - 1; None takes the framework's.
        word_boundaries: How whole words are found: `"marker"`, by the vocabulary's marker only; or
            `"characters"`, in scripts that are written without spaces also by their characters, see
            `mlmfast.data.tokenization.word_boundaries.word_starts`. If the words of the first batch
            are very long, there is a warning.

    Raises:
        InputError: No mask token, a probability outside of 0..1, an unknown `return_tensors`, a
            seed out of range.
    """

    tokenizer: Any
    mlm: bool = True
    whole_word_mask: bool = False
    mlm_probability: float | str | None = 0.15
    mask_replace_prob: float = 0.8
    random_replace_prob: float = 0.1
    pad_to_multiple_of: int | None = None
    tf_experimental_compile: bool = False
    return_tensors: str = "pt"
    seed: int | None = None
    word_boundaries: WordBoundaries = "marker"
    _keys: MaskKeys = field(default_factory=MaskKeys, init=False, repr=False, compare=False)
    _vocabulary: VocabularyCache = field(
        default_factory=VocabularyCache, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        check_framework(self.return_tensors)
        known_boundaries(self.word_boundaries)
        if not isinstance(self.tf_experimental_compile, bool):
            raise InputError(
                "tf_experimental_compile must be True or False, got "
                f"{self.tf_experimental_compile!r}: give return_tensors and seed by name"
            )
        if self.seed is not None and not 0 <= self.seed < 1 << 64:
            raise InputError(f"seed must be between 0 and 2^64 - 1, got {self.seed}")
        if self.whole_word_mask and not self.mlm:
            raise InputError("whole_word_mask=True needs mlm=True")
        if self.mlm:
            if (tokenizer := self.tokenizer).mask_token is None:
                raise InputError(
                    f"the tokenizer {tokenizer.name_or_path or type(tokenizer).__name__!r} has no "
                    "mask token: add one, tokenizer.add_special_tokens({'mask_token': '<mask>'}), "
                    "or pass mlm=False"
                )
            self._masker(special_ids=())  # checks the probabilities before the first batch

    def set_epoch(self, epoch: int) -> None:
        """Key the masks by this epoch, 0 to 2^63 - 1, from now on.

        It takes effect in data loading workers as well, even in those that outlive a pass
        (`persistent_workers`). Call it between two passes: a running pass would change its masks.
        """
        self._keys.set_epoch(epoch, self.seed)

    @property
    def generator(self) -> Any:
        """The framework's generator made from `seed`, for subclasses that draw by themselves.

        None without a seed. Each worker of a `DataLoader` has its own.
        """
        return self._keys.generator(check_framework(self.return_tensors), self.seed)

    @generator.setter
    def generator(self, generator: Any) -> None:
        self._keys.set_generator(generator)

    def get_generator(self, seed: int) -> Any:
        """Return a generator of `return_tensors`' framework; each worker has its own."""
        return self._keys.new_generator(check_framework(self.return_tensors), seed)

    def __call__(self, features: Sequence[Any], return_tensors: str | None = None) -> Any:
        """Collate `features`, a list of mappings or of rows of ids, to a batch."""
        framework = check_framework(return_tensors or self.return_tensors)
        if framework == "pt":
            return self.torch_call(features)
        return self.numpy_call(features) if framework == "np" else self.tf_call(features)

    def torch_call(self, examples: Sequence[Any]) -> Any:
        """Collate to torch tensors."""
        batch, flags = self._pad_examples(examples, "pt")
        if self.mlm:
            masked = self.torch_mask_tokens(batch["input_ids"], **flags)
            batch["input_ids"], batch["labels"] = masked
        else:
            batch["labels"] = self._unmasked_labels(batch["input_ids"], "pt")
        return batch

    def numpy_call(self, examples: Sequence[Any]) -> Any:
        """Collate to numpy arrays."""
        batch, flags = self._pad_examples(examples, "np")
        if self.mlm:
            masked = self.numpy_mask_tokens(batch["input_ids"], **flags)
            batch["input_ids"], batch["labels"] = masked
        else:
            batch["labels"] = self._unmasked_labels(batch["input_ids"], "np")
        return batch

    def tf_call(self, examples: Sequence[Any]) -> Any:
        """Collate to TensorFlow's tensors."""
        batch, flags = self._pad_examples(examples, "tf")
        if self.mlm:
            special = flags["special_tokens_mask"]
            if special is None:
                special = np.isin(np.asarray(batch["input_ids"]), self.tokenizer.all_special_ids)
            batch["input_ids"], batch["labels"] = self.tf_mask_tokens(
                to_tensor(np.asarray(batch["input_ids"], np.int64), "tf"),
                special_tokens_mask=to_tensor(np.asarray(special, np.bool_), "tf"),
                mask_token_id=self.tokenizer.mask_token_id,
                vocab_size=self._vocab_size(),
            )
        else:
            batch["labels"] = self._unmasked_labels(batch["input_ids"], "tf")
        return batch

    def torch_mask_tokens(
        self, inputs: Any, special_tokens_mask: Any = None, offset_mapping: Any = None
    ) -> tuple[Any, Any]:
        """Mask a torch tensor of ids `[B, L]`; returns the masked ids and the labels.

        Args:
            inputs: The ids; they are not changed.
            special_tokens_mask: `[B, L]`, true where a token must not be chosen.
            offset_mapping: `[B, L, 2]`, ignored: the vocabulary tells where words begin.
        """
        del offset_mapping
        ids, labels = self._mask(inputs.numpy(), special_tokens_mask, "pt")
        return to_tensor(ids, "pt"), to_tensor(labels, "pt")

    def numpy_mask_tokens(
        self, inputs: Any, special_tokens_mask: Any = None, offset_mapping: Any = None
    ) -> tuple[Any, Any]:
        """Mask a numpy array of ids `[B, L]`; arguments and results as in `torch_mask_tokens`."""
        del offset_mapping
        ids, labels = self._mask(np.asarray(inputs), special_tokens_mask, "np")
        return ids.astype(inputs.dtype), labels.astype(inputs.dtype)

    def tf_mask_tokens(
        self, inputs: Any, vocab_size: int, mask_token_id: int, special_tokens_mask: Any = None
    ) -> tuple[Any, Any]:
        """Mask a TensorFlow tensor of ids `[B, L]`; returns the masked ids and the labels, int64.

        Args:
            inputs: The ids.
            vocab_size: Number of ids that random words are drawn from.
            mask_token_id: The id that replaces a masked token.
            special_tokens_mask: `[B, L]`, true where a token must not be chosen.
        """
        vocabulary = vocab_size, int(mask_token_id)
        ids, labels = self._mask(np.asarray(inputs), special_tokens_mask, "tf", vocabulary)
        return to_tensor(ids, "tf"), to_tensor(labels, "tf")

    def _pad_examples(
        self, examples: Sequence[Any], framework: Framework
    ) -> tuple[Any, dict[str, Any]]:
        """Return the padded batch, and the columns that only say where masks may be."""
        if not isinstance(examples[0], Mapping):
            ids = pad_lists(examples, self.tokenizer, self.pad_to_multiple_of)
            tensor = ids if framework == "np" else to_tensor(ids.astype(np.int64), framework)
            return {"input_ids": tensor}, {"special_tokens_mask": None}
        rows = without_columns(examples, ("labels", "offset_mapping"))
        batch = pad_mappings(rows, self.tokenizer, self.pad_to_multiple_of, framework)
        flags = {"special_tokens_mask": batch.pop("special_tokens_mask", None)}
        offsets = pad_offsets(examples, batch["input_ids"].shape[1], self.tokenizer.padding_side)
        if offsets is not None:
            flags["offset_mapping"] = to_tensor(offsets, framework)
        return batch, flags

    def _unmasked_labels(self, input_ids: Any, framework: Framework) -> Any:
        labels = np.asarray(input_ids).copy()
        if self.tokenizer.pad_token_id is not None:
            labels[labels == self.tokenizer.pad_token_id] = -100
        return to_tensor(labels, framework)

    def _mask(
        self,
        ids: np.ndarray,
        special_tokens_mask: Any,
        framework: Framework,
        vocabulary: tuple[int, int] | None = None,
    ) -> Any:
        flags = None if special_tokens_mask is None else np.asarray(special_tokens_mask)
        seed, epoch, block_ids = self._keys.next_key(self.seed, framework, len(ids))
        special_ids = () if flags is not None else tuple(sorted(self.tokenizer.all_special_ids))
        out_ids, out_labels = np.empty(ids.shape, np.int64), np.empty(ids.shape, np.int64)
        if self.whole_word_mask and not self._vocabulary.words_checked:
            special = np.isin(ids, special_ids) if flags is None else flags
            self._vocabulary.check_word_lengths(ids, self._word_starts(self._vocab_size()), special)
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
        if self.mlm_probability is None:
            raise InputError("mlm_probability must be between 0 and 1, got None")
        return build_masker(
            mask_token_id=mask_token_id,
            vocab_size=vocab_size,
            special_ids=special_ids,
            options={
                "mlm_probability": self.mlm_probability,
                "mask_replace_prob": self.mask_replace_prob,
                "random_replace_prob": self.random_replace_prob,
                "mode": "whole_word" if self.whole_word_mask else "token",
                "word_starts": self._word_starts(vocab_size) if self.whole_word_mask else None,
            },
        )

    def _word_starts(self, vocab_size: int) -> bytes:
        return self._vocabulary.word_starts(self.tokenizer, vocab_size, self.word_boundaries)

    def _vocab_size(self) -> int:
        return self._vocabulary.size(self.tokenizer)

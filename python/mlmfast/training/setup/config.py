"""The options of `train`, checked and resolved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from mlmfast.data.tokenization.added_tokens import read_tokens
from mlmfast.errors import InputError
from mlmfast.fs.paths import as_path
from mlmfast.training.evaluation.raw_text import text_of
from mlmfast.training.model.documents.mode import check_document_mode
from mlmfast.training.model.precision import default_device
from mlmfast.training.options.arguments import DEFAULTS, check_names
from mlmfast.training.options.averaging import Averaging
from mlmfast.training.options.distillation import DistillationOptions
from mlmfast.training.options.durations import seconds_of
from mlmfast.training.options.from_scratch import with_defaults
from mlmfast.training.options.length import LengthOptions
from mlmfast.training.options.lora import check_lora, lora_config, with_lora_defaults
from mlmfast.training.options.run_mlm import resolve_alias, resolve_do_flags, split_options
from mlmfast.training.recipes.hours import check_hours
from mlmfast.training.report import hub
from mlmfast.training.setup.batches import check_batches
from mlmfast.training.setup.masks import resolve_masks
from mlmfast.training.setup.recipe import phase_arguments, with_rates
from mlmfast.training.text_data import check_one_source, is_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta
    from pathlib import Path

    import peft
    import transformers

    from mlmfast.training.model.documents.mode import DocumentMode
    from mlmfast.training.options.run_mlm import RunMlmOptions
    from mlmfast.training.recipes.recipe import Recipe
    from mlmfast.training.recipes.schedule import PhaseSchedule


@dataclass(frozen=True)
class TrainConfig:
    """The options of `train` with aliases and defaults resolved; see there for the others.

    Attributes:
        data: what to train on; None where `options` name the text.
        is_text: whether `data` is text, which has to be prepared, and not a block store.
        output: the folder to write.
        eval_data: stores and texts to measure on, one or several by name; None for test splits.
        from_scratch: whether the weights start at random, by whichever option.
        masks: the mask options of the training, as `MaskedBlocks` takes them.
        length: the changes to the model's positions.
        distillation: the teacher, its student and the weights of the loss.
        lora: the adapters to train in place of all weights; None trains all weights.
        averaging: the average that becomes the result; None for the last weights.
        new_tokens: the words of `add_tokens`.
        tokens_per_batch: positions of a batch, in place of its blocks; None for the blocks that
            `training_arguments` say.
        max_seconds: `max_time` in seconds; None for no limit.
        recipe: the phases of the training; None without.
        hours: how long its steps shall take; None for the lengths of the recipe.
        tokens_per_second: the speed for that, of all processes; None to measure it.
        options: the flags of run_mlm.py that are not options of `train` itself.
        training_arguments: the fields of `transformers.TrainingArguments` that the user gave, and
            the defaults of a training from scratch.
    """

    data: Any
    is_text: bool
    output: Path
    model: str | Path | None
    from_scratch: bool
    model_type: str | None
    config_overrides: str | dict[str, Any] | None
    eval_data: Any
    masks: dict[str, Any]
    documents: DocumentMode | None
    new_tokens: list[str]
    pack_documents: bool
    tokens_per_batch: int | None
    length: LengthOptions
    distillation: DistillationOptions
    lora: peft.LoraConfig | None
    keep_adapter: bool
    averaging: Averaging | None
    recipe: Recipe | None
    hours: float | None
    tokens_per_second: float | None
    seed: int
    precision: str
    overwrite: bool
    resume_from_checkpoint: bool | str | Path | None
    override: bool
    max_seconds: float | None
    keep_checkpoints: bool
    push_to_hub: bool
    report: bool
    verify_store: bool
    quiet: bool
    callbacks: Iterable[transformers.TrainerCallback]
    options: RunMlmOptions
    training_arguments: dict[str, Any]

    @classmethod
    def resolve(
        cls,
        *,
        data: Any,
        output: str | Path | None,
        model: str | Path | None,
        from_scratch: bool,
        model_type: str | None,
        eval_data: Any,
        mlm_probability: float | str | None,
        mask_replace_prob: float,
        random_replace_prob: float,
        mask_mode: str,
        whole_word: bool,
        word_boundaries: str,
        mask_rate_schedule: str | None,
        documents: str | None,
        add_tokens: str | Path | Sequence[str] | None,
        pack_documents: bool,
        tokens_per_batch: int | None,
        max_position_embeddings: int | None,
        rope_theta: float | None,
        rope_scaling: str | dict[str, Any] | None,
        lora: bool | str | dict[str, Any] | peft.LoraConfig | None,
        keep_adapter: bool,
        average_checkpoints: str | None,
        recipe: Recipe | None,
        hours: float | None,
        tokens_per_second: float | None,
        seed: int,
        overwrite: bool,
        max_time: str | float | timedelta | None,
        push_to_hub: bool,
        further: dict[str, Any],
        **unchanged: Any,
    ) -> Self:
        """Check the keywords of `train` and resolve them.

        Those of `DistillationOptions` become one field; what is `unchanged`, fields as they are.

        Raises:
            InputError: an unknown or contradictory option, or a value that is out of range.
        """
        options, aliases, arguments = split_options(further)
        model = resolve_alias("model", model, aliases)
        output = resolve_alias("output", output, aliases)
        overwrite = bool(resolve_alias("overwrite", overwrite or None, aliases))
        if output is None:
            raise InputError("Where shall the model be written? Give output.")
        check_names(arguments)
        arguments = resolve_do_flags(arguments)
        _check_seed(seed)
        check_batches(arguments, pack_documents, tokens_per_batch, documents)
        check_hours(hours, tokens_per_second, has_recipe=recipe is not None)
        if recipe is not None:
            ordered = {
                "pack_documents": pack_documents,
                "mask_rate_schedule": mask_rate_schedule,
                "max_train_samples": options.max_train_samples,
            }
            arguments = with_rates(recipe, arguments, ordered)
        if recipe is None or any(phase.data is None for phase in recipe.phases):
            evaluates_text = eval_data is not None and bool(text_of(eval_data))
            check_one_source(data, options, evaluates_text=evaluates_text)
        # As in run_mlm.py, a model type or a configuration without a model means random weights.
        scratch = from_scratch or (model is None and bool(model_type or options.config_name))
        distillation = DistillationOptions.taken_from(unchanged)
        # A student that is made here has not learned to do with its few layers yet.
        arguments = with_defaults(arguments, is_new=scratch or distillation.makes_student)
        length = LengthOptions(max_position_embeddings, rope_theta, rope_scaling)
        adapters = lora_config(lora)
        check_lora(
            adapters,
            from_scratch=scratch,
            kept=keep_adapter,
            model=model,
            changes=[*length.given, *(["add_tokens"] if add_tokens else [])],
        )
        if adapters is not None:
            arguments = with_lora_defaults(arguments)
        averaging = Averaging.parse(average_checkpoints)
        if averaging is not None:
            averaging.check(
                save_strategy=arguments.get("save_strategy") or DEFAULTS["save_strategy"],
                load_best=arguments.get("load_best_model_at_end"),
                adapters=adapters is not None,
            )
        masks = resolve_masks(
            mlm_probability=mlm_probability,
            from_scratch=scratch,
            mask_replace_prob=mask_replace_prob,
            random_replace_prob=random_replace_prob,
            mode=mask_mode,
            whole_word=whole_word,
            word_boundaries=word_boundaries,
            mask_rate_schedule=mask_rate_schedule,
        )
        return cls(
            data=data,
            is_text=_names_text(data, options),
            output=as_path(output),
            model=model,
            from_scratch=scratch,
            model_type=model_type,
            eval_data=eval_data,
            masks=masks,
            documents=check_document_mode(documents),
            new_tokens=read_tokens(add_tokens) if add_tokens else [],
            pack_documents=pack_documents,
            tokens_per_batch=tokens_per_batch,
            length=length,
            distillation=distillation,
            lora=adapters,
            keep_adapter=keep_adapter,
            averaging=averaging,
            recipe=recipe,
            hours=hours,
            tokens_per_second=tokens_per_second,
            seed=seed,
            overwrite=overwrite,
            max_seconds=seconds_of(max_time),
            push_to_hub=push_to_hub,
            options=options,
            training_arguments=arguments | hub.upload_arguments(push_to_hub, arguments, output),
            **unchanged,
        )

    def with_block_size(self, block_size: int) -> Self:
        """Return the same options, with `tokens_per_batch` as blocks of so many tokens.

        Raises:
            InputError: it is less than one block.
        """
        if self.tokens_per_batch is None:
            return self
        blocks = self.tokens_per_batch // block_size
        if not blocks:
            raise InputError(
                f"tokens_per_batch is {self.tokens_per_batch:,}, which is less than one block of "
                f"{block_size:,} tokens: give a multiple of that."
            )
        arguments = self.training_arguments | {"per_device_train_batch_size": blocks}
        return replace(self, training_arguments=arguments)

    def with_phases(self, schedule: PhaseSchedule, devices: int) -> Self:
        """Return the same options, with the batches and steps of phases on so many devices."""
        arguments = phase_arguments(schedule, self.training_arguments, devices)
        return replace(self, training_arguments=arguments)

    def with_peak(self, learning_rate: float | None) -> Self:
        """Return the same options, with the learning rate that a resumed schedule is based on.

        Those of the phases are in proportion to it, also if a resume changes the highest one.

        Args:
            learning_rate: that of the checkpoint; None if it is unknown.
        """
        if not learning_rate:
            return self
        arguments = self.training_arguments | {"learning_rate": learning_rate}
        return replace(self, training_arguments=arguments)

    @property
    def recorded(self) -> dict[str, Any]:
        """The options of a step that a resume compares and can change."""
        average = None if self.averaging is None else str(self.averaging)
        return self.masks | self.distillation.recorded | {"average_checkpoints": average}

    @property
    def base_model(self) -> str | None:
        """The checkpoint that the weights come from; None if they start at random."""
        if self.distillation.makes_student:
            return str(self.distillation.teacher)
        return None if self.from_scratch else str(self.model)

    @property
    def document_mode(self) -> DocumentMode | None:
        """Whether documents are kept apart; those that share a row have nothing in common."""
        return "separate" if self.pack_documents else self.documents

    @property
    def device(self) -> str:
        """The type of the device to train on, `cpu`, `cuda` or `mps`."""
        return "cpu" if self.training_arguments.get("use_cpu") else default_device()

    @property
    def hides_progress(self) -> bool:
        """Whether the training itself shows no progress, by `quiet` or `disable_tqdm`."""
        return self.quiet or bool(self.training_arguments.get("disable_tqdm"))


def _names_text(data: Any, options: RunMlmOptions) -> bool:
    """Whether the training is on text, which is to be prepared."""
    if data is None:
        return options.train_file is not None or options.dataset_name is not None
    return not is_blocks(data)


def _check_seed(seed: int) -> None:
    """Raise InputError for a seed that one of the random generators does not take."""
    if not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed}; expected a whole number from 0 to 2^32 - 1.")

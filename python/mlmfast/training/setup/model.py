"""The model that a training starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmfast.errors import InputError
from mlmfast.training.model.adapters import add_adapters
from mlmfast.training.model.compatibility import check_same_tokens
from mlmfast.training.model.documents.mode import numbers_documents
from mlmfast.training.model.embeddings import (
    add_missing_rows,
    added_tokens,
    check_added,
    resize_embeddings,
)
from mlmfast.training.model.from_scratch import new_model
from mlmfast.training.model.load import check_fits, load_config, load_model
from mlmfast.training.model.positions.lengthen import lengthened
from mlmfast.training.setup.distillation import build_student
from mlmfast.training.text_data import tokenizer_of

if TYPE_CHECKING:
    from collections.abc import Collection

    import peft
    import transformers

    from mlmfast.data.store.store import BlockStore
    from mlmfast.training.model.adapters import Adapter
    from mlmfast.training.setup.config import TrainConfig


def build_model(
    config: TrainConfig,
    train_store: BlockStore,
    eval_store: BlockStore | None,
    teacher: transformers.PreTrainedModel | None = None,
) -> transformers.PreTrainedModel:
    """Load the checkpoint to start from, or create a model with random weights.

    A checkpoint gets embeddings for the tokens of `add_tokens`, and for those of a tokenizer that
    has more tokens than the checkpoint. A student may be made from its teacher.

    Raises:
        InputError: the options contradict each other, or the model does not fit the blocks.
        NotFoundError: the checkpoint does not exist.
    """
    if teacher is not None and config.distillation.makes_student:
        model = build_student(config, teacher)
    else:
        model = choose_model(config, train_store)
    if config.new_tokens:
        check_added(train_store, config.new_tokens)
        if not config.from_scratch:
            old = tokenizer_of(config.options, config.model)
            resize_embeddings(model, old, train_store.tokenizer)
    elif config.is_text and config.model is not None:
        add_missing_rows(model, train_store.tokenizer.id_bound, config.model)
    for store in filter(None, (train_store, eval_store)):
        check_fits(model, store, documents=numbers_documents(store, config.documents))
    return model


def adapt_model(
    config: TrainConfig,
    lora: peft.LoraConfig,
    model: transformers.PreTrainedModel,
    store: BlockStore,
) -> tuple[peft.PeftModel, Adapter]:
    """Add the adapters of a training to its model; the embeddings of new tokens are trained, too.

    Raises:
        InputError: the adapters do not fit the model.
    """
    new_tokens: list[int] = []
    if config.new_tokens:
        old = tokenizer_of(config.options, config.model)
        new_tokens = sorted(added_tokens(old, store.tokenizer).values())
    return add_adapters(
        model,
        lora,
        kept=config.keep_adapter,
        new_tokens=new_tokens,
        checkpointing=bool(config.training_arguments.get("gradient_checkpointing")),
    )


def choose_model(config: TrainConfig, store: BlockStore) -> transformers.PreTrainedModel:
    """Load the checkpoint to start from, or create a model with random weights for a store.

    Raises:
        InputError: no model is named, or options that exclude each other.
        NotFoundError: the checkpoint does not exist.
    """
    options, shape = config.options, config.options.config_name
    if config.from_scratch:
        if options.dtype not in (None, "float32"):
            raise InputError(
                f"dtype {options.dtype} is for the weights of a checkpoint; new ones are float32 "
                "(--precision bf16 computes in bf16)."
            )
        if config.model is not None and shape is not None:
            raise InputError("From scratch, give the shape by model or by config_name, not both.")
        return new_model(
            store,
            model=config.model if shape is None else shape,
            model_type=config.model_type,
            config_overrides=config.config_overrides,
            length=config.length,
            **options.hub,
        )
    if config.model_type or config.config_overrides:
        raise InputError(
            "model_type and config_overrides are for --from-scratch: a checkpoint has its own."
        )
    if config.model is None:
        raise InputError(
            "Training needs a model to start from (--model distilroberta-base), --from-scratch "
            "with --model-type, or a --teacher with --student-layers."
        )
    check_same_tokens(config.model, store)
    model_config = None if shape is None else load_config(shape, **options.hub)
    trained: Collection[str] | None = None
    if config.lora is not None:
        # An adapter that is kept has to fit the checkpoint as it is.
        trained = () if config.keep_adapter else (config.lora.modules_to_save or ())
    model = load_model(
        config.model,
        dtype=options.dtype or "float32",
        config=model_config,
        trained=trained,
        **options.hub,
    )
    if not config.length.given:
        return model
    return lengthened(model, config.length, trust_remote_code=options.trust_remote_code)

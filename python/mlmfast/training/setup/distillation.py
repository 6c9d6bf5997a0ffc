"""The teacher of a training, and the student that is made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError
from mlmfast.training.model.compatibility import check_same_tokens
from mlmfast.training.model.distillation.student import student_from_layers, student_of_shape
from mlmfast.training.model.documents.mode import numbers_documents
from mlmfast.training.model.from_scratch import apply_overrides, parse_overrides
from mlmfast.training.model.load import check_fits, load_config, load_model

if TYPE_CHECKING:
    import transformers

    from mlmfast.data.store.store import BlockStore
    from mlmfast.training.setup.config import TrainConfig


def build_teacher(
    config: TrainConfig, train_store: BlockStore, eval_store: BlockStore | None
) -> transformers.PreTrainedModel | None:
    """Load the teacher and check that it knows the blocks; None without one.

    Raises:
        InputError: it is not a masked language model, or the blocks have other tokens or are longer
            than its positions.
        NotFoundError: it does not exist.
    """
    name = config.distillation.teacher
    if name is None:
        return None
    check_same_tokens(name, train_store, role="teacher")
    teacher = load_model(name, whole=True, **hub_of_teacher(config))
    for store in filter(None, (train_store, eval_store)):
        documents = numbers_documents(store, config.documents)
        check_fits(teacher, store, documents=documents, role="teacher")
    return teacher


def hub_of_teacher(config: TrainConfig) -> dict[str, Any]:
    """Return the keywords with which the teacher is loaded from the Hub."""
    hub = config.options.hub
    if config.model is not None:
        hub.pop("revision", None)  # of the model
    return hub


def build_student(
    config: TrainConfig, teacher: transformers.PreTrainedModel
) -> transformers.PreTrainedModel:
    """Make the student from the layers or the fitting weights of its teacher.

    Raises:
        InputError: the teacher has no such layers, or the configuration cannot be used.
        NotFoundError: there is no such configuration.
    """
    options, trust = config.distillation, config.options.trust_remote_code
    if options.student is None:
        return student_from_layers(teacher, options.layers, trust_remote_code=trust)
    shape = load_config(options.student, **config.options.hub)
    apply_overrides(shape, parse_overrides(config.config_overrides))
    return student_of_shape(teacher, shape, trust_remote_code=trust)


def check_one_student(config: TrainConfig) -> None:
    """Raise InputError unless a training with a teacher says once what its student is.

    Options that would change the student alone, and leave the teacher behind, are refused too.
    """
    options = config.distillation
    if options.teacher is None:
        return
    made = {"student": options.student, "student_layers": options.student_layers}
    others = {
        "model": config.model,
        "from_scratch": config.from_scratch or None,
        "model_type": config.model_type,
        "config_name": config.options.config_name,
        "config_overrides": None if options.student else config.config_overrides or None,
        "dtype": None if config.options.dtype == "float32" else config.options.dtype,
    }
    given = [name for name, value in (made | others).items() if value is not None]
    if not given:
        raise InputError(
            "What is the student? Give layers of the teacher (--student-layers 0,2,4), another "
            "shape (--student CONFIG), or a checkpoint to go on with (--model MODEL)."
        )
    if options.makes_student and len(given) > 1:
        raise InputError(
            f"{' and '.join(given)} do not go together: {given[0]} says what the student is, whose "
            "weights are float32."
        )
    if config.lora is not None:
        raise InputError(
            "lora trains adapters of a checkpoint, and a distillation all weights of its student: "
            "leave out one of them."
        )
    if config.new_tokens or config.length.given:
        name = "add_tokens" if config.new_tokens else next(iter(config.length.given))
        raise InputError(
            f"{name} changes the student alone, and not its teacher: first train the teacher with "
            "it, then distill the result."
        )

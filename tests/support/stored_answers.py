"""A teacher's answers in a folder, without `train`."""

from __future__ import annotations

from dataclasses import replace

import torch

from mlmfast.training.model.distillation.teacher import Teacher
from mlmfast.training.teacher_answers.compute import compute_parts
from mlmfast.training.teacher_answers.folder import AnswerFolder
from mlmfast.training.teacher_answers.form import AnswerForm

MADE_OF = {"teacher": "a teacher", "seed": 0}


def form_of(vocabulary, top_k=8, items_per_part=1000, **more):
    given = {"temperature": 2.0, "hidden_size": 32, "hidden": True, "precision": "fp32"} | more
    form = AnswerForm.choose(top_k=top_k, vocabulary=vocabulary, masked_per_item=3.0, **given)
    return replace(form, items_per_part=items_per_part)


def answered(teacher, blocks, folder, form, epochs=1):
    """Return a folder with the answers to the first epochs."""
    answers = AnswerFolder(folder, MADE_OF | {"items": len(blocks)}, form)
    folder.mkdir()
    half = {"fp32": None, "bf16": torch.bfloat16}[form.precision]
    runs = Teacher(teacher, torch.device("cpu"), hidden=form.hidden, half=half)
    compute_parts(answers, answers.begin(epochs), runs, blocks, batch_size=4)
    return answers

"""Tokenize the texts of several requests at once."""

from __future__ import annotations

import logging
from itertools import groupby
from typing import TYPE_CHECKING

from mlmfast.errors import InputError, MlmfastError
from mlmfast.serving.continuous.limits import TooManyRowsError
from mlmfast.serving.texts import read_texts, without_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.continuous.ticket import Ticket
    from mlmfast.serving.model import Model
    from mlmfast.serving.questions import Question


logger = logging.getLogger(__name__)


def read_tickets(
    tickets: Sequence[Ticket], model: Model, max_rows: int
) -> list[tuple[Ticket, list[Question] | Exception]]:
    """Tokenize all texts of `tickets`; requests with equal options share a call.

    Returns:
        Each ticket with its questions, which know what is asked of them, or with what is wrong with
        the first of its texts that cannot be asked.
    """
    read: list[tuple[Ticket, list[Question] | Exception]] = []
    by_options = sorted(tickets, key=lambda ticket: repr(ticket.asked.options))
    for _, same in groupby(by_options, key=lambda ticket: ticket.asked.options):
        together = list(same)
        try:
            read += _read_together(together, model, max_rows)
        except BaseException:  # noqa: BLE001 - a panic of the tokenizer is no Exception
            read += [(ticket, _read_alone(ticket, model, max_rows)) for ticket in together]
    return read


def _read_alone(ticket: Ticket, model: Model, max_rows: int) -> list[Question] | Exception:
    try:
        return _read_together([ticket], model, max_rows)[0][1]
    except BaseException as error:
        logger.exception("A text could not be tokenized")
        return MlmfastError(f"The tokenizer failed: {error}")


def _read_together(
    tickets: Sequence[Ticket], model: Model, max_rows: int
) -> list[tuple[Ticket, list[Question] | Exception]]:
    texts = [text for ticket in tickets for text in ticket.texts]
    names = [ticket.name(place) for ticket in tickets for place in range(len(ticket.texts))]
    options = tickets[0].asked.options
    found = iter(
        read_texts(
            texts,
            model.vocabulary,
            model.limits,
            options,
            names=lambda number: names[number - 1],
        )
    )
    return [
        (ticket, _questions(ticket, [next(found) for _ in ticket.texts], max_rows))
        for ticket in tickets
    ]


def _questions(
    ticket: Ticket, read: Sequence[Question | InputError], max_rows: int
) -> list[Question] | Exception:
    asked = ticket.asked
    try:
        questions = without_errors(read)
    except InputError as error:
        return error
    rows = asked.rows * sum(len(question.masks) for question in questions)
    if rows > max_rows:
        return TooManyRowsError(
            f"The answer would have {rows:,} rows, masks times top_k, and one request is given at "
            f"most {max_rows:,}: ask for a smaller top_k, or for fewer masks."
        )
    return [asked.of(question) for question in questions]

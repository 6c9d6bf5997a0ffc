"""Flags made from a dataclass of options, so that each option is described in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any

import click

from mlmfast.cli.flags.command import Names


def option_flags(
    options: type,
    names: Sequence[str] | None = None,
    *,
    without: Sequence[str] = (),
    choices: Mapping[str, Sequence[str]] | None = None,
    aliases: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command a flag for each field of a dataclass that `mlmfast.options` declares.

    Args:
        options: The dataclass; a field without a default becomes a required flag, one whose type
            is a tuple a flag that may be repeated, and one without a help gets no flag.
        names: The fields to take, in their order; None takes all.
        without: Fields that get no flag.
        choices: The values of fields that do not name them themselves.
        aliases: Another spelling of a field's flag.
    """
    table = {each.name: each for each in fields(options) if "help" in each.metadata}
    taken = [name for name in names or table if name not in without]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(taken):
            alias = (aliases or {}).get(name)
            known = (choices or {}).get(name, table[name].metadata.get("choices"))
            function = _flag(table[name], alias, known)(function)
        return function

    return decorate


def _flag(
    each: Field[Any], alias: str | None, choices: Sequence[str] | None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    flag = each.metadata.get("flag", f"--{each.name.replace('_', '-')}")
    about: dict[str, Any] = {"help": each.metadata["help"]}
    if each.default is True:
        return click.option(f"{flag}/--no-{flag[2:]}", default=True, show_default=True, **about)
    if each.default is False:
        return click.option(flag, is_flag=True, **about)
    if each.default is MISSING:
        about["required"] = True
    elif str(each.type).startswith("tuple"):
        about["multiple"] = True
    elif each.default not in (None, ()):
        about |= {"default": each.default, "show_default": True}
    spellings = [flag, alias] if alias else [flag]
    kind = Names(choices) if choices else _type(str(each.type))
    return click.option(
        *spellings, each.name, type=kind, metavar=each.metadata.get("metavar"), **about
    )


def _type(annotation: str) -> type:
    """Return the type of a flag's value, by the first word of the field's annotation."""
    return {"int": int, "float": float}.get(annotation.partition(" ")[0], str)

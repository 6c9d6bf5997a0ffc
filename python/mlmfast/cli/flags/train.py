"""The flags of `mlmfast train`: its own, those of run_mlm.py and those of TrainingArguments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from mlmfast.cli.flags.command import ExampleCommand
from mlmfast.cli.flags.from_options import option_flags
from mlmfast.data.sources.base import QUOTINGS
from mlmfast.data.sources.formats import FORMATS
from mlmfast.errors import InputError
from mlmfast.fs.settings import SUFFIXES, read_settings
from mlmfast.training.options.run_mlm import DTYPES, RunMlmOptions

# The options refuse float16 themselves, and say what to do instead.
_CHOICES = {"format": FORMATS, "csv_quoting": QUOTINGS, "dtype": (*DTYPES, "float16")}
run_mlm_flags = option_flags(RunMlmOptions, choices=_CHOICES, aliases={"dtype": "--torch-dtype"})
"""Gives a command an option for every field of `RunMlmOptions`."""


class Overrides(click.ParamType):
    """`name=value,...` on the command line, a mapping in a file."""

    name = "overrides"

    def convert(self, value: Any, _param: Any, _ctx: Any) -> Any:
        """Return the value unchanged; `train` parses it."""
        return value


class TrainCommand(ExampleCommand):
    """A command that passes unknown flags to `transformers.TrainingArguments`.

    Flags override a file of settings: `--config FILE`, or FILE as the only argument, as in
    run_mlm.py.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Separate the training arguments from the command line; click parses the rest."""
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        own = {
            name.replace("_", "-"): option
            for option in options
            for name in (*option.opts, *option.secondary_opts)
        }
        args, file = _settings_file(args)
        given = read_settings(file) if file else {}
        if "phases" in given:
            raise InputError(f"The settings {file} have phases: give the file as --recipe {file}.")
        recipe = _recipe(args) or given.get("recipe")
        if recipe:
            given = _options_of(recipe, own) | given
        ctx.obj = self._settings(ctx, own, given) if given else {}
        args = list(_normalize_switches(args, own))
        if any(word.startswith("--") and _name(word) not in own for word in args):
            from mlmfast.training.options.arguments import split_flags

            args, flags = split_flags(args, set(own))
            ctx.obj = ctx.obj | flags
        return super().parse_args(ctx, args)

    def _settings(
        self, ctx: click.Context, own: dict[str, click.Option], given: dict[str, Any]
    ) -> dict[str, Any]:
        """Set the defaults of the command's options; return the settings of TrainingArguments."""
        defaults: dict[str, Any] = {}
        words: list[str] = []
        others: dict[str, Any] = {}
        for name, value in given.items():
            option = own.get(f"--{name}")
            if name == "data" and isinstance(value, dict):
                defaults["mixture"] = [(str(store), str(share)) for store, share in value.items()]
            elif name == "eval-data":
                defaults["eval_data"] = _named(value)
            elif name == "data":
                defaults["data"] = value if isinstance(value, list) else [value]
            elif option is None and isinstance(value, str | int | float):
                words.append(f"--{name}={value}")
            elif option is None:
                others[name.replace("-", "_")] = value
            elif name == "resume-from-checkpoint" and isinstance(value, bool):
                defaults |= {"resume_from_checkpoint": "last"} if value else {}
            elif isinstance(value, dict | list) and not isinstance(option.type, Overrides):
                raise InputError(f"{name} of the settings is {value!r}; expected one value.")
            else:
                defaults[str(option.name)] = value
        ctx.default_map = defaults
        if not words and not others:
            return {}
        from mlmfast.training.options.arguments import check_names, split_flags

        check_names(others)
        return others | split_flags(words, set(own))[1]


def _named(value: Any) -> list[str]:
    """Return stores of the settings as `--eval-data` has them: one, a list, or a mapping."""
    if isinstance(value, dict):
        return [f"{name}={folder}" for name, folder in value.items()]
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _name(word: str) -> str:
    return word.partition("=")[0].replace("_", "-")


def _settings_file(args: list[str]) -> tuple[list[str], str | None]:
    """Separate `--config FILE`, or a file as the only argument, from the other words."""
    if len(args) == 1 and args[0].lower().endswith(SUFFIXES) and not args[0].startswith("-"):
        return [], args[0]
    rest, file = [], None
    words = iter(args)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == "--config" or word.startswith("--config="):
            file = word.partition("=")[2] or next(words, "")
        else:
            rest.append(word)
    return rest, file


def _recipe(args: list[str]) -> str | None:
    """Return the value of `--recipe`, if it is given."""
    for place, word in enumerate(args):
        if word == "--":
            return None
        if word.startswith("--recipe="):
            return word.partition("=")[2]
        if word == "--recipe":
            return args[place + 1] if place + 1 < len(args) else None
    return None


def _options_of(recipe: str, own: Iterable[str]) -> dict[str, Any]:
    """Return the options of a recipe, as a file of settings has them."""
    from mlmfast.training.recipes.recipe import read_recipe
    from mlmfast.training.setup.recipe import check_option_names

    found = read_recipe(recipe)
    check_option_names(found, [name[2:].replace("-", "_") for name in own])
    return {name.replace("_", "-"): value for name, value in found.options.items()}


def _normalize_switches(args: Iterable[str], own: dict[str, click.Option]) -> Iterable[str]:
    """Replace `--line_by_line True`, which run_mlm.py accepts, by `--line-by-line`."""
    remaining = list(args)
    while remaining:
        word = remaining.pop(0)
        if word == "--":
            yield from [word, *remaining]
            return
        name, equals, value = word.partition("=")
        option = own.get(_name(word))
        if option is None or not option.is_flag:
            yield word
            continue
        if not equals and remaining and remaining[0].lower() in {"true", "false"}:
            value = remaining.pop(0)
        if value.lower() not in {"", "true", "false"}:
            raise InputError(f"{name} is a switch: give it without a value, or with true or false.")
        if value.lower() != "false":
            yield name
        elif option.secondary_opts:
            yield option.secondary_opts[0]

"""`mlmfast recipe`: look at trainings in phases before they run."""

from __future__ import annotations

import json
from typing import Any

import click

from mlmfast.cli.flags.command import CONTEXT, ExampleCommand, ExampleGroup


@click.group(
    "recipe",
    cls=ExampleGroup,
    context_settings=CONTEXT,
    example="""
    mlmfast recipe list
    mlmfast recipe show ettin > my.yaml
    mlmfast recipe check my.yaml
    mlmfast train --recipe my.yaml --output model/
    """,
)
def command() -> None:
    """Recipes: trainings in phases, each with its data, batches, masks and learning rate.

    A recipe is a YAML or JSON file, or the name of one that is part of mlmfast (docs/recipes.md).
    """


@command.command(
    "check",
    cls=ExampleCommand,
    example="""
    mlmfast recipe check my.yaml
    mlmfast recipe check domain blocks/ --tokens-per-second 20000 --hours 2
    """,
)
@click.argument("recipe", metavar="RECIPE")
@click.argument("data", required=False, type=click.Path())
@click.option(
    "--tokens-per-second", type=float, metavar="N", help="The speed of the training, for the hours."
)
@click.option(
    "--measure",
    is_flag=True,
    help="Train four steps of each phase on this machine, in full forward passes, for tokens/s, "
    "memory and hours of one process.",
)
@click.option(
    "--hours",
    type=float,
    metavar="H",
    help="Multiply all lengths so that the steps take so long, as `train --hours` does.",
)
@click.option("--model", help="Checkpoint for --measure, if the recipe names none.")
@click.option("--use-cpu", is_flag=True, default=None, help="Measure on the CPU.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as one JSON object.")
def check(recipe: str, data: str | None, *, as_json: bool, **options: Any) -> None:
    """Check RECIPE and print what each phase will do: steps, tokens, batches, rates.

    DATA is the block store of phases that name none. Stores that do not exist yet are listed;
    phases with a block_size do without them.
    """
    from mlmfast.cli.process.log import show_log
    from mlmfast.training.recipe_check.check import check_recipe

    show_log(quiet=not options["measure"])
    options = {name: value for name, value in options.items() if value is not None}
    found = check_recipe(recipe, data, **options)
    click.echo(json.dumps(found.to_dict()) if as_json else found)


@command.command("list", cls=ExampleCommand, example="mlmfast recipe list")
def list_recipes() -> None:
    """List the recipes that are part of mlmfast."""
    from mlmfast.training.recipes.recipe import shipped_recipes

    for name, path in shipped_recipes().items():
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        click.echo(f"{name:<14}{first.lstrip('# ')}")


@command.command("show", cls=ExampleCommand, example="mlmfast recipe show ettin > my.yaml")
@click.argument("recipe", metavar="RECIPE")
def show(recipe: str) -> None:
    """Print the file of RECIPE, to copy and change."""
    from mlmfast.training.recipes.recipe import find_recipe

    click.echo(find_recipe(recipe).read_text(encoding="utf-8"), nl=False)

"""What mkdocs takes into the documentation site: the repository's pages, and those made here.

A page for each command is made from the command itself, and one for each public name from its
docstring, whenever the site is built.
"""

from __future__ import annotations

import html
import inspect
from pathlib import Path

import click
from click.testing import CliRunner
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import mlmfast
from mlmfast.cli import COMMANDS, group

ROOT = Path(__file__).parents[1]
# A file has the same path in the site as in the repository, so links between them work in both.
PUBLISHED = (
    "*.md",
    "docs/*.md",
    "benches/*.md",
    "benches/*.svg",
    "deploy/*",
)
# Packages of the public names, in the order of the stages.
STAGES = {
    "data": "Data",
    "training": "Training and evaluation",
    "exporting": "Export",
    "serving": "Fill-mask",
    "errors": "Errors",
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the generated pages to the navigation."""
    commands = [{name: f"commands/{name}.md"} for name in COMMANDS]
    config.nav.append({"Commands": ["commands/index.md", *commands]})
    api = [
        {title: [{name: f"api/{name}.md"} for name in names_of(package)]}
        for package, title in STAGES.items()
    ]
    config.nav.append({"Python API": api})
    return config


def on_files(_files: Files, config: MkDocsConfig) -> Files:
    """Give the repository's pages and the generated ones."""
    published = {path for pattern in PUBLISHED for path in ROOT.glob(pattern)}
    files = Files(
        File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path))
        for path in sorted(published)
    )
    made = {"commands/index.md": commands_page()}
    made |= {f"commands/{name}.md": command_page(name) for name in COMMANDS}
    made |= {f"api/{name}.md": f"::: mlmfast.{name}\n" for name in mlmfast.__all__}
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def names_of(package: str) -> list[str]:
    """Return the public names whose code lies in a package of mlmfast."""
    return [
        name
        for name in mlmfast.__all__
        if getattr(mlmfast, name).__module__.split(".")[1] == package
    ]


def commands_page() -> str:
    """Return the table of all commands."""
    rows = [f"| [`mlmfast {name}`]({name}.md) | {text(line)} |" for name, (_, line) in
            COMMANDS.items()]  # fmt: skip
    return "\n".join(["# Commands", "", "| command | |", "|---|---|", *rows, ""])


def command_page(name: str) -> str:
    """Return the page of a command: what its `--help` prints, as Markdown."""
    command = group.get_command(None, name)
    context = command.make_context(f"mlmfast {name}", [], resilient_parsing=True)
    parts = [f"# mlmfast {name}", text(inspect.cleandoc(command.help or ""))]
    example = getattr(command, "example", "")
    if example:
        parts += ["## Examples", fenced("bash", inspect.cleandoc(example))]
    parts += ["## Usage", fenced("text", command.get_usage(context).removeprefix("Usage: "))]
    parts += ["## Options", options_table(command, context)]
    if command.epilog:
        parts.append(text(inspect.cleandoc(command.epilog)))
    if any(parameter.name == "list_arguments" for parameter in command.params):
        listed = CliRunner().invoke(command, ["--list-arguments"])
        parts += ["## All arguments", fenced("text", listed.stdout)]
    return "\n\n".join(parts) + "\n"


def options_table(command: click.Command, context: click.Context) -> str:
    """Return a table of the options, as the command itself describes them."""
    rows = [
        f"| `{names}` | {text(meaning)} |"
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option)
        for names, meaning in filter(None, [parameter.get_help_record(context)])
    ]
    return "\n".join(["| option | |", "|---|---|", *rows])


def fenced(language: str, content: str) -> str:
    """Return a block of code."""
    return f"```{language}\n{content.strip()}\n```"


def text(line: str) -> str:
    """Return plain text as Markdown: only its `code` is markup."""
    pieces = line.replace("\b\n", "").split("`")
    pieces[::2] = [
        html.escape(piece, quote=False).replace("*", r"\*").replace("_", r"\_")
        for piece in pieces[::2]
    ]
    return "`".join(pieces)

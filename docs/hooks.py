"""What mkdocs takes into the documentation site: the repository's pages, and those made here.

A page for each command is made from the command itself, and one for each public name from its
docstring, whenever the site is built.
"""

from __future__ import annotations

import html
import inspect
from itertools import chain
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
    "serving": "Answers",
    "client": "Client",
    "vocabulary": "Vocabulary",
}
# Every error has its place on one page, so that the others can name it.
ERRORS = """::: mlmfast.errors
    options:
        show_root_toc_entry: false
"""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the generated pages to the navigation."""
    commands = [{name: f"commands/{name}.md"} for name in COMMANDS]
    config.nav.append({"Commands": ["commands/index.md", *commands]})
    api: list[dict] = [
        {title: [{name: f"api/{name}.md"} for name in names]}
        for title, names in public_names().items()
    ]
    api.append({"Errors": "api/errors.md"})
    config.nav.append({"Python API": api})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Give the repository's pages and the generated ones, beside the files of the theme."""
    for file in list(files):
        if file.src_dir == config.docs_dir:  # comes below, under its path in the repository
            files.remove(file)
    published = {path for pattern in PUBLISHED for path in ROOT.glob(pattern)}
    for path in sorted(published):
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    made = {"commands/index.md": commands_page()}
    made |= {f"commands/{name}.md": command_page(name) for name in COMMANDS}
    for name in chain.from_iterable(public_names().values()):
        made[f"api/{name}.md"] = api_page(name)
    made["api/errors.md"] = ERRORS
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def public_names() -> dict[str, list[str]]:
    """Return the public names under the title of the stage that their code belongs to."""
    names: dict[str, list[str]] = {title: [] for title in STAGES.values()}
    for name in mlmfast.__all__:
        package = getattr(mlmfast, name).__module__.split(".")[1]
        if package != "errors":  # they share a page
            names[STAGES[package]].append(name)
    return names


def api_page(name: str) -> str:
    """Return the page of a public name, for mkdocstrings to fill in."""
    page = f"::: mlmfast.{name}\n"
    signature = getattr(getattr(mlmfast, name), "__signature__", None)
    if signature is None:
        return page
    # Made when the module is imported, so that it is not in the source, which mkdocstrings reads.
    options = "    options:\n      show_root_heading: false\n      show_signature: false\n"
    return f"# mlmfast.{name}\n\n{fenced('python', call_of(name, signature))}\n\n{page}{options}"


def call_of(name: str, signature: inspect.Signature) -> str:
    """Return a signature in the form of a call, one parameter on a line."""
    lines = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in lines:
            lines.append("*")
        has_default = parameter.default is not parameter.empty
        default = f" = {parameter.default!r}" if has_default else ""
        lines.append(f"{parameter.name}: {parameter.annotation}{default}")
    listed = "".join(f"    {line},\n" for line in lines)
    return f"{name}(\n{listed}) -> {signature.return_annotation}"


def commands_page() -> str:
    """Return the table of all commands."""
    rows = [f"| [`mlmfast {name}`]({name}.md) | {text(line)} |" for name, (_, line) in
            COMMANDS.items()]  # fmt: skip
    return "\n".join(["# Commands", "", "| command | description |", "|---|---|", *rows, ""])


def command_page(name: str) -> str:
    """Return the page of a command: what its `--help` prints, as Markdown."""
    command = group.get_command(None, name)
    parts = [command_part(name, command)]
    if isinstance(command, click.Group):  # a page holds the commands of a group
        parts += [command_part(f"{name} {each}", one) for each, one in command.commands.items()]
    return "\n\n".join(parts) + "\n"


def command_part(name: str, command: click.Command) -> str:
    """Return one command: its help, its examples and its options."""
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
    return "\n\n".join(parts)


def options_table(command: click.Command, context: click.Context) -> str:
    """Return a table of the options, as the command itself describes them."""
    rows = [
        f"| `{names}` | {text(meaning)} |"
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option)
        for names, meaning in filter(None, [parameter.get_help_record(context)])
    ]
    return "\n".join(["| option | description |", "|---|---|", *rows])


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

"""``fingerpost policy docs`` and ``schema``: what is generated from a policy, and from its language."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from routing.cli.policy_cases import Folder, load

_NAMES = ("playbook.md", "playbook.html")


def docs(
    folder: Folder,
    to: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE|FOLDER", help="A file that ends with .md or .html, or a folder for both."),
    ] = None,
    day: Annotated[
        str, typer.Option("--date", metavar="DAY", help="The day to show, as 2026-11-22; without it none is shown.")
    ] = "",
) -> None:
    """Writes the policy as a playbook for people who never open its files: Markdown, and one HTML page.

    Without --out, prints the Markdown. The same policy makes the same bytes.

    Exit codes: 0 written; 2 the policy cannot be used, or the file cannot be written.
    """
    from rules.docs.html import html
    from rules.docs.markdown import markdown
    from rules.docs.playbook import playbook

    page = playbook(load(folder), day)
    if to is None:
        typer.echo(markdown(page), nl=False)
        return
    files = [to] if to.suffix in (".md", ".html") else [to / name for name in _NAMES]
    write({path: (html if path.suffix == ".html" else markdown)(page) for path in files})


def write(files: dict[Path, str]) -> None:
    """Writes generated files and names them. Makes their folders. Exits with 2 where one cannot be written."""
    from routing.cli.output import problem

    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            problem(f"{path} cannot be written: {error.strerror}.")
            raise typer.Exit(2) from None
        typer.echo(f"{path} written.")


def schema(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="A policy with record kinds or systems of your own, to be known as well."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The folder to write into; without it, prints them.")
    ] = None,
) -> None:
    """Writes a JSON schema of each YAML file: editors then complete keys and underline wrong ones.

    An editor with the YAML language server takes the one that a line '# yaml-language-server: $schema=PATH' names.

    Exit codes: 0 written; 2 the policy cannot be used, or a file cannot be written.
    """
    import json

    from rules.schema.generate import schemas

    policy = load(folder) if folder is not None else None
    kinds = policy.entities if policy is not None else {}
    made = schemas(kinds, [system for one in kinds.values() for system in one.remote])
    if to is None:
        typer.echo(json.dumps(made, indent=1))
        return
    texts = {name.replace(".yaml", ".json"): json.dumps(one, indent=1) + "\n" for name, one in made.items()}
    write({to / name: text for name, text in texts.items()})

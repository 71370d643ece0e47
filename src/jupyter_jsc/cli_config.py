# SPDX-License-Identifier: BSD-3-Clause
"""``jupyter-jsc config``: what operators do with a configuration. Mounted by :mod:`.cli`.

Exit code 1: the configuration has mistakes, which are all named. Exit code 2: the command cannot be done as it was given.
"""

import asyncio
import contextlib
import json
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text as Styled

from jupyter_jsc import log
from jupyter_jsc.config import diff as differences
from jupyter_jsc.config import load
from jupyter_jsc.config import schema as schemas
from jupyter_jsc.config.base import Language
from jupyter_jsc.config.mistakes import ConfigurationRefused, Mistake
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.errors import JSCError

app = typer.Typer(help="Check, compare, try and publish the configuration of a portal.", no_args_is_help=True)

MISTAKES, USAGE = 1, 2

Folder = Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of YAML files.", metavar="DIR")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


class Spoken(StrEnum):
    """A language of the portal."""

    EN = "en"
    DE = "de"


@app.command()
def check(folder: Folder, as_json: AsJson = False) -> None:
    """Say everything that is wrong with a configuration, and nothing if it is right."""
    found: Sequence[Mistake] = ()
    try:
        load.load(folder)
    except ConfigurationRefused as error:
        found = error.mistakes
    if as_json:
        _print_json([mistake.document() for mistake in found])
    elif found:
        _print_mistakes(found, _console())
    if found:
        raise typer.Exit(MISTAKES)


@app.command()
def diff(
    before: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="What is, or was, in force.", metavar="A")
    ],
    after: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="What comes after it.", metavar="B")],
    as_json: AsJson = False,
) -> None:
    """Say what changes for whom from A to B: two folders, or versions in the folder that `sync` publishes into."""
    with _told():
        changes = differences.diff(_loaded(before), _loaded(after))
    if as_json:
        _print_json([change.document() for change in changes])
        return
    console = _console()
    scope = None
    for change in changes:
        if change.scope != scope:
            console.print(Styled(f"For the group {change.scope}" if change.scope else "For everybody", style="bold"))
            scope = change.scope
        console.print(Styled(f"  {change.sentence}"))
    if not changes:
        console.print("Nothing changes.")


@app.command()
def show(
    folder: Folder,
    user_file: Annotated[
        Path, typer.Option("--as", exists=True, dir_okay=False, help="Who asks, as above.", metavar="USER.json")
    ],
    language: Annotated[Spoken, typer.Option(help="The language of the centre's texts.")] = Spoken.EN,
    as_json: AsJson = False,
) -> None:
    """Show what a user would be offered now, and why not the rest.

    USER.json says what the identity provider tells of the user; all but `user` may be left out:

    {"user": "carla@example.org", "accounts": ["train07,jusuf,training2620,carla@example.org"],
    "entitlements": ["urn:geant:example.org:group:guest"], "authenticator": "[aai.saml]", "admin": false, "group": null}
    """
    from jupyter_jsc import cli_show  # the rules of rights are of no use to the other commands

    with _told():
        configuration = _loaded(folder)
        shown = cli_show.shown(load.load_file(cli_show.User, user_file), configuration)
    spoken: Language = "de" if language is Spoken.DE else "en"
    if as_json:
        _print_json(cli_show.document(shown, spoken))
    else:
        for part in cli_show.rendered(shown, configuration, spoken):
            _console().print(part)


@app.command()
def schema(
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="File to write; without it the schema is printed.")
    ] = None,
) -> None:
    """Print a JSON Schema by which editors complete and check the files of a configuration."""
    text = schemas.document()
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, "utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{out} cannot be written: {error.strerror}.", param_hint="--out") from error


def _file(name: str, help_: str) -> Any:
    return typer.Option(name, exists=True, dir_okay=False, help=help_, metavar="FILE", rich_help_panel="Credentials")


@app.command()
def sync(
    repo: Annotated[
        str, typer.Option(help="The repository: a path, file://, ssh://, user@host:path or https://.", metavar="URL")
    ],
    into: Annotated[
        Path,
        typer.Option(file_okay=False, help="Folder to publish into; services read `current` in it.", metavar="DIR"),
    ],
    branch: Annotated[str, typer.Option(help="The branch that is in force.")] = "main",
    once: Annotated[bool, typer.Option("--once", help="Publish the newest commit and end.")] = False,
    interval: Annotated[
        float, typer.Option(help="Seconds between two looks at a repository elsewhere.", min=1, max=86400, metavar="S")
    ] = 60.0,
    listen: Annotated[
        str | None, typer.Option(help="Where to answer /health, /metrics and the webhook.", metavar="HOST:PORT")
    ] = None,
    webhook_secret: Annotated[
        Path | None, _file("--webhook-secret", "What GitHub signs its webhooks with, or GitLab sends as token.")
    ] = None,
    callers: Annotated[
        Path | None, _file("--callers", "YAML: who else may call the webhook, name: SHA-256 of the token.")
    ] = None,
    ssh_key: Annotated[Path | None, _file("--ssh-key", "Private key for ssh.")] = None,
    known_hosts: Annotated[Path | None, _file("--known-hosts", "Host keys that ssh believes.")] = None,
    credentials: Annotated[
        Path | None, _file("--credentials", "For https: one line https://user:password@host.")
    ] = None,
    ca_file: Annotated[
        Path | None, _file("--ca-file", "PEM of the authority that signed the server's certificate.")
    ] = None,
) -> None:
    """Publish the newest good commit of a branch, once or for ever.

    A commit with mistakes is not published: the version before it stays in force, and DIR/refused.txt says why.
    A repository on this machine is followed at once; others when a webhook tells, else at the interval.
    """
    from jupyter_jsc import configsync  # the other commands need no HTTP

    host, port = _address(listen)
    try:
        settings = configsync.SyncSettings(
            repo=repo,
            branch=branch,
            into=into,
            once=once,
            interval_s=interval,
            host=host,
            port=port,
            webhook_secret_file=webhook_secret,
            callers_file=callers,
            ssh_key_file=ssh_key,
            known_hosts_file=known_hosts,
            credentials_file=credentials,
            ca_file=ca_file,
        )
    except ValidationError as error:
        raise typer.BadParameter(error.errors(include_input=False)[0]["msg"]) from error
    log.configure("config-sync")
    with _told():
        asyncio.run(configsync.run(settings))


def _address(listen: str | None) -> tuple[str, int | None]:
    if listen is None:
        return "127.0.0.1", None
    host, _, port = listen.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
        raise typer.BadParameter(f"{listen!r} is no HOST:PORT, e.g. 127.0.0.1:8005.", param_hint="--listen")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _loaded(folder: Path) -> Configuration:
    """Load what is in *folder*; its mistakes name the folder too, for there may be another."""
    try:
        return load.load(folder)
    except ConfigurationRefused as error:
        raise ConfigurationRefused.of([_inside(folder, mistake) for mistake in error.mistakes]) from error


def _inside(folder: Path, mistake: Mistake) -> Mistake:
    file = str(folder / mistake.file)
    return Mistake(**(mistake.document() | {"file": file}))


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """End the command with what is wrong, in sentences."""
    console = Console(stderr=True, highlight=False)
    try:
        yield
    except ConfigurationRefused as error:
        _print_mistakes(error.mistakes, console)
        raise typer.Exit(MISTAKES) from error
    except JSCError as error:
        console.print(Styled(error.message), soft_wrap=True)
        raise typer.Exit(USAGE) from error


def _console() -> Console:
    return Console(highlight=False)


def _print_mistakes(found: Sequence[Mistake], console: Console) -> None:
    for mistake in found:
        place = ":".join(filter(None, [mistake.file, str(mistake.line or "")]))
        head = Styled(place, style="bold")
        head.append(f"  {mistake.path}" if mistake.path else "", style="cyan")
        console.print(head, soft_wrap=True)
        console.print(Styled(f"    {mistake.message}"), soft_wrap=not console.is_terminal)
        rows = ("value", mistake.value), ("allowed", mistake.allowed), ("perhaps", mistake.suggestion)
        for name, value in rows:
            if value:
                console.print(Styled(f"    {name + ':':9} {value}", style="dim"), soft_wrap=not console.is_terminal)
    many = "1 mistake" if len(found) == 1 else f"{len(found)} mistakes"
    console.print(Styled(f"{many}.", style="bold red"))


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))

# SPDX-License-Identifier: BSD-3-Clause
"""The composition root: each command reads its settings, builds its objects and runs one process.

``jupyter-jsc demo`` starts everything on this machine; the other commands are the processes of a deployment.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from fastapi import FastAPI

from jupyter_jsc import cli_config, errors, log
from jupyter_jsc.config import load, settings
from jupyter_jsc.config.current import Current
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.systems import System, SystemKind

app = typer.Typer(help="The portal that starts JupyterLab on every system of a computing centre.", no_args_is_help=True)
app.add_typer(cli_config.app, name="config")

SettingsFile = Annotated[
    Path, typer.Option("--settings", exists=True, dir_okay=False, help="YAML file of this process.")
]


@app.callback()
def _main() -> None:
    """Keep sub-commands even if there is only one."""


@app.command()
def unicoremgr(settings_file: SettingsFile) -> None:
    """Run UnicoreMgr: starts, polls and stops labs on HPC systems through UNICORE."""
    from jupyter_jsc.manager import app as manager  # each process loads only what it runs
    from jupyter_jsc.sites import unicore

    log.configure("unicoremgr")
    own = load.load_file(settings.ManagerSettings, settings_file)
    if not own.public_url:
        raise errors.InvalidRequest("public_url: UnicoreMgr needs it, so that sites reach it.", field="public_url")

    def driver(name: str, system: System, configuration: Configuration) -> unicore.UnicoreSite:
        return unicore.UnicoreSite(name, system, configuration, own.public_url)

    _serve(manager.create_app(Current(own.configuration), own, {SystemKind.UNICORE: driver}), own)


@app.command()
def k8smgr(settings_file: SettingsFile) -> None:
    """Run K8sMgr: starts, polls and stops labs in a Kubernetes cluster."""
    from jupyter_jsc.manager import app as manager
    from jupyter_jsc.sites import kubernetes

    log.configure("k8smgr")
    own = load.load_file(settings.K8sMgrSettings, settings_file)
    access = asyncio.run(kubernetes.access(own.kubeconfig))

    def driver(name: str, system: System, configuration: Configuration) -> kubernetes.KubernetesSite:
        return kubernetes.KubernetesSite(name, system, configuration, access)

    _serve(manager.create_app(Current(own.configuration), own, {SystemKind.KUBERNETES: driver}), own)


@app.command()
def tunnelmgr(
    settings_file: SettingsFile,
    stop_masters: Annotated[
        bool, typer.Option("--stop-masters", help="End the SSH masters at exit; by default they outlive TunnelMgr.")
    ] = False,
) -> None:
    """Run TunnelMgr: owns the SSH connections to the jump hosts and the endpoints of labs."""
    from jupyter_jsc.tunnelmgr import app as tunnels
    from jupyter_jsc.tunnelmgr import masters

    log.configure("tunnelmgr")
    own = load.load_file(settings.TunnelMgrSettings, settings_file)
    _serve(tunnels.create_app(Current(own.configuration), own), own)
    if stop_masters:
        asyncio.run(masters.terminate_all(own.runtime_dir))


@app.command()
def dashboard(settings_file: SettingsFile) -> None:
    """Run the dashboard: systems, labs, starts, tunnels and failures, for operators and support."""
    from jupyter_jsc.dashboard import app as pages

    log.configure("dashboard")
    own = load.load_file(settings.DashboardSettings, settings_file)
    _serve(pages.create_app(Current(own.configuration), own), own)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the demo keeps labs, settings and logs.")] = Path(".demo"),
    port: Annotated[
        int, typer.Option(help="Port of the portal; 0: the last one, or a free one.", min=0, max=65535)
    ] = 0,
    queue_delay_s: Annotated[
        float, typer.Option("--queue-delay", help="Seconds that a job waits at least.", min=0)
    ] = 3.0,
    token_s: Annotated[int, typer.Option("--token-life", help="Life of access tokens in seconds.", min=20)] = 300,
) -> None:
    """Run the whole system on this machine with an embedded demo world, until Ctrl-C."""
    from jupyter_jsc.demo import run

    try:
        code = asyncio.run(
            run.run(
                folder.absolute(), port=port, queue_delay_s=queue_delay_s, token_s=token_s, environ=dict(os.environ)
            )
        )
    except errors.JSCError as error:
        print(error.message, file=sys.stderr)
        code = 1
    raise typer.Exit(code)


@app.command(hidden=True)
def demo_world(settings_file: SettingsFile) -> None:
    """Run the demo world: identity provider, UNICORE sites, login nodes."""
    from jupyter_jsc.demo import world

    log.configure("demo-world")
    asyncio.run(world.run(load.load_file(world.WorldSettings, settings_file)))


def _serve(application: FastAPI, own: settings.Listening) -> None:
    uvicorn.run(
        application,
        host=own.host,
        port=own.port,
        ssl_certfile=own.certificate_file,
        ssl_keyfile=own.key_file,
        log_config=None,
        access_log=False,
        server_header=False,
        # Longer than the proxy and our clients keep an idle connection, so that none sends into one that just closed.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )


def main() -> None:
    """Run the command line; errors of ours end it with their sentence instead of a traceback."""
    try:
        app()
    except errors.JSCError as error:
        print(error.message, file=sys.stderr)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()

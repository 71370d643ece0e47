# SPDX-License-Identifier: BSD-3-Clause
"""The demo world in one process: identity provider, UNICORE sites with login nodes, and a cluster with SSH services.

A site runs the jobs of one HPC system here, the Kubernetes cluster the pods of all systems in the cloud. Started by
:mod:`.run` as ``jupyter-jsc demo-world``; ends all jobs and pods when it ends. It reads the configuration once: a system or
queue that is added later is there after the next start.
"""

import asyncio
import contextlib
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.applications import Starlette

from jupyter_jsc.config import load
from jupyter_jsc.config.base import Section
from jupyter_jsc.demo import centre, cloud, identity, login, software, unicore


class WorldSettings(Section):
    """What the world must know; written by :mod:`.folder`."""

    configuration: Path
    """Folder of the configuration."""
    python: str
    """What ``python3`` is on the nodes: an interpreter with JupyterLab."""
    identity_port: int
    client_secret: SecretStr
    cluster_token: SecretStr
    """What the Kubernetes API knows K8sMgr by."""
    callback_url: str
    token_s: int
    """Life of access tokens, seconds."""
    logins: Path
    """File in which the provider keeps its logins over a restart."""
    queue_delay_s: float
    """How long a batch job waits at least, seconds."""
    scratch: Path
    """Where jobs run and homes lie."""
    keys: Path
    """Folder with the SSH keys."""
    ports: dict[str, int]


async def run(settings: WorldSettings) -> None:
    """Run everything until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    configuration = load.load(settings.configuration.resolve())
    programs = software.install(settings.scratch, settings.python, configuration)
    sites, clouds = centre.sites(configuration).values(), centre.clouds(configuration).values()
    cluster = cloud.create(settings.scratch / "cluster", settings.cluster_token, clouds, programs)
    servers = [_server(_identity(settings), settings.identity_port)]
    servers += [_server(_site(site, programs, settings), settings.ports[site.key]) for site in sites]
    servers.append(_server(cluster.app, settings.ports["kubernetes"]))
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        for site in sites:
            for host in site.login_nodes:
                await stack.enter_async_context(_login_node(site, host, settings))
        for one in clouds:
            await stack.enter_async_context(cloud.ssh_service(one, cluster, settings.ports, settings.keys))
        for server in servers:
            tasks.create_task(server.serve())
        await stop.wait()
        cluster.end_watches()
        for server in servers:
            server.should_exit = True


def _identity(settings: WorldSettings) -> FastAPI:
    return identity.create_identity_provider(
        identity.IdentitySettings(
            issuer_base=f"http://localhost:{settings.identity_port}",
            client_id="portal",
            client_secret=settings.client_secret.get_secret_value(),
            redirect_uris=(settings.callback_url,),
            access_token_s=settings.token_s,
            memory=settings.logins,
        )
    )


def _site(site: centre.Site, programs: software.Software, settings: WorldSettings) -> FastAPI:
    return unicore.create_site(
        unicore.SiteSettings(
            name=site.name,
            base_url=f"http://127.0.0.1:{settings.ports[site.key]}/{site.name}",
            scratch=settings.scratch / site.key,
            userinfo_url=f"http://localhost:{settings.identity_port}/oauth2/userinfo",
            account_keys=site.account_keys,
            partitions=tuple(
                unicore.DemoPartition(queue.name, nodes=queue.nodes, gpus=queue.gpus, runtime_s=queue.minutes * 60)
                for queue in site.queues
            ),
            nodes=_nodes(site.compute_nodes),
            login_nodes=_nodes((*site.login_nodes, *site.special_nodes)),
            queue_delay_s=settings.queue_delay_s,
            path=programs.path,
            environment=programs.environment,
            reservations=site.reservations,
        )
    )


def _nodes(hosts: Iterable[centre.Host]) -> tuple[unicore.Node, ...]:
    return tuple(unicore.Node(host.name, host.address) for host in hosts)


def _login_node(site: centre.Site, host: centre.Host, settings: WorldSettings) -> login.LoginNode:
    return login.LoginNode(
        host.address,
        settings.ports[f"{site.key}-{host.name}"],
        host_key=(settings.keys / host.name).read_bytes(),
        authorized_key=(settings.keys / "tunnelmgr.pub").read_text("ascii"),
        resolve=login.nodes({node.name: node.address for node in site.nodes}),
    )


class _Server(uvicorn.Server):
    """A server among several in one process: signals are the world's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: Starlette, port: int) -> uvicorn.Server:
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_config=None, access_log=False, timeout_graceful_shutdown=3
    )
    return _Server(config)

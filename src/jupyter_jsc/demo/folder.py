# SPDX-License-Identifier: BSD-3-Clause
"""The demo's folder: ports, secrets, configuration and settings of every process, written before any starts.

Called by :mod:`.run`. What a user would lose stays from run to run: the database of labs, the logins, the encryption
key, the port of the portal, the commits in the configuration's repository (:mod:`.worktree`).
"""

import asyncio
import contextlib
import fcntl
import json
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from jupyter_jsc.config import load
from jupyter_jsc.config.mistakes import ConfigurationRefused
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.repository import Remote
from jupyter_jsc.config.sync import Sync
from jupyter_jsc.demo import centre, login, worktree
from jupyter_jsc.errors import Conflict
from jupyter_jsc.service import token_hash

PORTS = ("portal", "proxy_api", "hub", "tunnelmgr", "unicoremgr", "k8smgr", "kubernetes", "identity", "dashboard")
REPOSITORY, PUBLISHED = "configuration-repo", "configuration"
TUNNEL_PORTS = range(20000, 30000, 500)


@dataclass(frozen=True)
class Folder:
    """Where everything of one demo lies, and which ports it uses.

    ``ports`` goes by the names in :data:`PORTS`, of the systems, and ``<system>-<login node>``.
    """

    path: Path
    ports: Mapping[str, int]
    tunnel_ports: tuple[int, int]
    environment: Mapping[str, str] = field(repr=False)
    """What the hub and the proxy need as environment."""

    def file(self, name: str) -> Path:
        """Return the path of a file in the folder."""
        return self.path / name

    @property
    def repository(self) -> Path:
        """The working tree of the configuration, for the user to edit and commit."""
        return self.file(REPOSITORY)

    @property
    def published(self) -> Path:
        """Where the configuration is published to; ``current`` in it leads to the version in force."""
        return self.file(PUBLISHED)

    @property
    def address(self) -> str:
        """The portal's address, with a slash at the end."""
        return f"http://localhost:{self.ports['portal']}/"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the folder for this process; :class:`Conflict` if another demo runs in it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (path / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict(f"Another demo runs in {path}. Stop it, or choose another folder with --folder.") from error
        yield


async def prepare(path: Path, *, port: int, queue_delay_s: float, token_s: int, python: str) -> Folder:
    """Write all files of the demo into *path* and return where things are; the configuration is published.

    Raises :class:`NotFound` if git or the example centre is missing, :class:`ConfigurationRefused` or
    :class:`Conflict` if what the user did in the repository keeps the demo from starting.
    """
    for name in ("logs", "run", "site", "keys"):
        (path / name).mkdir(mode=0o700, exist_ok=True)
    await asyncio.to_thread(worktree.ensure, path / REPOSITORY)
    configuration = await _published(path)
    sites, clouds = centre.sites(configuration), centre.clouds(configuration)
    nodes = [node.name for site in sites.values() for node in site.login_nodes]
    names = [*PORTS, *sites, *(f"{site.key}-{node.name}" for site in sites.values() for node in site.login_nodes)]
    names += [name for cloud in clouds.values() for name in cloud.ports]
    ports = _choose_ports(path / "ports.json", port, names)
    tokens = {name: _secret(path / "keys" / name) for name in _TOKENS}
    folder = Folder(
        path,
        ports,
        _tunnel_ports(ports["tunnels"]),
        {
            "JUPYTERHUB_CRYPT_KEY": _secret(path / "keys" / "crypt"),
            "CONFIGPROXY_AUTH_TOKEN": tokens["proxy"],
        },
    )
    ours = worktree.addresses(folder.repository)
    host_keys = _ssh_keys(path / "keys", [*nodes, *(cloud.ssh.name for cloud in clouds.values())])
    if (tree := centre.addresses(ours, {**sites, **clouds}, ports, host_keys)) != ours:
        await asyncio.to_thread(worktree.commit_addresses, folder.repository, tree)
        await _published(path, newest=True)
    _write_services(folder, tokens)
    _write_world(folder, tokens, queue_delay_s=queue_delay_s, token_s=token_s, python=python)
    _write_hub(folder)
    return folder


async def _published(path: Path, *, newest: bool = False) -> Configuration:
    """Publish the newest commit; return what is in force: an earlier one if that is refused, unless *newest* is asked for."""
    sync = Sync(Remote(str(path / REPOSITORY), worktree.BRANCH), path / PUBLISHED)
    with sync.held():
        outcome = await sync.update()
    if outcome.mistakes and (newest or sync.in_force is None):
        raise ConfigurationRefused.of(outcome.mistakes)
    return load.load((path / PUBLISHED / "current").resolve())


_TOKENS = (
    *("proxy", "hub-to-unicoremgr", "hub-to-k8smgr", "hub-to-tunnelmgr", "unicoremgr-to-hub", "oauth-client"),
    *("k8smgr-to-hub", "k8smgr-to-kubernetes"),
    *("dashboard-to-hub", "dashboard-to-unicoremgr", "dashboard-to-k8smgr", "dashboard-to-tunnelmgr"),
)


def _secret(path: Path) -> str:
    if not path.exists():
        _write(path, secrets.token_hex(32))
    return path.read_text("ascii")


def _write(path: Path, content: str | bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _write_yaml(path: Path, tree: object) -> None:
    _write(path, yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))


def _choose_ports(path: Path, portal: int, names: Sequence[str]) -> dict[str, int]:
    """Return the ports of the last run if all are free, else free ones; the kernel chooses."""
    try:
        last: dict[str, int] = json.loads(path.read_text("ascii"))
    except (OSError, ValueError):
        last = {}
    wanted = {name: last.get(name, 0) for name in names}
    if portal:
        wanted["portal"] = portal
    with contextlib.ExitStack() as stack:
        chosen = {
            name: _bindable(stack, number, required=bool(portal) and name == "portal")
            for name, number in wanted.items()
        }
    used = last.get("tunnels", 0)
    chosen["tunnels"] = used if used in TUNNEL_PORTS else secrets.choice(TUNNEL_PORTS)
    _write(path, json.dumps(chosen, indent=1))
    return chosen


def _bindable(stack: contextlib.ExitStack, number: int, *, required: bool) -> int:
    probe = stack.enter_context(socket.socket())
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", number))
    except OSError as error:
        if required:
            raise Conflict(f"Port {number} is taken. Choose another one with --port.") from error
        probe.bind(("127.0.0.1", 0))
    return int(probe.getsockname()[1])


def _tunnel_ports(first: int) -> tuple[int, int]:
    return first, first + TUNNEL_PORTS.step - 1


def _ssh_keys(keys: Path, jump_hosts: Sequence[str]) -> dict[str, str]:
    """Return the public key line by name: ``tunnelmgr``, and one host key for each jump host."""
    names = ["tunnelmgr", *jump_hosts]
    for name in names:
        if not (keys / f"{name}.pub").exists():
            private, public = login.generate_key()
            _write(keys / name, private)
            _write(keys / f"{name}.pub", public)
    return {name: (keys / f"{name}.pub").read_text("ascii").strip() for name in names}


def _local(folder: Folder, name: str) -> str:
    return f"http://127.0.0.1:{folder.ports[name]}"


def _write_services(folder: Folder, tokens: Mapping[str, str]) -> None:
    keys, configuration = folder.file("keys"), str(folder.published / "current")
    for service in ("unicoremgr", "k8smgr", "tunnelmgr"):
        callers = {"demo": f"hub-to-{service}", "dashboard": f"dashboard-to-{service}"}
        hashes = {name: token_hash(tokens[token]) for name, token in callers.items()}
        _write_yaml(folder.file(f"{service}-callers.yaml"), hashes)
    common = {"host": "127.0.0.1", "configuration": configuration}
    tunnels = {
        "port": folder.ports["tunnelmgr"],
        "callers_file": str(folder.file("tunnelmgr-callers.yaml")),
        "database": str(folder.file("tunnels.sqlite")),
        "runtime_dir": str(folder.file("run")),
        "identity_file": str(keys / "tunnelmgr"),
        "hub_address": f"127.0.0.1:{folder.ports['hub']}",
        "first_port": folder.tunnel_ports[0],
        "last_port": folder.tunnel_ports[1],
    }
    hub = {
        "configuration": configuration,
        "manager_token_files": {name: str(keys / f"hub-to-{name}") for name in ("unicoremgr", "k8smgr")},
        "tunnelmgr_token_file": str(keys / "hub-to-tunnelmgr"),
        "poll_interval_s": 5.0,
    }
    dashboard = {
        "port": folder.ports["dashboard"],
        "hub_api_url": f"{_local(folder, 'hub')}/hub/api",
        "hub_token_file": str(keys / "dashboard-to-hub"),
        "manager_token_files": {name: str(keys / f"dashboard-to-{name}") for name in ("unicoremgr", "k8smgr")},
        "tunnelmgr_token_file": str(keys / "dashboard-to-tunnelmgr"),
    }
    _write_yaml(folder.file("dashboard.yaml"), common | dashboard)
    unicore = {"public_url": _local(folder, "unicoremgr")}
    kubernetes = {"name": centre.K8SMGR, "kubeconfig": str(folder.file("kubeconfig"))}
    _write_yaml(folder.file("unicoremgr.yaml"), common | _manager(folder, "unicoremgr") | unicore)
    _write_yaml(folder.file("k8smgr.yaml"), common | _manager(folder, "k8smgr") | kubernetes)
    _write_yaml(folder.file("kubeconfig"), _kubeconfig(_local(folder, "kubernetes"), tokens["k8smgr-to-kubernetes"]))
    _write_yaml(folder.file("tunnelmgr.yaml"), common | tunnels)
    _write_yaml(folder.file("hub.yaml"), hub)


def _manager(folder: Folder, name: str) -> dict[str, Any]:
    """Return what every manager's settings say."""
    token_file = str(folder.file("keys") / f"{name}-to-hub")
    return {
        "port": folder.ports[name],
        "callers_file": str(folder.file(f"{name}-callers.yaml")),
        "hubs": {"demo": {"api_url": f"{_local(folder, 'hub')}/hub/api", "token_file": token_file}},
    }


def _kubeconfig(server: str, token: str) -> dict[str, Any]:
    name = "demo"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def _write_world(folder: Folder, tokens: Mapping[str, str], *, queue_delay_s: float, token_s: int, python: str) -> None:
    tree: dict[str, Any] = {
        "configuration": str(folder.published / "current"),
        "python": python,
        "identity_port": folder.ports["identity"],
        "client_secret": tokens["oauth-client"],
        "cluster_token": tokens["k8smgr-to-kubernetes"],
        "callback_url": f"{folder.address}hub/oauth_callback",
        "token_s": token_s,
        "logins": str(folder.file("logins.json")),
        "queue_delay_s": queue_delay_s,
        "scratch": str(folder.file("site")),
        "keys": str(folder.file("keys")),
        "ports": dict(folder.ports),
    }
    _write_yaml(folder.file("world.yaml"), tree)


_HUB_CONFIG = '''\
"""JupyterHub's configuration of the demo, written anew at each start."""
from pathlib import Path

from jupyter_jsc.hub.configure import Dashboard, configure

folder = Path({folder!r})
identity = {identity!r}
configure(
    c,
    settings_file=folder / "hub.yaml",
    manager_tokens={{name: (folder / f"keys/{{name}}-to-hub").read_text() for name in ("unicoremgr", "k8smgr")}},
    dashboard=Dashboard({dashboard!r}, (folder / "keys/dashboard-to-hub").read_text()),
)
c.JupyterHub.bind_url = {bind_url!r}
c.JupyterHub.hub_bind_url = {hub_url!r}
c.JupyterHub.hub_connect_url = {hub_url!r}
c.JupyterHub.db_url = "sqlite:///" + str(folder / "hub.sqlite")
c.JupyterHub.cookie_secret_file = str(folder / "keys/cookie")
c.JupyterHub.pid_file = ""
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = {proxy_api!r}
c.LabAuthenticator.client_id = "portal"
c.LabAuthenticator.client_secret = (folder / "keys/oauth-client").read_text()
c.LabAuthenticator.oauth_callback_url = {callback!r}
c.LabAuthenticator.authorize_url = identity + "/oauth2-as/oauth2-authz"
c.LabAuthenticator.token_url = identity + "/oauth2/token"
c.LabAuthenticator.userdata_url = identity + "/oauth2/userinfo"
c.LabAuthenticator.revoke_url = identity + "/oauth2/revoke"
c.LabAuthenticator.scope = {scope!r}
c.LabAuthenticator.admin_users = {{"oscar"}}
c.LabAuthenticator.allow_all = True
'''


def _write_hub(folder: Folder) -> None:
    values = {
        "folder": str(folder.path),
        "identity": f"http://localhost:{folder.ports['identity']}",
        "bind_url": folder.address.replace("localhost", "127.0.0.1"),
        "hub_url": _local(folder, "hub"),
        "proxy_api": _local(folder, "proxy_api"),
        "dashboard": _local(folder, "dashboard"),
        "callback": f"{folder.address}hub/oauth_callback",
        "scope": [
            *("openid", "profile", "username", "hpc_infos", "eduperson_entitlement", "authenticator", "single-logout")
        ],
    }
    _write(folder.file("jupyterhub_config.py"), _HUB_CONFIG.format(**values))

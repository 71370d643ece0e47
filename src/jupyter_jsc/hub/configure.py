# SPDX-License-Identifier: BSD-3-Clause
"""JupyterHub set up for our authenticator, spawner, handlers and pages.

Called from a deployment's ``jupyterhub_config.py``, which then sets what is its own: addresses, database,
the identity provider's client. Everything here is a public option of JupyterHub 6.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parent / "templates"
LAB_SCOPE = "custom:jsc:lab"
NOTICE_SCOPE = "custom:jsc:notice"
ACCOUNTS_SCOPE = "custom:jsc:accounts"
OPERATE_SCOPE = "custom:jsc:operate"
DASHBOARD = "dashboard"
"""Name of the dashboard among the hub's services, and so in its address."""
OPERATORS = "operators"
"""The hub's group whose members may use the dashboard; administrators may anyhow."""

_ACCOUNTS = "accounts"
"""Name of the service that pushes account lists."""


@dataclass(frozen=True)
class Dashboard:
    """Where the dashboard listens, as the proxy reaches it, and its token of the hub."""

    url: str
    token: str = field(repr=False)


def configure(
    c: Any,
    *,
    settings_file: Path,
    manager_tokens: Mapping[str, str],
    accounts_token: str | None = None,
    dashboard: Dashboard | None = None,
) -> None:
    """Set on the traitlets configuration *c* what jupyter-jsc needs.

    *settings_file* holds a :class:`~jupyter_jsc.config.settings.HubSettings`; *manager_tokens* the token by
    which the hub knows each manager (at most 64 characters, JupyterHub keeps only a hash); *accounts_token* that of
    the operators' service that pushes account lists, if there is one; *dashboard* where the dashboard runs, if it does.
    """
    c.JupyterHub.authenticator_class = "jupyter_jsc.hub.authenticator.LabAuthenticator"
    c.JupyterHub.spawner_class = "jupyter_jsc.hub.spawner.LabSpawner"
    c.LabAuthenticator.settings_file = str(settings_file)
    c.JupyterHub.template_paths = [str(TEMPLATES)]
    c.JupyterHub.default_url = "/hub/home"
    c.JupyterHub.redirect_to_server = False
    c.JupyterHub.allow_named_servers = True
    c.JupyterHub.cleanup_servers = False
    c.JupyterHub.cleanup_proxy = False
    # Labs that the hub finds in its database are waited for in the background: one may be queued for hours.
    c.JupyterHub.init_spawners_timeout = 1
    # A start waits in the site's queue for hours; neither limit may hold up others or a page.
    c.JupyterHub.concurrent_spawn_limit = 0
    c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
    c.JupyterHub.custom_scopes = {
        LAB_SCOPE: {"description": "Post events of one's own lab."},
        NOTICE_SCOPE: {"description": "Pass on that a site spoke of a start."},
        ACCOUNTS_SCOPE: {"description": "Push the lists of users' HPC accounts."},
        OPERATE_SCOPE: {"description": "Read labs, starts and failures of all users."},
    }
    c.JupyterHub.services = [{"name": name, "api_token": token} for name, token in manager_tokens.items()]
    c.JupyterHub.load_roles = [
        {
            "name": "jsc-manager",
            "description": "Managers pass on what sites say of labs.",
            "scopes": [NOTICE_SCOPE],
            "services": list(manager_tokens),
        }
    ]
    if accounts_token is not None:
        c.JupyterHub.services.append({"name": _ACCOUNTS, "api_token": accounts_token})
        c.JupyterHub.load_roles.append(
            {
                "name": "jsc-accounts",
                "description": "An operators' service pushes the lists of users' HPC accounts.",
                "scopes": [ACCOUNTS_SCOPE],
                "services": [_ACCOUNTS],
            }
        )
    if dashboard is not None:
        _add_dashboard(c, dashboard)
    # A lab's token may carry the scope only if its owner holds it.
    c.JupyterHub.extra_user_scopes = {f"{LAB_SCOPE}!user"}


def _add_dashboard(c: Any, dashboard: Dashboard) -> None:
    c.JupyterHub.services.append(
        {
            "name": DASHBOARD,
            "url": dashboard.url,
            "api_token": dashboard.token,
            "oauth_no_confirm": True,
            # So long a dashboard that is not there holds up the hub's start.
            "timeout": 1,
        }
    )
    c.JupyterHub.load_roles += [
        {
            "name": "jsc-dashboard",
            "description": "The dashboard reads labs, starts and failures of all users.",
            "scopes": [OPERATE_SCOPE],
            "services": [DASHBOARD],
        },
        {
            "name": "jsc-operators",
            "description": "Operators and support use the dashboard.",
            "scopes": [f"access:services!service={DASHBOARD}"],
            "groups": [OPERATORS],
        },
    ]

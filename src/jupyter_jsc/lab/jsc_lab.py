# SPDX-License-Identifier: BSD-3-Clause
"""Runs a lab's server, and is its extension: answers of kernels leave at once, not delayed by Nagle's algorithm.

Jupyter Server leaves Nagle on, so that the second small frame of an answer waits for the client's delayed
acknowledgement: 44 ms for each request. Travels with the job beside ``launcher.py``, which starts it.
"""

import importlib.util
import os
import sys
from typing import Any

OURS = "jupyter_server_config.d/jsc_lab.json"
"""Marks the launcher's folder of configuration, wherever that is."""


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """Called by Jupyter Server to learn what this module extends."""
    return [{"module": "jsc_lab"}]


def _load_jupyter_server_extension(serverapp: Any) -> None:
    """Called by Jupyter Server once; kernel websockets that are opened afterwards have TCP_NODELAY.

    The class that serves a kernel's websocket is a public setting of the server, so that whatever a user or
    a site has chosen (a gateway, for instance) is kept and only wrapped.
    """
    settings = serverapp.web_app.settings
    settings["kernel_websocket_connection_class"] = without_delay(settings["kernel_websocket_connection_class"])


async def _start_jupyter_server_extension(serverapp: Any) -> None:  # noqa: ARG001  called by Jupyter Server
    """Called once all extensions are loaded: only then has JupyterLab, too, read its configuration."""
    leave_environment()


def without_delay(connection_class: Any) -> Any:
    """Return a subclass of a kernel's websocket connection that sets TCP_NODELAY when it connects."""

    class WithoutDelay(connection_class):  # type: ignore[misc]
        async def connect(self) -> Any:
            self.websocket_handler.set_nodelay(True)
            return await super().connect()

    WithoutDelay.__name__ = connection_class.__name__  # its traits are configured by this name
    return WithoutDelay


def leave_environment() -> None:
    """Take the launcher's folder out of the configuration path that kernels and terminals inherit; the server has read it."""
    parts = os.environ.pop("JUPYTER_CONFIG_PATH", "").split(os.pathsep)
    if kept := [part for part in parts if part and not os.path.isfile(f"{part}/{OURS}")]:  # noqa: PTH113  False also where it may not look
        os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(kept)


def check_python() -> None:
    """Do nothing if this Python has what the server needs, else end with a line that says what to do."""
    if missing := [name for name in ("jupyterhub", "jupyterlab") if importlib.util.find_spec(name) is None]:
        remedy = "Install them there (pip install jupyterhub jupyterlab), or load an environment that has them."
        sys.exit(f"jupyter-jsc: failed: {sys.executable} lacks {' and '.join(missing)}. {remedy}")


if __name__ == "__main__":
    check_python()
    from jupyterhub.singleuser import main

    main()

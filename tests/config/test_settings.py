# SPDX-License-Identifier: BSD-3-Clause
"""Settings of one process: complete, in range, or refused with the field's name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from jupyter_jsc.config import load, settings
from jupyter_jsc.errors import InvalidRequest

SERVICE = {"port": 8001, "configuration": "/etc/jsc", "callers_file": "/etc/jsc/callers.yaml"}
MANAGER = SERVICE | {
    "hubs": {"demo": {"api_url": "https://portal/hub/api", "token_file": "/etc/jsc/hub-token"}},
}
TUNNELMGR = SERVICE | {
    "database": "/var/lib/jsc/tunnels.sqlite",
    "runtime_dir": "/run/jsc",
    "identity_file": "/etc/jsc/id",
    "first_port": 20000,
    "last_port": 29999,
}
HUB = {"configuration": "/etc/jsc", "manager_token_files": {"unicoremgr": "/t"}, "tunnelmgr_token_file": "/t"}
ALL = [(settings.ManagerSettings, MANAGER), (settings.TunnelMgrSettings, TUNNELMGR), (settings.HubSettings, HUB)]


def read(folder: Path, model: type[Any], tree: object) -> Any:
    (folder / "own.yaml").write_text(yaml.safe_dump(tree))
    return load.load_file(model, folder / "own.yaml")


@pytest.mark.parametrize(("model", "tree"), ALL)
def test_complete_settings_are_read(tmp_path: Path, model: type[Any], tree: dict[str, Any]) -> None:
    """What is needed is enough; the rest has defaults. Services listen on loopback unless told otherwise."""
    own = read(tmp_path, model, tree)
    assert own.configuration == Path("/etc/jsc")
    assert getattr(own, "host", "127.0.0.1") == "127.0.0.1"


@pytest.mark.parametrize(("model", "tree"), ALL)
def test_each_missing_or_misspelt_setting_is_named(tmp_path: Path, model: type[Any], tree: dict[str, Any]) -> None:
    """All at once, with their names."""
    with pytest.raises(InvalidRequest) as caught:
        read(tmp_path, model, {"hots": "127.0.0.1"})
    assert [name for name in ["hots", *tree] if f"{name}: " not in caught.value.message] == []


@pytest.mark.parametrize(
    ("model", "tree", "change", "said"),
    [
        (settings.ManagerSettings, MANAGER, {"port": 0}, "port"),
        (settings.ManagerSettings, MANAGER, {"port": 70000}, "port"),
        (settings.ManagerSettings, MANAGER, {"hubs": {"de mo": MANAGER["hubs"]["demo"]}}, "hubs"),
        (
            settings.ManagerSettings,
            MANAGER,
            {"certificate_file": "/tls.crt"},
            "certificate_file and key_file go together",
        ),
        (settings.TunnelMgrSettings, TUNNELMGR, {"key_file": "/tls.key"}, "certificate_file and key_file go together"),
        (settings.TunnelMgrSettings, TUNNELMGR, {"first_port": 80}, "first_port"),
        (settings.TunnelMgrSettings, TUNNELMGR, {"first_port": 30000}, "first_port 30000 is above last_port 29999"),
        (settings.HubSettings, HUB, {"poll_interval_s": 0}, "poll_interval_s"),
    ],
)
def test_values_out_of_range_are_refused(
    tmp_path: Path, model: type[Any], tree: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    """The mistake names the field."""
    with pytest.raises(InvalidRequest, match=said):
        read(tmp_path, model, tree | change)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A wrong path is a sentence, no traceback."""
    with pytest.raises(InvalidRequest, match=r"own\.yaml"):
        load.load_file(settings.HubSettings, tmp_path / "own.yaml")


def test_a_mistake_has_its_line(tmp_path: Path) -> None:
    """Settings are checked as thoroughly as the configuration."""
    (tmp_path / "own.yaml").write_text("configuration: /etc/jsc\nmanager_token_files: {}\npoll_interval: 5\n")
    with pytest.raises(InvalidRequest) as caught:
        load.load_file(settings.HubSettings, tmp_path / "own.yaml")
    assert caught.value.message.split("\n")[1:] == [
        "  own.yaml: tunnelmgr_token_file: `tunnelmgr_token_file` is missing. Allowed: the path of a file or folder.",
        "  own.yaml:3: poll_interval: There is no key `poll_interval` here. "
        "Allowed: configuration, manager_token_files, tunnelmgr_token_file, poll_interval_s. "
        "Did you mean poll_interval_s?",
    ]

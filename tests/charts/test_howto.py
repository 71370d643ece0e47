# SPDX-License-Identifier: BSD-3-Clause
"""The how-to's own values and configuration work as they stand there, and fit each other."""

import re
from pathlib import Path

import pytest
import yaml

from jupyter_jsc.config import load
from tests.charts.helm import NAMESPACE, Tree, needed, one, rendered
from tests.config import small

PAGE = Path(__file__).parents[2] / "docs/how-to/kubernetes-cluster.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIPbq/iK1DfSYwUnF1yqK64JOrr7YSPjxdhBxGWoSm+IA"


def block(first: str) -> Tree:
    """The one block of YAML whose first key is this."""
    (text,) = [text for text in BLOCKS if text.startswith(first)]
    tree: Tree = yaml.safe_load(text.replace("AAAA…", KEY))
    return tree


@pytest.fixture
def values(tmp_path: Path) -> Path:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(block("images:")))
    return path


def test_configuration_passes_the_check(tmp_path: Path) -> None:
    """The portal takes the system, its jump host and its option beside what it has."""
    portal = small.tree()
    for part, content in block("managers:").items():
        portal[part] |= content
    (tmp_path / "portal.yaml").write_text(yaml.safe_dump(portal))
    assert load.load(tmp_path).systems["cloud"].kubernetes


@needed
def test_chart_and_configuration_name_the_same(values: Path) -> None:
    """Namespace, manager, ports and the address of the JHub forward are the same on both sides."""
    objects, configuration = rendered(values), block("managers:")
    system = configuration["systems"]["cloud"]
    jump_host = system["jump_hosts"]["cloud-ssh"]
    assert one(objects, "Namespace", system["kubernetes"]["namespace"])
    own = yaml.safe_load(one(objects, "ConfigMap", "k8smgr")["data"]["k8smgr.yaml"])
    assert [own["name"]] == list(configuration["managers"])
    assert one(objects, "Service", "ssh")["spec"]["ports"][0]["port"] == jump_host["port"]
    (forward,) = one(objects, "Service", "jhub")["spec"]["ports"]
    assert forward["port"] == jump_host["hub_forward"]["listen_port"]
    assert system["hub_urls"] == [f"http://jhub.{NAMESPACE}.svc:{forward['port']}"]
    sshd = one(objects, "ConfigMap", "ssh")["data"]["sshd_config"]
    listen = f"{jump_host['hub_forward']['listen_host']}:{jump_host['hub_forward']['listen_port']}"
    assert f"PermitListen {listen}\n" in sshd
    assert f"AllowUsers {jump_host['user']}\n" in sshd
    host = one(objects, "Ingress", "k8smgr")["spec"]["rules"][0]["host"]
    assert configuration["managers"]["k8smgr"]["url"] == f"https://{host}"


@needed
def test_secrets_are_those_that_are_made(values: Path) -> None:
    """Every Secret that a pod mounts is made by a command of the page, with the entries that are read."""
    text = PAGE.read_text("utf-8")
    made = set(re.findall(r"create secret (?:generic|tls) (\S+)", text))
    mounted = {
        volume["secret"]["secretName"]
        for tree in rendered(values)
        if tree["kind"] == "Deployment"
        for volume in tree["spec"]["template"]["spec"]["volumes"]
        if "secret" in volume
    }
    assert mounted - made == {"ssh-authorized"}
    for entry in ("callers.yaml", "jsc.token=", "ssh_host_ed25519_key", "ssh-key=", "known_hosts"):
        assert f"--from-file={entry}" in text

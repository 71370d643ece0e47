# SPDX-License-Identifier: BSD-3-Clause
"""A folder → a configuration, or everything that is wrong with it, with places."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyter_jsc.config import load
from jupyter_jsc.demo import centre
from jupyter_jsc.errors import InvalidRequest

HOST_KEY = "ssh-ed25519 AAAA"


def tree() -> dict[str, Any]:
    """The demo's configuration as plain data."""
    systems = {
        name: site.system(
            "http://127.0.0.1:1/X/rest/core", dict.fromkeys(nodes(site), 22), dict.fromkeys(nodes(site), HOST_KEY)
        )
        for name, site in centre.SITES.items()
    }
    return centre.portal("http://127.0.0.1:2", "http://127.0.0.1:3", "python3") | {"systems": systems}


def nodes(site: centre.Centre) -> list[str]:
    return [node.name for node in site.login_nodes]


def write(folder: Path, **files: object) -> None:
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(content if isinstance(content, str) else yaml.safe_dump(content))


def mistakes(folder: Path) -> str:
    with pytest.raises(InvalidRequest) as error:
        load.load(folder)
    return error.value.message


def test_files_are_merged_at_the_top_level(tmp_path: Path) -> None:
    """Operators split the configuration as they like."""
    whole = tree()
    write(tmp_path, systems={"systems": whole.pop("systems")}, rest=whole)
    assert set(load.load(tmp_path).systems) == {"juwels", "jureca"}


def test_a_key_in_two_files_is_a_mistake(tmp_path: Path) -> None:
    """No file overrides another silently."""
    write(tmp_path, a=tree(), b={"hub": "other"})
    assert "'hub' stands in a.yaml already" in mistakes(tmp_path)


def test_an_empty_folder_is_a_mistake(tmp_path: Path) -> None:
    """A wrong path is not an empty portal."""
    assert "no *.yaml file" in mistakes(tmp_path)


@pytest.mark.parametrize("content", ["a: [", "- a", "\t", "a: &x [*x]", "1: 2", b"\xff\xfe".decode("latin-1")])
def test_a_file_that_is_no_mapping_is_named(tmp_path: Path, content: str) -> None:
    """Broken YAML gives the file and the place, never a traceback."""
    write(tmp_path, portal=tree(), broken=content)
    assert "broken" in mistakes(tmp_path) or "a:" in mistakes(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.update(colour="blue"), "colour"),
        (lambda t: t["systems"]["juwels"].update(manager="nobody"), "systems.juwels.manager: 'nobody' is none of"),
        (lambda t: t["systems"]["juwels"]["account_keys"].update(x=["nope"]), "systems.juwels.account_keys.x: 'nope'"),
        (
            lambda t: t["options"]["jupyterlab-4.6"].update(systems=["juqueen"]),
            "options.jupyterlab-4.6.systems: 'juqueen'",
        ),
        (
            lambda t: t["systems"]["juwels"]["partitions"]["batch"]["resources"]["nodes"].update(default=99),
            "default 99 is not between",
        ),
        (
            lambda t: t["systems"]["juwels"]["partitions"]["batch"]["resources"].update(
                memory={"label": "GB", "minimum": 1, "maximum": 2, "default": 1}
            ),
            "systems.juwels.partitions.batch: Value error, resources ['memory'] need `unicore`",
        ),
        (
            lambda t: t["systems"]["juwels"]["partitions"]["login"].update(
                resources=t["systems"]["juwels"]["partitions"]["batch"]["resources"]
            ),
            "an interactive partition has no resources",
        ),
        (lambda t: t.pop("hub"), "hub"),
        (lambda t: t["systems"]["juwels"]["unicore"].update(url="not a url"), "systems.juwels.unicore.url"),
        (lambda t: t["systems"]["juwels"].update(lab_hosts=[]), "systems.juwels.lab_hosts"),
    ],
)
def test_a_mistake_is_named_with_its_path(tmp_path: Path, change: Any, said: str) -> None:
    """Operators find the line at once."""
    broken = tree()
    change(broken)
    write(tmp_path, portal=broken)
    assert said in mistakes(tmp_path)


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    """Two mistakes take one round, not two."""
    broken = tree() | {"colour": "blue", "shape": "round"}
    write(tmp_path, portal=broken)
    assert "colour" in mistakes(tmp_path)
    assert "shape" in mistakes(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_a_sentence(tmp_path: Path, content: bytes) -> None:
    """No file content raises anything but our error."""
    (tmp_path / "portal.yaml").write_bytes(content)
    with pytest.raises(InvalidRequest):
        load.load(tmp_path)

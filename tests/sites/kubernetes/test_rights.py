# SPDX-License-Identifier: BSD-3-Clause
"""What the driver needs in a cluster is what the chart grants and what it uses, no more and no less."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from jupyter_jsc.demo.kubernetes import User
from jupyter_jsc.errors import SiteRefused
from jupyter_jsc.sites.kubernetes import rights
from tests.sites.kubernetes.conftest import TOKEN, Make, reference, start_lab, until_state

ROLE = Path(__file__).parents[3] / "charts/k8smgr/templates/manager/rights.yaml"
ALL = [{"apiGroups": [""], "resources": [name], "verbs": list(verbs)} for name, verbs in rights.NEEDED.items()]


def granted_by_chart() -> list[dict[str, Any]]:
    """The rules of the chart's Role, which hold nothing that is templated."""
    text = ROLE.read_text().split("rules:\n", 1)[1].split("---", 1)[0]
    return yaml.safe_load(text)


def test_the_chart_grants_what_is_needed_and_no_more() -> None:
    """Both name the same verbs of the same resources."""
    by_resource = {name: set(rule["verbs"]) for rule in granted_by_chart() for name in rule["resources"]}
    assert by_resource == {name: set(verbs) for name, verbs in rights.NEEDED.items()}
    assert {group for rule in granted_by_chart() for group in rule["apiGroups"]} == {""}


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        (ALL, []),
        ([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}], []),
        (ALL[1:], [f"{verb} pods" for verb in rights.NEEDED["pods"]]),
        ([*ALL[1:], ALL[0] | {"resourceNames": ["x"]}], [f"{verb} pods" for verb in rights.NEEDED["pods"]]),
        ([*ALL[:1], *ALL[2:]], ["get pods/log"]),
        ([*ALL[1:], ALL[0] | {"apiGroups": ["apps"]}], [f"{verb} pods" for verb in rights.NEEDED["pods"]]),
        ([*ALL[1:], {"verbs": None}], [f"{verb} pods" for verb in rights.NEEDED["pods"]]),
    ],
)
def test_missing_rights_are_named(rules: list[dict[str, Any]], missing: list[str]) -> None:
    """A rule for other groups or for some objects only is none."""
    assert list(rights.lacking(rules)) == missing
    assert all(right in rights.sentence("CLOUD", missing) for right in missing)


async def test_the_whole_life_of_labs_uses_just_these(make: Make) -> None:
    """With no other right a lab starts, is told of, shows its log, is refused, restarted and stopped; each right is used."""
    granted = {name: frozenset(verbs) for name, verbs in rights.NEEDED.items()}
    async with make(tokens={TOKEN: User("k8smgr", granted)}) as place, place.driver() as driver:
        first, second = start_lab(), start_lab()
        for lab in (first, second, second):
            await driver.start(lab, None)
        await until_state(driver, reference(second), "running")
        await driver.log(reference(second))
        [claim] = place.objects("persistentvolumeclaims")
        other = {**claim, "spec": {**claim["spec"], "accessModes": ["ReadWriteMany"]}}
        place.put("persistentvolumeclaims", claim["metadata"]["name"], other)
        third = start_lab(resources={"cpus": 1, "memory": 1, "home": 1, "runtime": 1})
        await driver.start(third, None)
        place.cluster.faults.webhook = "no"
        with pytest.raises(SiteRefused):
            await driver.start(start_lab("bob"), None)
        await driver.stop(reference(third))
        async with asyncio.timeout(60):
            while len(place.objects()) > 1:
                await asyncio.sleep(0.01)
        used = {(verb, name) for verb, name in place.cluster.requests if name in rights.NEEDED}
        needed = {(verb, name) for name, verbs in rights.NEEDED.items() for verb in verbs}
        # What is applied and new is a create, too: the server asks for both rights and counts one request.
        assert used | {("create", "services"), ("create", "persistentvolumeclaims")} == needed

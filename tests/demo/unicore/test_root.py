# SPDX-License-Identifier: BSD-3-Clause
"""The root resource and the factory."""

from typing import Any


async def test_root(client: Any) -> None:
    """Client, server and links as the real server gives them; ``fields`` cuts down."""
    root = await client.get("")
    assert root["client"] == {
        "role": {"selected": "user", "availableRoles": ["user"]},
        "authenticationMethod": "OAUTH",
        "dn": "UID=alice@example.org",
        "xlogin": {"UID": "alice1", "availableGroups": ["proj1", "proj2"], "availableUIDs": ["alice1", "alice2"]},
    }
    assert (
        root["server"]["siteName"],
        root["server"]["version"],
        root["server"]["externalConnections"]["TSI 1"],
    ) == ("DEMO", "11.0.1", "OK")
    assert f"{client.site.settings.core}/jobs" == root["_links"]["jobs"]["href"]
    assert {"client"} == (await client.get("?fields=client")).keys()


async def test_anonymous_client(client: Any) -> None:
    """Without a credential no method is said; an unmapped user has one."""
    nobody = (await client.as_(None).get(""))["client"]
    assert nobody == {"role": {"selected": "anonymous"}, "dn": "CN=ANONYMOUS,O=UNKNOWN,OU=UNKNOWN", "xlogin": {}}
    nora = (await client.as_("tok-nora").get(""))["client"]
    assert (
        nora["authenticationMethod"],
        nora["role"]["availableRoles"],
        nora["xlogin"],
    ) == ("OAUTH", ["anonymous"], {})


async def test_factory(client: Any) -> None:
    """The partitions with their ranges, GPUs only where there are some; anybody may read it."""
    nobody = client.as_(None)
    (url,) = (await nobody.get("/factories"))["factories"]
    resources = (await nobody.get(url))["resources"]
    assert (
        resources["batch"]["Nodes"],
        resources["batch"]["Runtime"],
        "GPUS" in resources["batch"],
    ) == ("1-3", "1-3600", False)
    assert resources["gpu"]["GPUS"] == "0-4"

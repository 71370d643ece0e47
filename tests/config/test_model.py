# SPDX-License-Identifier: BSD-3-Clause
"""Where labs may listen: the second line behind the job's allocation."""

import pytest

from jupyter_jsc.config.systems import System
from tests.config import full


def system(*lab_hosts: str) -> System:
    return System.model_validate(full.tree()["systems"]["juwels"] | {"lab_hosts": list(lab_hosts)})


@pytest.mark.parametrize(
    ("host", "patterns", "allowed"),
    [
        ("jwc01", ["jwc[0-9]*"], True),
        ("JWC01", ["jwc[0-9]*"], True),
        ("jwc", ["jwc[0-9]*"], False),
        ("jwc01.evil.org", ["jwc[0-9]*"], False),
        ("jwc01.cluster.org", ["jwc*.cluster.org"], True),
        ("evil.jwc01", ["jwc[0-9]*"], False),
        ("localhost", ["jwc*"], False),
        ("127.0.0.1", ["jwc*"], False),
        ("10.1.2.3", ["10.1.0.0/16"], True),
        ("10.2.2.3", ["10.1.0.0/16"], False),
        ("jwc01", ["10.1.0.0/16"], False),
        ("10.1.0.0.evil.org", ["10.1.0.0/16"], False),
        ("::ffff:10.1.2.3", ["10.1.0.0/16"], False),
        ("2001:db8::1", ["2001:db8::/32"], True),
        ("169.254.169.254", ["jwc*", "10.0.0.0/8"], False),
        ("", ["jwc*"], False),
    ],
)
def test_allows_host(host: str, patterns: list[str], allowed: bool) -> None:
    """Names match patterns, addresses match networks, and neither matches the other."""
    assert system(*patterns).allows_host(host) is allowed

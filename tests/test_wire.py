# SPDX-License-Identifier: BSD-3-Clause
"""The messages: tolerant to newer partners, strict where a value leads to a connection, silent about secrets."""

import pytest
from pydantic import SecretStr, ValidationError

from jupyter_jsc import names, wire

LAB, START = names.lab_id("h", "u", "s"), names.new_start_id()


def test_fields_of_a_newer_partner_are_ignored() -> None:
    """An older manager goes on working beside a newer hub."""
    state = wire.LabState.model_validate({"state": "running", "mood": "good"})
    assert state == wire.LabState(state=wire.State.RUNNING)


def test_options_with_an_extra_key_are_refused() -> None:
    """What a user sends is exactly what the form can say."""
    with pytest.raises(ValidationError, match="colour"):
        wire.Options.model_validate({"system": "juwels", "option": "lab", "colour": "blue"})


@pytest.mark.parametrize("port", [0, 80, 1023, 65536, 70000, -1, "8888", 8888.5, None])
def test_a_target_has_a_port_above_1023(port: object) -> None:
    """Ports of system services and nonsense are refused at the door."""
    with pytest.raises(ValidationError, match="port"):
        wire.LabStarted.model_validate({"host": "jwc01", "port": port})


@pytest.mark.parametrize("host", ["", "-oProxyCommand=x", "a b", "a/b", "a\nb", "$(id)", "ä", "a" * 254])
def test_a_target_has_a_host_name(host: str) -> None:
    """What is no host name or address never reaches ssh."""
    with pytest.raises(ValidationError, match="host"):
        wire.LabStarted.model_validate({"host": host, "port": 8888})


def test_secrets_do_not_show() -> None:
    """Neither repr nor JSON of a message holds a credential."""
    lab = wire.LabRef(lab_id=LAB, start_id=START, system="juwels", credential=SecretStr("tell-nobody"))
    assert "tell-nobody" not in repr(lab) + lab.model_dump_json()

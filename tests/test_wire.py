# SPDX-License-Identifier: BSD-3-Clause
"""The messages: tolerant of what is new, strict in what is dangerous, silent about secrets."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, ValidationError

from jupyter_jsc import names, wire

LAB = names.lab_id("demo", "alice", "lab")
START = "s" + "a" * 16
SECRET = "eyJhbGciOi.secret.signature"
OPTIONS = {"system": "juwels", "option": "jupyterlab-4.6", "resources": {"nodes": 1}}
START_LAB = {
    "lab_id": LAB,
    "start_id": START,
    "hub": "demo",
    "user": "alice",
    "options": OPTIONS,
    "env": {"LANG": "C"},
    "secrets": {"JUPYTERHUB_API_TOKEN": SECRET},
    "events_url": "http://hub/events",
    "started_url": "http://hub/started",
}
TUNNEL = {"start_id": START, "system": "juwels", "host": "jwc01", "port": 40000}
MESSAGES: list[tuple[type[wire.Message], dict[str, Any]]] = [
    (wire.Handle, {"url": "https://site/jobs/1"}),
    (wire.LabRef, {"lab_id": LAB, "start_id": START, "system": "juwels"}),
    (wire.StartLab, START_LAB),
    (wire.StartAnswer, {"handle": {"url": "u"}}),
    (wire.LabState, {"state": "running"}),
    (wire.PollRequest, {"labs": []}),
    (wire.PollAnswer, {"states": {START: {"state": "unknown"}}}),
    (wire.SystemHealth, {"available": True}),
    (wire.Event, {"code": "lab_starting"}),
    (wire.SiteNotice, {"code": "running"}),
    (wire.LabStarted, {"host": "jwc01", "port": 40000}),
    (wire.OpenTunnel, TUNNEL),
    (wire.Tunnel, TUNNEL | {"lab_id": LAB, "endpoint_host": "127.0.0.1", "endpoint_port": 20001}),
    (wire.JumpHostInfo, {"name": "jwl01", "system": "juwels", "state": "open", "connected": True, "tunnels": 3}),
    (wire.JumpHostChange, {"state": "draining"}),
    (wire.Readiness, {"ready": True}),
]


@pytest.mark.parametrize(("model", "body"), MESSAGES)
def test_unknown_fields_are_ignored_and_messages_come_back(model: type[wire.Message], body: dict[str, Any]):
    """A newer partner may say more; what we understand survives a round trip."""
    message = model.model_validate(body)

    assert model.model_validate(body | {"a_new_field": {"of": "tomorrow"}}) == message
    assert model.model_validate_json(message.model_dump_json().replace("**********", SECRET)) == message


@pytest.mark.parametrize(("model", "body"), MESSAGES)
def test_messages_cannot_be_changed(model: type[wire.Message], body: dict[str, Any]):
    """A message that was checked stays what it was."""
    message = model.model_validate(body)
    with pytest.raises(ValidationError):
        setattr(message, next(iter(body)), None)


def test_options_take_no_unknown_field():
    """What a user asks for and we would ignore is a mistake."""
    with pytest.raises(ValidationError, match="gpus"):
        wire.Options.model_validate(OPTIONS | {"gpus": 4})


@pytest.mark.parametrize("value", ["4", 4.0, True, None, [4]])
def test_resources_are_numbers(value: object):
    """A string that looks like a number is none."""
    with pytest.raises(ValidationError):
        wire.Options.model_validate(OPTIONS | {"resources": {"nodes": value}})


@pytest.mark.parametrize(
    "message",
    [
        wire.StartLab.model_validate(START_LAB),
        wire.LabRef(lab_id=LAB, start_id=START, system="juwels", credential=SecretStr(SECRET)),
        wire.StartAnswer(handle=wire.Handle(url="u"), site_token=SecretStr(SECRET)),
    ],
)
def test_secrets_are_not_shown(message: BaseModel):
    """Neither representation nor JSON of a message holds its secrets."""
    assert SECRET not in f"{message!r} {message} {message.model_dump()} {message.model_dump_json()}"


@pytest.mark.parametrize("port", [0, 1, 80, 1023, 65536, 70000, -1, "40000", 40000.0, True, None])
def test_ports_of_labs(port: object):
    """Labs listen on unprivileged ports; whatever else a launcher claims is refused."""
    with pytest.raises(ValidationError):
        wire.LabStarted.model_validate({"host": "jwc01", "port": port})


@pytest.mark.parametrize(
    "host", ["", " ", "-o ProxyCommand", "a b", "a;b", "a\nb", "a/b", "user@host", "$(x)", "*", "x" * 254, None, 1]
)
def test_host_names(host: object):
    """Nothing that a command line, a URL or a log would read as more than a name."""
    with pytest.raises(ValidationError):
        wire.LabStarted.model_validate({"host": host, "port": 40000})


@pytest.mark.parametrize("host", ["jwc01", "jwc01.juwels", "10.0.0.1", "fd00::1", "JWC01"])
def test_host_names_that_are_fine(host: str):
    """Names and addresses."""
    assert wire.LabStarted(host=host, port=40000).host == host


@pytest.mark.parametrize(
    "lab_id", ["", "lab", LAB.upper(), LAB + "a", LAB[:-1], f" {LAB}", f"{LAB}\n", "lab-" + "1" * 26, None]
)
def test_lab_ids(lab_id: object):
    """Only what :func:`names.lab_id` makes."""
    with pytest.raises(ValidationError):
        wire.LabRef.model_validate({"lab_id": lab_id, "start_id": START, "system": "juwels"})


@given(st.text(max_size=30))
def test_start_ids(start_id: str):
    """Only what :func:`names.new_start_id` makes."""
    valid = names.START_ID.fullmatch(start_id) is not None
    try:
        wire.LabRef(lab_id=LAB, start_id=start_id, system="juwels")
    except ValidationError:
        assert not valid
    else:
        assert valid


@pytest.mark.parametrize("code", ["", "Running", "a b", "1", "a" * 65, "x\n"])
def test_codes_of_events(code: str):
    """Codes are words for machines."""
    with pytest.raises(ValidationError):
        wire.Event(code=code)


@pytest.mark.parametrize("change", [{"progress": -1}, {"progress": 101}, {"text": "x" * 501}, {"details": "x" * 8193}])
def test_events_are_bounded(change: dict[str, Any]):
    """A lab cannot fill the journal with one event."""
    with pytest.raises(ValidationError):
        wire.Event.model_validate({"code": "x"} | change)

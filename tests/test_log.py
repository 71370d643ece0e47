# SPDX-License-Identifier: BSD-3-Clause
"""The log: secrets are masked whatever key or text they come in."""

import pytest

from jupyter_jsc.log import mask_secrets


@pytest.mark.parametrize(
    "event",
    [
        {"access_token": "s3cr3t-value"},
        {"Authorization": "Bearer s3cr3t-value"},
        {"event": "sent Bearer s3cr3t-value to the site"},
        {"event": "header: token s3cr3t-value"},
        {"url": "http://hub/callback?code=s3cr3t-value&state=1"},
        {"line": "refresh_token=s3cr3t-value"},
        {"text": "eyJhbGciOi.s3cr3t-value.s3cr3t-value"},
        {"headers": {"Authorization": "Bearer s3cr3t-value", "Accept": "*"}},
        {"bodies": [{"inner": {"api_token": "s3cr3t-value"}}, ("token=s3cr3t-value",)]},
        {"answer": '{"id_token": "s3cr3t-value", "expires_in": 300}'},
        {"form": "grant_type=password&client_secret=s3cr3t-value&password=s3cr3t-value"},
        {"exception": "ValueError: {'refresh_token': 's3cr3t-value'}"},
    ],
    ids=lambda event: next(iter(event)),
)
def test_a_secret_is_masked(event: dict[str, str]) -> None:
    """No form in which credentials are usually written reaches the log."""
    assert "s3cr3t-value" not in str(mask_secrets(None, "info", dict(event)))


def test_the_rest_of_a_line_stays() -> None:
    """A masked line can still be read."""
    event = {"event": "started", "lab_id": "lab-x", "seconds": 3, "nodes": ["jwc01"], "detail": {"exit_code": 3}}
    assert mask_secrets(None, "info", dict(event)) == event

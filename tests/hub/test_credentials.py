# SPDX-License-Identifier: BSD-3-Clause
"""Credentials: the site's token before the user's, encrypted at rest, given up when it is refused or unreadable."""

import pytest
from jupyterhub.crypto import CryptKeeper
from pydantic import SecretStr
from traitlets.config import Config

from jupyter_jsc import names, wire
from jupyter_jsc.hub.credentials import Credentials, seal, unseal
from jupyter_jsc.hub.journal import Journal
from tests.hub.world import OPTIONS

ANSWER = wire.StartAnswer(handle=wire.Handle(url="job"), site_token=SecretStr("of-the-site"))


@pytest.fixture(autouse=True)
def keys():
    """Keys of the hub, as its environment gives them."""
    CryptKeeper.clear_instance()
    keeper = CryptKeeper.instance(config=Config())
    keeper.keys = ["ab" * 32]
    yield keeper
    keeper.executor.shutdown()
    CryptKeeper.clear_instance()


@pytest.fixture
def journal(tmp_path):
    opened = Journal(f"sqlite:///{tmp_path}/hub.sqlite")
    opened.open()
    yield opened
    opened.close()


async def _of_user(name, *, refused=None):
    return SecretStr(f"of-{name}")


async def _start(journal, **change):
    lab_id = names.lab_id("t", "ann", "x")
    return await journal.open_start(names.new_start_id(), lab_id, "ann", "x", OPTIONS | change)


async def test_the_sites_token_comes_before_the_users(journal):
    """Until the site gave one, and after it refuses it, a start acts with the user's fresh token."""
    credentials, start = Credentials(journal, _of_user), await _start(journal)
    seen = [await credentials.of(start)]
    await credentials.keep(start.start_id, ANSWER)
    seen.append(await credentials.of(start))
    refused = [await credentials.refused(start.start_id) for _ in range(2)]
    seen.append(await credentials.of(start))

    assert ["of-ann", "of-the-site", "of-ann"] == [token.get_secret_value() for token in seen]
    assert [True, False] == refused
    assert await journal.secret(start.start_id) is None


async def test_without_an_account_no_credential_leaves_the_hub(journal):
    """A cluster gets to see nothing of the user's login, and nobody is asked for it."""

    async def nobody(name, *, refused=None):
        raise AssertionError("a token was asked for")

    credentials, start = Credentials(journal, nobody), await _start(journal, account=None)

    assert await credentials.of(start) is None
    assert await credentials.of_user(start) is None


async def test_the_sites_token_outlives_the_process_encrypted(journal):
    """Another process with the hub's keys reads it from the journal; the database alone tells nothing."""
    start = await _start(journal)
    await Credentials(journal, _of_user).keep(start.start_id, ANSWER)

    assert "of-the-site" == (await Credentials(journal, _of_user).of(start)).get_secret_value()
    assert b"of-the-site" not in await journal.secret(start.start_id)
    assert "job" == journal.known(start.start_id).handle


async def test_a_token_under_a_lost_key_is_no_token(journal, keys):
    """New keys without the old one: the user's token serves, nothing breaks."""
    start = await _start(journal)
    await Credentials(journal, _of_user).keep(start.start_id, ANSWER)
    keys.keys = ["cd" * 32]

    assert "of-ann" == (await Credentials(journal, _of_user).of(start)).get_secret_value()


async def test_rotated_keys_read_what_was_sealed_before(keys):
    """The first key writes, all keys read."""
    sealed = await seal({"token": "x"})
    keys.keys = ["cd" * 32, "ab" * 32]

    assert {"token": "x"} == await unseal(sealed)

# SPDX-License-Identifier: BSD-3-Clause
"""The configuration in force: swapped when it can be used, kept when it cannot, earlier versions at hand."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs

from jupyter_jsc.config import load
from jupyter_jsc.config.current import Current
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.errors import InvalidRequest
from tests.config import small
from tests.config.published import Published


def tree(support: str = "us", *, systems: bool = True) -> small.Tree:
    return small.tree(support=support) if systems else small.tree(support=support, systems={})


@pytest.fixture
def published(tmp_path: Path) -> Published:
    published = Published(tmp_path)
    published.publish("v1", tree("one"))
    return published


@contextlib.asynccontextmanager
async def watched(current: Current) -> AsyncIterator[asyncio.Queue[str]]:
    """The versions that *current* calls about, while it watches."""
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def changed() -> None:
        seen.put_nowait(current.version)

    watcher = asyncio.create_task(current.watch(changed))
    try:
        async with asyncio.timeout(20):
            yield seen
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)


async def test_a_new_version_is_swapped_in(published: Published) -> None:
    """Whoever holds the object sees the new version; whoever was told reads it."""
    current = Current(published.link)
    assert (current.version, current.configuration.support) == ("v1", "one")
    async with watched(current) as seen:
        published.publish("v2", tree("two"))
        assert await seen.get() == "v2"
    assert current.configuration.support == "two"


async def test_the_log_says_which_version_is_in_force(published: Published) -> None:
    """At the start and after each change, one line."""
    with capture_logs() as lines:
        async with watched(Current(published.link)) as seen:
            published.publish("v2", tree("two"))
            await seen.get()
    assert [line["version"] for line in lines if line["event"] == "configuration in force"] == ["v1", "v2"]


async def test_back_to_an_earlier_version(published: Published) -> None:
    """A revert by force is a version like any other."""
    current = Current(published.link)
    async with watched(current) as seen:
        published.publish("v2", tree("two"))
        assert await seen.get() == "v2"
        published.flip("v1")
        assert await seen.get() == "v1"
    assert current.configuration.support == "one"


async def test_a_version_that_cannot_be_used_changes_nothing(published: Published) -> None:
    """The last good one stays, the log says so once, and the next good one heals."""
    current = Current(published.link)
    with capture_logs() as lines:
        async with watched(current) as seen:
            published.publish("bad", {"hub": "demo"})
            while not any(line.get("version") == "bad" for line in lines):
                await asyncio.sleep(0.01)
            assert (current.version, current.configuration.support) == ("v1", "one")
            published.publish("v2", tree("two"))
            assert await seen.get() == "v2"
    assert sum(line.get("version") == "bad" for line in lines) == 1
    assert seen.empty()


async def test_a_version_that_could_not_be_read_is_tried_again(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that failed for a moment does not keep a good version out until the next commit."""
    monkeypatch.setattr("jupyter_jsc.config.current._AGAIN_S", 0.05)
    current = Current(published.link)
    with capture_logs() as lines:
        async with watched(current) as seen:
            published.write("v2", tree("two"))
            file = published.folder / "versions/v2/all.yaml"
            file.rename(file.with_suffix(".away"))
            published.flip("v2")
            while not any(line["event"].startswith("configuration not usable") for line in lines):
                await asyncio.sleep(0.01)
            assert current.version == "v1"
            file.with_suffix(".away").rename(file)
            assert await seen.get() == "v2"
    assert current.find("v2") is current.configuration
    assert sum(line["event"].startswith("configuration not usable") for line in lines) == 1


async def test_a_fault_in_reading_does_not_end_the_watch(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even one that nobody thought of: the last good version stays, and the next one is read."""
    current = Current(published.link)
    read, broken = load.load, asyncio.Event()

    def load_or_break(folder: Path) -> Configuration:
        if folder.name == "v2":
            broken.set()
            raise RecursionError
        return read(folder)

    monkeypatch.setattr(load, "load", load_or_break)
    async with watched(current) as seen:
        published.publish("v2", tree("two"))
        while not broken.is_set():
            await asyncio.sleep(0.01)
        published.publish("v3", tree("three"))
        assert await seen.get() == "v3"
    assert current.of("v2") is current.configuration


async def test_a_thousand_flips(published: Published) -> None:
    """However fast the link moves, what is in force is always one whole version, and in the end the last one."""
    published.write("v2", tree("two"))
    current = Current(published.link)
    supports = {"v1": "one", "v2": "two", "last": "three"}
    async with watched(current) as seen:
        for number in range(1000):
            published.flip("v2" if number % 2 else "v1")
            await asyncio.sleep(0)
            assert supports[current.version] == current.configuration.support
        published.publish("last", tree("three"))
        while await seen.get() != "last":
            pass
    assert current.configuration.support == "three"


async def test_a_folder_that_vanishes_for_a_moment(published: Published) -> None:
    """A volume that is mounted again does not end the watch."""
    current = Current(published.link)
    async with watched(current) as seen:
        away = published.folder.with_name("away")
        published.folder.rename(away)
        assert current.configuration.support == "one"
        away.rename(published.folder)
        published.publish("v2", tree("two"))
        assert await seen.get() == "v2"


async def test_a_link_into_nothing_is_waited_for(published: Published) -> None:
    """A version that is not there yet is not taken for a bad one."""
    current = Current(published.link)
    async with watched(current) as seen:
        published.flip("v2")
        await asyncio.sleep(0)
        published.write("v2", tree("two"))
        assert await seen.get() == "v2"


async def test_a_caller_that_fails_does_not_end_the_watch(published: Published) -> None:
    """What one version breaks, the next one may heal."""
    current = Current(published.link)
    calls: asyncio.Queue[str] = asyncio.Queue()

    async def changed() -> None:
        calls.put_nowait(current.version)
        raise ZeroDivisionError

    watcher = asyncio.create_task(current.watch(changed))
    async with asyncio.timeout(20):
        for version in ("v2", "v3"):
            published.publish(version, tree(version))
            assert await calls.get() == version
    watcher.cancel()
    await asyncio.gather(watcher, return_exceptions=True)


def test_an_earlier_version_is_read_from_beside(published: Published) -> None:
    """After a restart a lab still finds the version it was started with."""
    published.publish("v2", tree("two", systems=False))
    current = Current(published.link)
    assert set(current.of("v1").systems) == {"juwels"}
    assert current.of("v1") is current.of("v1")


async def test_a_version_in_use_survives_its_removal(published: Published) -> None:
    """What this process has used once does not depend on the disk any more."""
    current = Current(published.link)
    first = current.configuration
    async with watched(current) as seen:
        published.publish("v2", tree("two", systems=False))
        await seen.get()
    shutil.rmtree(published.folder / "versions" / "v1")
    assert current.of("v1") is first


@pytest.mark.parametrize(
    "version",
    ["", "v2", "gone", "bad", "../v1", "versions/v1", ".", "..", "/etc", "v\0", "a" * 65, "\u2028", "v1\n"],
    ids=repr,
)
def test_what_is_not_kept_is_the_one_in_force(published: Published, version: str) -> None:
    """A version comes from outside: whatever it is, an answer, and never a path that leads elsewhere."""
    published.write("bad", {"hub": 1})
    published.publish("v2", tree("two"))
    current = Current(published.link)
    assert current.of(version) is current.configuration


async def test_a_plain_folder_is_read_once(tmp_path: Path) -> None:
    """A folder that nobody publishes into has no other versions."""
    for name in ("plain", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "all.yaml").write_text(yaml.safe_dump(tree(name)))
    current = Current(tmp_path / "plain")
    assert current.version == "plain"
    assert current.of("other") is current.configuration


def test_without_a_usable_version_nothing_starts(tmp_path: Path) -> None:
    """The first version has no last good one to fall back to."""
    with pytest.raises(InvalidRequest):
        Current(Published(tmp_path).publish("v1", {"hub": 1}))
    with pytest.raises(InvalidRequest):
        Current(tmp_path / "nowhere")


def test_metrics_say_which_version(published: Published) -> None:
    """Whoever watches the services sees which of them has not followed."""
    current = Current(published.link)
    registry = CollectorRegistry()
    registry.register(current)
    text = generate_latest(registry).decode()
    assert 'jsc_configuration_info{version="v1"} 1.0' in text
    [since] = [line for line in text.splitlines() if line.startswith("jsc_configuration_since_seconds ")]
    assert float(since.split()[1]) == pytest.approx(current.since.timestamp())

# SPDX-License-Identifier: BSD-3-Clause
"""An operator's commit, in a real browser: the open page follows, without a reload and without losing what is typed.

Aspects: labels, limits and announcements of a good commit; a bad commit; a system that is removed while a lab runs there.
"""

import re

import pytest
from playwright.async_api import Page, expect

from bench.portal import PortalUser
from tests.browser.conftest import Visit, eventually, log_in
from tests.ring.centre import Centre, without_system
from tests.ring.system import DEEP, Ring
from tests.ring.test_start import started

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SOON_MS = 20_000


async def open_form(page: Page, ring: Ring) -> None:
    """Open the form of a new lab, choose JUWELS and its short jobs, and begin to type."""
    await log_in(page, ring, "alice")
    await page.get_by_role("link", name="New lab").first.click()
    await page.get_by_role("radio", name=re.compile("^JUWELS")).check()
    await page.get_by_role("radio", name=re.compile("^devel")).check()
    await expect(runtime(page)).to_have_attribute("max", "120")
    await page.get_by_label("Name", exact=True).fill("Half written")
    await page.evaluate("window.notReloaded = true")


def runtime(page: Page):
    """The field of the runtime."""
    return page.get_by_role("spinbutton", name=re.compile("^Runtime"))


async def as_it_was_left(page: Page) -> None:
    """The page was not reloaded, and what was typed is there."""
    assert await page.evaluate("window.notReloaded") is True
    await expect(page.get_by_label("Name", exact=True)).to_have_value("Half written")


async def test_the_open_form_follows_a_commit(visit: Visit, ring: Ring, centre: Centre) -> None:
    """A new label, a higher limit and an announcement are there; the choice and the half-written name stay."""
    async with visit() as page:
        await open_form(page, ring)
        with centre.edited("systems/juwels.yaml") as tree:
            devel = tree["systems"]["juwels"]["partitions"]["devel"]
            devel["label"] = "quick jobs"
            devel["resources"]["runtime"]["maximum"] = 240
        with centre.edited("announcements.yaml") as tree:
            tree["announcements"]["cake"] = {"title": "There is cake", "text": "In the coffee room."}
        centre.commit("Longer short jobs")
        await expect(page.get_by_role("radio", name=re.compile("^quick jobs"))).to_be_checked(timeout=SOON_MS)
        await expect(runtime(page)).to_have_attribute("max", "240", timeout=SOON_MS)
        await expect(page.get_by_text("There is cake")).to_be_visible(timeout=SOON_MS)
        await as_it_was_left(page)


async def test_a_bad_commit_changes_nothing_and_the_next_good_one_heals(
    visit: Visit, ring: Ring, centre: Centre
) -> None:
    """What is wrong is reported with file and path; the page keeps the last good version until it is corrected."""
    before = centre.published
    async with visit() as page:
        await open_form(page, ring)
        with centre.edited("systems/juwels.yaml") as tree:
            tree["systems"]["juwels"]["partitions"]["devel"]["resources"]["runtime"]["maximum"] = "many"
        with centre.edited("announcements.yaml") as tree:
            tree["announcements"]["cake"] = {"title": "There is cake"}
        bad = centre.commit("Unlimited short jobs")

        async def reported() -> bool:
            return bad in str(centre.refusal)

        await eventually(reported, page)
        assert "systems/juwels.yaml" in str(centre.refusal)
        assert "systems.juwels.partitions.devel.resources.runtime.maximum" in str(centre.refusal)
        assert centre.published == before
        await expect(page.get_by_text("There is cake")).to_have_count(0)
        await expect(runtime(page)).to_have_attribute("max", "120")

        with centre.edited("systems/juwels.yaml") as tree:
            tree["systems"]["juwels"]["partitions"]["devel"]["resources"]["runtime"]["maximum"] = 180
        centre.commit("Three hours")
        await expect(page.get_by_text("There is cake")).to_be_visible(timeout=SOON_MS)
        await expect(runtime(page)).to_have_attribute("max", "180", timeout=SOON_MS)
        await as_it_was_left(page)


async def test_a_removed_system_leaves_the_form_and_its_lab_goes_on(
    visit: Visit, ring: Ring, centre: Centre, alice: PortalUser
) -> None:
    """Nothing new starts there; the lab that runs there computes, and can be stopped."""
    await started(alice, "on-deep", DEEP)
    assert await alice.enter("on-deep") == 200
    async with visit() as page, alice.kernel("on-deep") as kernel:
        await open_form(page, ring)
        await expect(page.get_by_role("radio", name=re.compile("^DEEP"))).to_have_count(1)
        await kernel.execute("x = 41")
        without_system(centre.path, "deep")
        centre.commit("DEEP is history")
        await expect(page.get_by_role("radio", name=re.compile("^DEEP"))).to_have_count(0, timeout=SOON_MS)
        await as_it_was_left(page)
        reply = await kernel.execute("x + 1")
        assert reply["outputs"][-1]["data"]["text/plain"] == "42"
    assert (await alice.lab_request("GET", "on-deep", "api/status"))["started"]
    await alice.stop("on-deep")
    await alice.until_state("on-deep", "stopped")
    assert (await alice.starts("on-deep"))[0]["outcome"] == "stopped"

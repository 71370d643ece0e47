# SPDX-License-Identifier: BSD-3-Clause
"""The operator at the dashboard, in a real browser.

Aspects: who sees the link; from a user's name to a start's story in two clicks; a page that follows by itself; copying;
a commit that is refused; keyboard; accessibility, light and dark, and narrow screens.
"""

import re

import pytest
from playwright.async_api import Page, expect

from bench.portal import PortalUser
from tests.browser.conftest import SLOW_MS, Visit, log_in
from tests.browser.test_portal import AXE
from tests.ring.centre import Centre
from tests.ring.system import LOGIN_NODE, Ring

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def to_dashboard(page: Page, ring: Ring) -> None:
    """Log in as the operator and follow the link of the bar."""
    await log_in(page, ring, "oscar")
    await page.get_by_role("link", name="Dashboard").click()
    await expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()


async def test_only_operators_see_the_dashboard(visit: Visit, ring: Ring) -> None:
    """Others have no link, and its address tells them whom to ask."""
    async with visit() as page:
        await log_in(page, ring, "alice")
        await expect(page.get_by_role("link", name="Dashboard")).to_have_count(0)
        await page.goto(f"{ring.folder.address}services/dashboard/")
        await expect(page.get_by_role("main")).to_contain_text("ask the support team")
        await expect(page.get_by_role("main")).not_to_contain_text("Jump hosts")


async def test_from_a_users_name_to_a_story_in_two_clicks(visit: Visit, ring: Ring, alice: PortalUser) -> None:
    """Search, then the lab: the whole time line, and the same as text to copy."""
    await alice.save("story", LOGIN_NODE)
    await alice.start("story")
    await alice.until_state("story", "running", SLOW_MS / 1000)
    async with visit() as page:
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=ring.folder.address)
        await to_dashboard(page, ring)
        await expect(page.get_by_role("row", name=re.compile("JUWELS.*1 running"))).to_be_visible()
        await page.get_by_label("Dashboard").get_by_role("link", name="Labs").click()
        await page.get_by_label("User, or id of a lab or start").fill("alic")
        await page.get_by_role("button", name="Search").click()
        await page.get_by_role("link", name="story of alice").click()
        await expect(page.get_by_role("heading", name="story of alice")).to_be_visible()
        events = page.get_by_role("list").filter(has_text="Submitting to JUWELS")
        for sender in ("Hub", "Manager", "Site", "Lab"):
            await expect(events.get_by_text(sender, exact=True).first).to_be_visible()
        await page.get_by_role("button", name="Copy as text").click()
        await expect(page.get_by_role("status")).to_have_text("Copied")
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert "The lab is ready." in copied
        assert (await alice.starts("story"))[0]["start_id"] in copied


async def test_an_open_page_follows_by_itself(visit: Visit, ring: Ring, centre: Centre) -> None:
    """A commit that is refused is shown with its report, and the next good one clears it, without a reload."""
    async with visit() as page:
        await to_dashboard(page, ring)
        await page.evaluate("window.notReloaded = true")
        with centre.edited("systems/juwels.yaml") as tree:
            tree["systems"]["juwels"]["lable"] = "JUWELS"
        commit = centre.commit("A mistake")
        await expect(page.get_by_role("main")).to_contain_text(
            "The newest commit of the configuration is refused", timeout=SLOW_MS
        )
        await expect(page.get_by_label("Mistakes of the newest commit")).to_contain_text("lable")
        await expect(page.get_by_role("main")).to_contain_text(commit)
        with centre.edited("systems/juwels.yaml") as tree:
            del tree["systems"]["juwels"]["lable"]
            tree["systems"]["juwels"]["label"] = "JUWELS Booster"
        good = centre.commit("Better")
        await expect(page.get_by_role("row", name=re.compile("JUWELS Booster"))).to_be_visible(timeout=SLOW_MS)
        await expect(page.get_by_role("main")).to_contain_text(good)
        await expect(page.get_by_role("main")).not_to_contain_text("is refused", timeout=SLOW_MS)
        assert await page.evaluate("window.notReloaded") is True


async def test_the_dashboard_works_by_keyboard(visit: Visit, ring: Ring) -> None:
    """The first stop of the keyboard leads past the bar, the second key into the tabs."""
    async with visit() as page:
        await to_dashboard(page, ring)
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="To the content")).to_be_focused()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await expect(page.get_by_label("Dashboard").get_by_role("link", name="Failures")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Failures", level=1)).to_be_visible()


@pytest.mark.skipif(not AXE.exists(), reason="needs axe-core (npm ci)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_every_page_is_accessible_and_fits(
    visit: Visit, ring: Ring, alice: PortalUser, width: int, scheme: str
) -> None:
    """axe-core finds nothing, and nothing scrolls sideways."""
    await alice.save("looks", LOGIN_NODE)
    await alice.start("looks")
    async with visit(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True) as page:
        await to_dashboard(page, ring)
        for path in ("", "failures", "labs", "tunnels", "labs?search=alice", "nothing"):
            await page.goto(f"{ring.folder.address}services/dashboard/{path}")
            await _check(page, path)
            await page.screenshot(
                path=f"test-output/dashboard-{path.partition('?')[0] or 'overview'}-{scheme}-{width}.png"
            )
        start_id = (await alice.starts("looks"))[0]["start_id"]
        await page.goto(f"{ring.folder.address}services/dashboard/starts/{start_id}")
        await _check(page, "story")
        await page.goto(f"{ring.folder.address}hub/home")
        await _check(page, "home")


async def _check(page: Page, name: str) -> None:
    await page.evaluate(AXE.read_text("utf-8"))
    found = await page.evaluate("axe.run()")
    assert [] == [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]], name
    fits = await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert fits, name

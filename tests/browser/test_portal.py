# SPDX-License-Identifier: BSD-3-Clause
"""A user at the portal, in a real browser: login, form, start, notebook, terminal, stop, cancel.

Aspects: each identity provider; wrong password, cancelled login; dependent fields; progress that moves without a
reload; a cell; stop and cancel; a newcomer; groups, maintenance, announcements; without scripts; accessibility and narrow screens.
"""

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from bench.portal import PortalUser
from tests.browser.conftest import SLOW_MS, Visit, enter, log_in, run_cell
from tests.ring.centre import Centre
from tests.ring.system import JURECA, JUWELS, Ring

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

BEGUN = "2020-01-01T00:00:00Z"
AXE = Path("node_modules/axe-core/axe.min.js")


def card(page: Page, title: str):
    """The card of the lab with this title."""
    return page.get_by_role("article").filter(has_text=title)


async def new_lab(page: Page, title: str, system: str, partition: str) -> None:
    """Fill in the form of a new lab, as far as before Save or Start."""
    await page.get_by_role("link", name="New lab").first.click()
    await page.get_by_role("radio", name=re.compile(f"^{system}")).check()
    await page.get_by_role("radio", name=re.compile(f"^{partition}")).check()
    await expect(page.get_by_label("Summary")).to_contain_text(partition)
    await page.get_by_label("Name", exact=True).fill(title)


@pytest.mark.parametrize("name", ["alice", "nora"], ids=["jsc", "aai"])
async def test_login_by_each_provider(visit: Visit, ring: Ring, name: str) -> None:
    """Each button leads through its provider to the list of labs."""
    async with visit() as page:
        await log_in(page, ring, name)
        await expect(page.get_by_role("heading", name="Labs", level=1)).to_be_visible()


async def test_a_newcomer_reads_whom_to_ask(visit: Visit, ring: Ring) -> None:
    """A user without any account gets no dead button but an address."""
    async with visit() as page:
        await log_in(page, ring, "gus")
        await expect(page.get_by_role("main")).to_contain_text("support@example.org")
        await expect(page.get_by_role("link", name="New lab")).to_have_count(0)


async def test_a_wrong_password_and_a_cancelled_login(visit: Visit, ring: Ring) -> None:
    """The provider says what is wrong; after Cancel the portal's login page says why one is back."""
    async with visit() as page:
        await page.goto(ring.folder.address)
        await page.get_by_role("link", name="JSC account").click()
        await enter(page, "alice", "wrong")
        await expect(page.get_by_role("alert")).to_contain_text("wrong")
        await page.get_by_role("button", name="Cancel").click()
        await page.wait_for_url("**/hub/login?*")
        await expect(page.get_by_role("alert")).to_contain_text("cancelled")


async def test_a_replayed_code_is_back_at_the_login_page(visit: Visit, ring: Ring) -> None:
    """A callback that was used before, or begun elsewhere, gives a reason and no session."""
    async with visit() as page:
        callbacks: list[str] = []
        page.on(
            "request", lambda request: callbacks.append(request.url) if "/hub/oauth_callback?" in request.url else None
        )
        await log_in(page, ring, "alice")
        async with visit() as other:
            await other.goto(callbacks[0])
            await expect(other.get_by_role("alert")).to_contain_text("log in again")
            await expect(other.get_by_role("link", name="JSC account")).to_be_visible()


async def test_after_logging_out_another_person_can_log_in(visit: Visit, ring: Ring) -> None:
    """Logging out ends the session at the provider too."""
    async with visit() as page:
        await log_in(page, ring, "alice")
        await page.get_by_text("alice", exact=True).click()
        await page.get_by_role("link", name="Log out").click()
        await expect(page.get_by_role("alert")).to_contain_text("logged out")
        await log_in(page, ring, "oscar")
        await expect(page.get_by_role("banner")).to_contain_text("oscar")


async def test_the_theme_is_chosen_by_keyboard_and_the_focus_stays(visit: Visit, ring: Ring) -> None:
    """The menu closes, and the focus is back at its button."""
    async with visit() as page:
        await page.goto(ring.folder.address)
        menu = page.get_by_label("Theme")
        await menu.press("Enter")
        await page.get_by_role("button", name="Dark").press("Enter")
        await expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
        await expect(menu).to_be_focused()


async def test_fields_depend_on_each_other(visit: Visit, ring: Ring) -> None:
    """Another system shows its own partitions and limits at once, and the summary is always true."""
    async with visit() as page:
        await log_in(page, ring, "alice")
        await page.get_by_role("link", name="New lab").first.click()
        await page.get_by_role("radio", name=re.compile("^JURECA")).check()
        await page.get_by_role("radio", name=re.compile("^train")).check()
        await expect(page.get_by_role("radio", name=re.compile("^dc-gpu"))).to_be_disabled()
        await page.get_by_role("radio", name=re.compile("^hai")).check()
        await page.get_by_role("radio", name=re.compile("^dc-gpu")).check()
        await expect(page.get_by_role("spinbutton", name=re.compile("GPUs"))).to_have_value("4")
        await expect(page.get_by_label("Summary")).to_contain_text("JURECA")
        await page.get_by_role("spinbutton", name=re.compile("Runtime")).fill("99999")
        await page.get_by_role("button", name="Start", exact=True).click()
        await expect(page.get_by_role("alert").first).to_contain_text("1440")
        await expect(page.get_by_role("spinbutton", name=re.compile("Runtime"))).to_have_value("99999")


async def test_from_form_to_cell_and_back(visit: Visit, ring: Ring, alice: PortalUser) -> None:
    """Start, progress that moves by itself, JupyterLab, a cell, stop that shows without a reload."""
    async with visit() as page:
        await log_in(page, ring, "alice")
        await new_lab(page, "Climate analysis", "JUWELS", "devel")
        await page.get_by_role("button", name="Start", exact=True).click()
        await page.wait_for_url("**/hub/labs/climate-analysis*")
        await page.evaluate("window.notReloaded = true")
        await expect(page.get_by_text("Submitting to JUWELS").first).to_be_visible()
        await expect(page.get_by_text(re.compile("Queued|accepted the job")).first).to_be_visible(timeout=SLOW_MS)
        await expect(page.get_by_text(re.compile("Starting the server on jwc")).first).to_be_visible(timeout=SLOW_MS)
        await page.wait_for_url("**/user/alice/climate-analysis/lab**", timeout=SLOW_MS, wait_until="commit")

        await run_cell(page, "1+1", "2")

        await page.goto(ring.folder.address + "hub/home")
        lab = card(page, "Climate analysis")
        await expect(lab).to_contain_text("running")
        await page.evaluate("window.notReloaded = true")
        await lab.get_by_role("button", name="Stop").click()
        await expect(lab).to_contain_text("stopped", timeout=SLOW_MS)
        await expect(lab.get_by_role("button", name="Start")).to_be_visible()
        assert await page.evaluate("window.notReloaded") is True


async def test_a_start_elsewhere_shows_here_and_can_be_cancelled_while_queued(
    visit: Visit, ring: Ring, alice: PortalUser
) -> None:
    """The list follows what happens in another window; Cancel ends a queued start, also with a double click, and no card moves."""
    async with visit() as page:
        await log_in(page, ring, "alice")
        # Three jobs of two nodes: the last one has to wait.
        for name in ("first", "second", "waits"):
            await alice.save(name, JUWELS | {"resources": {"nodes": 2, "runtime": 60}}, f"Job {name}")
            await alice.start(name)
        lab = card(page, "Job waits")
        await expect(lab).to_contain_text("queued", timeout=SLOW_MS)
        order = await page.get_by_role("article").get_by_role("heading").all_inner_texts()
        await lab.get_by_role("button", name="Cancel").dblclick()
        await expect(lab).to_contain_text("cancelled", timeout=SLOW_MS)
        assert [start["outcome"] for start in await alice.starts("waits")] == ["cancelled"]
        assert await page.get_by_role("article").get_by_role("heading").all_inner_texts() == order


async def test_the_arrow_keys_choose_and_the_focus_stays(visit: Visit, ring: Ring) -> None:
    """The form is completed under the user's hands without taking the focus away."""
    async with visit() as page:
        await log_in(page, ring, "alice")
        await page.get_by_role("link", name="New lab").first.click()
        await page.get_by_role("radio", name=re.compile("^JUWELS")).press("ArrowDown")
        jupiter = page.get_by_role("radio", name=re.compile("^JUPITER"))
        await expect(page.get_by_label("Summary")).to_contain_text("JUPITER")
        await expect(jupiter).to_be_checked()
        await expect(jupiter).to_be_focused()


async def test_software_is_folded_and_what_is_switched_on_stays(visit: Visit, ring: Ring) -> None:
    """The line says what is on; an open set stays open; what another system does not have is said."""
    async with visit() as page:
        await log_in(page, ring, "alice")
        await page.get_by_role("link", name="New lab").first.click()
        await page.get_by_role("radio", name=re.compile("^JUWELS")).check()
        kernels = page.locator("details").filter(has=page.locator("summary", has_text="Kernels"))
        await expect(kernels.get_by_role("checkbox", name="Octave")).to_be_hidden()
        await kernels.locator("summary").click()
        await kernels.get_by_role("checkbox", name="Octave").check()
        await expect(kernels.locator("summary")).to_contain_text("Octave")
        await expect(page.get_by_label("Summary")).to_contain_text("3 kernels")
        await page.get_by_role("radio", name=re.compile("^JUPITER")).check()
        await expect(page.get_by_label("Summary")).to_contain_text("Octave is not there")
        await expect(kernels.get_by_role("checkbox", name="Python")).to_be_visible()


async def test_an_announcement_is_put_away(visit: Visit, ring: Ring) -> None:
    """It is hidden on the next pages too, and before the login everybody reads it."""
    async with visit() as page:
        await page.goto(ring.folder.address)
        await expect(page.get_by_text("JupyterLab 4.6 is here", exact=True)).to_be_visible()
        await log_in(page, ring, "alice")
        await page.get_by_role("button", name="Hide “JupyterLab 4.6 is here”").click()
        await page.goto(ring.folder.address + "hub/help")
        await expect(page.locator(".jsc-notice", has_text="JupyterLab 4.6 is here")).to_be_hidden()


async def test_everything_works_without_scripts(visit: Visit, ring: Ring, alice: PortalUser) -> None:
    """Login, dependent fields by a button, saving."""
    async with visit(java_script_enabled=False) as page:
        await log_in(page, ring, "alice")
        await page.get_by_role("link", name="New lab").first.click()
        await page.get_by_role("radio", name=re.compile("^JURECA")).check()
        await page.get_by_role("button", name="Update choices").click()
        await expect(page.get_by_label("Summary")).to_contain_text("JURECA")
        await page.get_by_label("Name", exact=True).fill("Without scripts")
        await page.get_by_role("button", name="Save", exact=True).click()
        await expect(card(page, "Without scripts")).to_contain_text("JURECA")


async def test_another_group_is_chosen_and_the_page_follows(visit: Visit, ring: Ring, centre: Centre) -> None:
    """In one group alone its systems are left; the form is completed without a reload; the menu says which."""
    with centre.edited("groups.yaml") as tree:
        allowed = {"jupyterlab-4.6": {"allowed": {"systems": ["juwels"]}}}
        tree["groups"]["friends"] = {"label": "Friends", "members": [{"users": ["alice"]}], "options": allowed}
    centre.commit("Have friends")
    async with visit() as page:
        await log_in(page, ring, "alice")
        await page.get_by_role("link", name="New lab").first.click()
        await page.evaluate("window.notReloaded = true")
        for group, count, shown in [("Friends", 0, "Friends"), ("All my groups", 1, "alice")]:
            await page.get_by_text("alice", exact=True).click()
            await page.get_by_role("radio", name=group).check(timeout=SLOW_MS)
            await page.get_by_role("button", name="Switch").click()
            await expect(page.get_by_role("radio", name=re.compile("^JURECA"))).to_have_count(count)
            await expect(page.get_by_role("banner")).to_contain_text(shown)
        assert await page.evaluate("window.notReloaded") is True


async def test_a_maintenance_blocks_and_is_said(visit: Visit, ring: Ring, centre: Centre, alice: PortalUser) -> None:
    """The open form says why, Start is off, Save works; the card says the same until it is over."""
    async with visit() as page:
        await log_in(page, ring, "alice")
        await new_lab(page, "After the pumps", "DEEP", "Login")
        with centre.edited("maintenance.yaml") as tree:
            tree["maintenance"]["deep"] = {"systems": ["deep"], "begins": BEGUN, "text": "New pumps."}
        centre.commit("Mend the pumps")
        start = page.get_by_role("button", name="Start", exact=True)
        await expect(start).to_have_accessible_description(re.compile("New pumps."), timeout=SLOW_MS)
        await expect(start).to_be_disabled()
        await page.get_by_role("button", name="Save", exact=True).click()
        lab = card(page, "After the pumps")
        await expect(lab).to_contain_text("New pumps.")
        with centre.edited("maintenance.yaml") as tree:
            del tree["maintenance"]["deep"]
        centre.commit("The pumps pump")
        await expect(lab).not_to_contain_text("New pumps.", timeout=SLOW_MS)
        await expect(lab.get_by_role("button", name="Start")).to_be_enabled()


@pytest.mark.skipif(not AXE.exists(), reason="needs axe-core (npm ci)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pages_are_accessible_and_fit_a_phone(visit: Visit, ring: Ring, alice: PortalUser, scheme: str) -> None:
    """axe-core finds nothing on any page, in both themes; nothing is wider than a phone."""
    await alice.save("shown", JURECA, "A lab with quite a long name, to see how it breaks")
    async with visit(color_scheme=scheme, viewport={"width": 360, "height": 740}, bypass_csp=True) as page:
        await page.goto(ring.folder.address)
        found = await problems(page)
        await log_in(page, ring, "alice")
        await card(page, "A lab with quite").get_by_title("More").click()
        await card(page, "A lab with quite").get_by_text("Delete …").click()
        found += await problems(page)
        for path in ("hub/home", "hub/labs/new", "hub/labs/shown", "hub/labs/shown/edit", "hub/help", "hub/nothing"):
            await page.goto(ring.folder.address + path)
            found += await problems(page)
        assert found == []


async def problems(page: Page) -> list[str]:
    """What axe-core finds on the page, and whether it is wider than the screen."""
    await page.add_script_tag(path=AXE)
    answer = await page.evaluate("axe.run({resultTypes: ['violations']})")
    wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
    found = [f"{page.url}: {item['id']}: {item['nodes'][0]['html'][:200]}" for item in answer["violations"]]
    return found + ([f"{page.url}: wider than the screen"] if wide else [])

# SPDX-License-Identifier: BSD-3-Clause
"""A newcomer without any account at the portal, in a real browser: form, the cluster's events, notebook, stop."""

import re

import pytest
from playwright.async_api import expect

from bench.portal import PortalUser
from tests.browser.conftest import SLOW_MS, Visit, log_in, run_cell
from tests.browser.test_portal import card, new_lab
from tests.ring.system import Ring

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_a_newcomer_works_in_the_cloud(visit: Visit, ring: Ring, nora: PortalUser) -> None:
    """An image and a size are chosen, the page tells what the cluster does, a cell runs, stop shows without a reload."""
    async with visit() as page:
        await log_in(page, ring, "nora")
        await new_lab(page, "First steps", "HDF Cloud", "Standard")
        await page.get_by_role("radio", name=re.compile("^Minimal")).check()
        await page.get_by_role("spinbutton", name=re.compile("Memory")).fill("4")
        await expect(page.get_by_label("Summary")).to_contain_text("Minimal")
        await page.get_by_role("button", name="Start", exact=True).click()
        await page.wait_for_url("**/hub/labs/first-steps*")
        for said in (
            "Submitting to HDF Cloud",
            "Scheduled on worker",
            "container has started",
            "Starting the server on svc-",
        ):
            await expect(page.get_by_text(said).first).to_be_visible(timeout=SLOW_MS)
        await page.wait_for_url("**/user/nora/first-steps/lab**", timeout=SLOW_MS, wait_until="commit")

        await run_cell(page, "6*7", "42")

        await page.goto(ring.folder.address + "hub/home")
        lab = card(page, "First steps")
        await expect(lab).to_contain_text("running")
        await lab.get_by_role("button", name="Stop").click()
        await expect(lab).to_contain_text("stopped", timeout=SLOW_MS)
        await expect(lab.get_by_role("button", name="Start")).to_be_visible()

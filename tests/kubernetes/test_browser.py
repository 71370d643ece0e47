# SPDX-License-Identifier: BSD-3-Clause
"""A user at the portal, in a real browser, with a lab on a real cluster."""

import re

import pytest
from playwright.async_api import expect

from bench.portal import PortalUser
from tests.browser.conftest import Visit, log_in, run_cell
from tests.browser.test_portal import card, new_lab
from tests.kubernetes.conftest import Portal

pytestmark = pytest.mark.asyncio(loop_scope="session")

SLOW_MS = 240_000


async def test_from_form_to_cell_and_back(visit: Visit, portal: Portal, alice: PortalUser) -> None:
    """The page tells what the cluster does, JupyterLab opens, a cell runs, stop shows without a reload."""
    async with visit() as page:
        await log_in(page, portal, "alice")
        await new_lab(page, "In the cloud", "Cloud$", "Standard")
        await page.get_by_role("radio", name=re.compile("^Cloud lab")).check()
        await page.get_by_role("button", name="Start", exact=True).click()
        await page.wait_for_url("**/hub/labs/in-the-cloud*")
        for said in ("Scheduled on node", "container has started", "Starting the server on svc-"):
            await expect(page.get_by_text(said).first).to_be_visible(timeout=SLOW_MS)
        await page.wait_for_url("**/user/alice/in-the-cloud/lab**", timeout=SLOW_MS, wait_until="commit")

        await run_cell(page, "1+1", "2")

        await page.goto(portal.folder.address + "hub/home")
        lab = card(page, "In the cloud")
        await expect(lab).to_contain_text("running")
        await lab.get_by_role("button", name="Stop").click()
        await expect(lab).to_contain_text("stopped", timeout=SLOW_MS)
    await portal.cluster.nothing_left()

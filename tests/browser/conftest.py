# SPDX-License-Identifier: BSD-3-Clause
"""Debian's Chromium, driven by Playwright. Screenshots of every test end up in ``test-output/``."""

import contextlib
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from tests.ring.centre import Centre
from tests.ring.system import PASSWORDS, Ring

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
OUTPUT = Path("test-output")
SLOW_MS = 90_000
"""What a lab may take on a loaded machine."""
LABELS = {"jsc": "JSC account", "aai": "Helmholtz AAI"}

# A loaded machine may take long over anything; nothing here is about time.
expect.set_options(timeout=30_000)

Visit = Callable[..., "contextlib.AbstractAsyncContextManager[Page]"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """One browser for all tests; each visit has cookies of its own."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium (Debian's package chromium)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(chromium: Browser, ring: Ring, request: pytest.FixtureRequest) -> AsyncIterator[Visit]:
    """Opens the portal as a new visitor; scripts' errors on our pages fail the test."""
    problems: list[str] = []
    OUTPUT.mkdir(exist_ok=True)

    def note(message: ConsoleMessage) -> None:
        ours = "/user/" not in (message.location or {}).get("url", "")
        expected = re.search(r"status of (400|401|403|404|500|503)", message.text)
        if message.type == "error" and ours and not expected:
            problems.append(message.text)

    @contextlib.asynccontextmanager
    async def visitor(**options: object) -> AsyncIterator[Page]:
        context = await chromium.new_context(**{"viewport": {"width": 1280, "height": 860}, **options})
        page = await context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: problems.append(str(error)) if "/user/" not in page.url else None)
        try:
            yield page
        finally:
            name = re.sub(r"\W+", "-", request.node.name)
            await page.screenshot(path=OUTPUT / f"{name}.png", full_page=True)
            await context.close()

    yield visitor
    assert problems == []


@pytest_asyncio.fixture(loop_scope="session")
async def centre(ring: Ring) -> AsyncIterator[Centre]:
    """The configuration's repository; its content is back in force afterwards."""
    async with Centre.of(ring.folder) as found:
        yield found


async def log_in(page: Page, ring: Ring, name: str) -> None:
    """Log in by the form of the person's own provider; ends at the list of labs."""
    password, idp = PASSWORDS[name]
    await page.goto(ring.folder.address)
    await page.get_by_role("link", name=LABELS[idp]).click()
    await enter(page, name, password)
    await page.wait_for_url("**/hub/home")


async def enter(page: Page, name: str, password: str) -> None:
    """Fill in and send the provider's form."""
    await page.get_by_label("User name").fill(name)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Log in").click()


async def run_cell(page: Page, code: str, result: str) -> None:
    """Open a notebook in JupyterLab, run *code* in its first cell, and see *result*."""
    await page.get_by_title(re.compile("Python 3")).first.click(timeout=SLOW_MS)
    await expect(page.get_by_text(re.compile(r"Python 3.*\| Idle"))).to_be_visible(timeout=SLOW_MS)
    await page.locator(".jp-CodeCell .cm-content").first.click()
    await page.keyboard.type(code)
    await page.keyboard.press("Shift+Enter")
    await expect(page.locator(".jp-OutputArea-output").first).to_have_text(result, timeout=SLOW_MS)


async def eventually(check: Callable[[], Awaitable[bool]], page: Page) -> None:
    """Wait until *check* holds, looking again after each change of the page."""
    for _ in range(600):
        if await check():
            return
        await page.wait_for_timeout(50)
    pytest.fail("what was waited for did not come")

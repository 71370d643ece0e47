# SPDX-License-Identifier: BSD-3-Clause
"""The pages: answered by a real JupyterHub, without anything inline, escaped, refused where they must be."""

import html
import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from jupyter_jsc.hub import pages
from jupyter_jsc.hub.frame import FRAGMENT
from tests.hub.visitor import BATCH, Inline

ROOT = Path(__file__).parents[2]


async def test_every_page_is_strict_and_well_formed(alice):
    """No page has anything inline, an address outside, or an id twice; each carries the strict policy."""
    server = await alice.made("strict")
    for path in (
        "/home",
        "/help",
        "/labs/new",
        "/labs/new?like=strict",
        f"/labs/{server}",
        f"/labs/{server}/edit",
        "/labs/unknown",
    ):
        answer, text = await alice.get(path)
        seen = Inline()
        seen.feed(text)
        assert seen.found == [], path
        assert len(set(seen.ids)) == len(seen.ids), path
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


async def test_login_page_shows_the_ways_and_the_reason(visitor):
    """Each provider is a link; a reason comes from a table, never from the address."""
    _, text = await visitor.get("/ways?reason=cancelled")
    assert "Log in with JSC account" in text
    assert "For members." in text
    assert "There is news" in text
    assert "Hello friends" not in text
    _, german = await visitor.get("/ways", **{"Accept-Language": "de"})
    assert '<span class="jsc-choice-text" lang="de">Für Mitglieder.</span>' in german
    assert "The login was cancelled." in text
    _, text = await visitor.get("/ways?reason=%3Cscript%3E")
    assert "alert-warning" not in text
    seen = Inline()
    seen.feed(text)
    assert seen.found == []


async def test_titles_are_escaped(alice):
    """What a user typed is text, on every page."""
    await alice.made("x <img src=x> y")
    for path in ("/home", "/labs/x-img-src-x-y", "/labs/x-img-src-x-y/edit"):
        _, text = await alice.get(path)
        assert "<img" not in text
        assert "&lt;img src=x&gt;" in text


async def test_a_newcomer_is_told_whom_to_ask(nora):
    """Without an account there is no form, but a name to write to and what to send."""
    _, text = await nora.get("/home")
    assert "No compute account yet" in text
    assert "support@example.org" in text
    assert "<code>nora</code>" in text
    answer, _ = await nora.get("/labs/new")
    assert answer.headers["Location"] == "/hub/home"
    answer, _ = await nora.post("/labs/new", BATCH)
    assert answer.status == 403


async def test_who_is_in_no_group_is_told_so(visitor):
    """The reason is the group, although there is an account."""
    await visitor.log_in("zoe")
    _, text = await visitor.get("/home", **{"Accept-Language": "de"})
    assert '<span lang="de">Sie sind in keiner Gruppe' in text
    assert "support@example.org" in text


async def test_what_is_blocked_stands_on_the_card(alice):
    """In maintenance a lab has its reason and a Start button that is off; elsewhere it has neither."""
    where = {"system": "jureca", "partition": "login", "place": "jureca/login"}
    server = await alice.made("blocked", **where)
    _, text = await alice.get(f"/labs/{server}/card", **{FRAGMENT: "1"})
    assert "JURECA is in maintenance. New disks." in text
    assert f'aria-disabled="true" aria-describedby="blocked-{server}"' in text
    server = await alice.made("open")
    _, text = await alice.get(f"/labs/{server}/card", **{FRAGMENT: "1"})
    assert "aria-disabled" not in text


async def test_options_that_a_commit_removed_lead_to_edit(alice, pages_hub):
    """The card says what is no longer possible; the next good commit heals it."""
    server = await alice.made("outdated", system="juwels", partition="devel", place="juwels/devel")

    def without_devel(tree):
        del tree["systems"]["juwels"]["partitions"]["devel"]
        tree["systems"]["juwels"]["account_keys"]["juwels"] = ["batch"]

    await pages_hub.commit(without_devel)
    _, text = await alice.get(f"/labs/{server}/card", **{FRAGMENT: "1"})
    assert "Partition: “devel” is not there for you on JUWELS." in text
    assert f"/labs/{server}/edit" in text
    assert 'data-act="start"' not in text
    await pages_hub.commit(lambda tree: None)
    _, text = await alice.get(f"/labs/{server}/card", **{FRAGMENT: "1"})
    assert 'data-act="start"' in text


async def test_pages_need_a_login(visitor):
    """Who is not logged in is sent to the login, and back afterwards."""
    answer, _ = await visitor.get("/labs/new")
    assert answer.status == 302
    assert answer.headers["Location"] == "/hub/login?next=%2Fhub%2Flabs%2Fnew"


@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("/spawn", "/hub/home"),
        ("/spawn/alice", "/hub/home"),
        ("/spawn/other/lab", "/hub/home"),
        ("/labs/here/card", "/hub/labs/here"),
        ("/spawn/alice/here", "/hub/labs/here"),
        ("/spawn/alice/here?next=//evil.example/user/alice/here/", "/hub/labs/here"),
    ],
)
async def test_redirects(alice, path, to):
    """JupyterHub's spawn pages lead to ours, and nowhere else."""
    await alice.made("here")
    await alice.post("/labs/here/cancel")
    answer, _ = await alice.get(path)
    assert to == answer.headers["Location"]


async def test_lab_not_running_says_so(alice):
    """The address of a stopped lab leads to its title, and to a Start button that leads back to that address."""
    server = await alice.made("Fast asleep")
    answer, text = await alice.get(f"/user/alice/{server}/lab/tree/a.ipynb")
    assert answer.status == 424
    assert "This lab is not running" in text
    assert "<strong>Fast asleep</strong>" in text
    action = html.unescape(re.search(rf'action="/hub(/labs/{server}/start[^"]*)"', text)[1])
    answer, _ = await alice.post(action)
    wanted = quote(f"/user/alice/{server}/lab/tree/a.ipynb", safe="")
    assert answer.headers["Location"] == f"/hub/labs/{server}?next={wanted}"
    await alice.post(f"/labs/{server}/cancel")


async def test_stock_pages_still_work_in_our_frame(alice):
    """JupyterHub's token page has our bar, and the scripts that it needs."""
    _, text = await alice.get("/token")
    assert "jsc-bar" in text
    assert "require.js" in text
    assert 'require(["token"])' in text


async def test_errors_speak_our_words(alice):
    """No status line and no trace, but what, why and what now."""
    answer, text = await alice.get("/nothing-here")
    assert answer.status == 404
    assert "There is nothing at this address" in text
    _, text = await alice.get("/error/503")
    assert "The lab does not answer" in text


async def test_static_files(alice):
    """Served with the version in the path for a year; nothing outside the folder."""
    answer, _ = await alice.get("/jsc-static/abc/jsc.js")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "max-age=31536000")
    answer, _ = await alice.get("/jsc-static/dev/jsc.css")
    assert "max-age" not in answer.headers.get("Cache-Control", "")
    for path in ("..%2fpages.py", "%2e%2e/pages.py", "/etc/passwd"):
        answer, _ = await alice.get(f"/jsc-static/abc/{path}")
        assert answer.status in {403, 404}


def test_vendored_files_are_unchanged():
    """What is vendored is the npm package's file, where that is installed."""
    original = ROOT / "node_modules/idiomorph/dist/idiomorph.min.js"
    if not original.is_file():
        pytest.skip("node_modules is not installed")
    assert original.read_bytes() == (pages.STATIC / "vendor/idiomorph.min.js").read_bytes()
    version = json.loads((ROOT / "node_modules/idiomorph/package.json").read_text())["version"]
    assert f"| {version} |" in (pages.STATIC / "vendor/README.md").read_text()

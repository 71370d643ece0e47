# SPDX-License-Identifier: BSD-3-Clause
"""The pages: from a name or an id to the story, what fails by cause, tunnels and orphans, silence of each source; bad input."""

import json
import re

import pytest

from jupyter_jsc import names
from jupyter_jsc.dashboard import sources
from jupyter_jsc.dashboard.pages import _pager
from tests.dashboard.conftest import PREFIX
from tests.hub.world import OPTIONS, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVIL = "Bad <script>alert(1)</script> & \"quoted\" 'node'."
ESCAPED = "Bad &lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;quoted&#34; &#39;node&#39;."


async def failed_start(hub, server):
    """A lab of bob whose start failed, in the words of :data:`EVIL`."""
    hub.manager.mode = ("SiteRefused", EVIL)
    body = {"user_options": OPTIONS | {"account": "bob1"}}
    await hub.call("POST", f"/users/bob/servers/{server}", body, token=hub.tokens["bob"])

    async def ended():
        lab = await hub.lab(server, "bob")
        return lab and lab["state"] == "stopped" and lab["start"]["outcome"] == "failed" and lab["start"]["start_id"]

    found = await until(ended)
    hub.manager.reset()
    return found


def links(text, part):
    return re.findall(rf'href="({PREFIX}{part}[^"]*)"', text)


async def test_from_a_name_to_the_story_in_two_clicks(oda, hub):
    """Search, then the lab: every event, the ids, and a text to copy; nothing that a site said is markup."""
    start_id = await failed_start(hub, "two-clicks")
    found = await oda.open("labs?search=bob&system=&state=all")
    assert ESCAPED in found.text
    assert f"{PREFIX}starts/{start_id}" in links(found.text, "starts/")
    story = await oda.open(f"{PREFIX}starts/{start_id}")
    assert 200 == story.status_code
    for part in (
        "two-clicks of bob",
        "Submitting to JUWELS.",
        ESCAPED,
        start_id,
        names.lab_id("test", "bob", "two-clicks"),
    ):
        assert part in story.text
    for page in (found, story, await oda.open("failures"), await oda.open("")):
        assert "<script>alert" not in page.text
        assert ESCAPED in page.text


async def test_a_whole_start_id_leads_to_its_story_at_once(oda, hub):
    start_id = await failed_start(hub, "by-id")
    answer = await oda.open(f"labs?search={start_id}")
    assert "by-id of bob" in answer.text


async def test_what_is_searched_for_stays_text(oda):
    """In the field, and in the addresses of other pages."""
    answer = await oda.open("labs?search=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&system=%22onload%3D")
    assert "No lab is like this" in answer.text
    assert "<script>alert" not in answer.text
    assert 'value="&#34;&gt;&lt;script&gt;' in answer.text


async def test_labs_are_paged(oda, hub):
    """A page that is beyond the end says so and leads back."""
    lab = await hub.start("paged")
    answer = await oda.open("labs?page=9999")
    assert "This page is empty" in answer.text
    assert links(answer.text, "labs")
    await lab.cancel()


async def test_pages_lead_to_their_neighbours():
    """Never before the first nor behind the last; what was searched for goes with them."""
    first = _pager(1, 101, 50, "/labs", {"search": "a b&c"})
    assert ("", "/labs?search=a+b%26c&page=2", 1, 50) == (
        first["before"],
        first["after"],
        first["first"],
        first["last"],
    )
    last = _pager(3, 101, 50, "/labs", {})
    assert ("/labs?page=2", "", 101, 101) == (last["before"], last["after"], last["first"], last["last"])
    assert ("", "", 0, 0) == tuple(_pager(1, 0, 50, "/labs", {})[key] for key in ("before", "after", "first", "last"))
    assert "/labs?page=1" == _pager(7, 3, 50, "/labs", {})["before"]


async def test_an_orphan_is_told_from_a_labs_tunnel(oda, hub):
    """The one is marked and counted as something wrong, the other names user and lab."""
    lab = await hub.running("tunnelled")
    answer = await oda.open("tunnels")
    assert "alice, tunnelled" in answer.text
    assert "no lab in use" not in answer.text
    hub.tunnels.records["x"] = {
        **hub.tunnels.records[lab.lab_id],
        "lab_id": names.lab_id("test", "zoe", "gone"),
        "start_id": names.new_start_id(),
    }
    answer = await oda.open("tunnels")
    assert "no lab in use" in answer.text
    assert "A tunnel leads to no lab that is in use." in (await oda.open("")).text
    hub.tunnels.records.pop("x")
    await lab.cancel()


async def test_a_lost_jump_host_is_the_first_thing_said(oda, hub):
    """One that is idle is none."""
    host = {"name": "l1", "system": "juwels", "state": "open", "connected": False, "tunnels": 0}
    hub.tunnels.jump_hosts = [host]
    assert "is lost" not in (await oda.open("")).text
    hub.tunnels.jump_hosts = [host | {"tunnels": 2}]
    assert "The connection to l1 of JUWELS is lost." in (await oda.open("")).text
    assert "l1" in (await oda.open("tunnels")).text


async def test_a_system_that_takes_no_labs_says_why(oda, hub):
    hub.manager.health = {"juwels": {"available": False, "text": "Closed <until> noon."}, "jureca": {"available": True}}
    answer = await oda.open("")
    assert "JUWELS takes no new labs." in answer.text
    assert "Closed &lt;until&gt; noon." in answer.text


async def test_nothing_is_wrong_when_nothing_is(oda, hub):
    """The first line says so, and every version is the same."""

    hub.manager.health = {"juwels": {"available": True}, "jureca": {"available": True}}
    text = (await oda.open("")).text
    problems = re.findall(r"<li>(.*?)</li>", text.partition("dash-verdict")[2].partition("</section>")[0])
    # The tests before have made labs fail.
    assert [] == [problem for problem in problems if "starts of the last hour" not in problem]
    assert 3 == text.count("the same")


MODES = ["down", "cut", "nonsense", "html", "500", ("NotAuthenticated", "no"), "slow"]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode if isinstance(mode, str) else mode[0])
async def test_a_manager_that_fails_leaves_the_rest_standing(oda, hub, mode, monkeypatch):
    """Its place says so; TunnelMgr's and the hub's words stand beside it."""
    await oda.open("")
    monkeypatch.setattr(sources, "_LIMIT_S", 0.5 if mode == "slow" else 10)
    hub.manager.mode = mode
    hub.tunnels.jump_hosts = [{"name": "l1", "system": "juwels", "state": "open", "connected": True, "tunnels": 1}]
    answer = await oda.open("")
    hub.manager.patience.set()
    assert 200 == answer.status_code
    told = "UnicoreMgr does not know the dashboard" if isinstance(mode, tuple) else "UnicoreMgr does not answer"
    assert told in answer.text
    assert "connected, 1 tunnel" in answer.text
    assert "not known" in answer.text


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode if isinstance(mode, str) else mode[0])
async def test_a_tunnelmgr_that_fails_leaves_the_rest_standing(oda, hub, mode, monkeypatch):
    """Its page says so instead of showing nothing; systems are as their manager says."""
    await oda.open("")
    monkeypatch.setattr(sources, "_LIMIT_S", 0.5 if mode == "slow" else 10)
    hub.tunnels.mode = mode
    hub.manager.health = {"juwels": {"available": True}}
    overview, tunnels = await oda.open(""), await oda.open("tunnels")
    hub.tunnels.patience.set()
    told = "TunnelMgr does not know the dashboard" if isinstance(mode, tuple) else "TunnelMgr does not answer"
    for answer in (overview, tunnels):
        assert 200 == answer.status_code
        assert told in answer.text
    assert "available" in overview.text
    assert "No tunnel is open" not in tunnels.text


async def test_a_manager_that_waits_for_its_systems_is_not_called_silent(oda, hub, monkeypatch):
    """It answers itself, so it is said that it takes long."""
    await oda.open("")
    monkeypatch.setattr(sources, "_LIMIT_S", 0.5)
    hub.manager.slow_systems = True
    answer = await oda.open("")
    hub.manager.patience.set()
    assert "UnicoreMgr takes longer than" in answer.text
    assert "UnicoreMgr does not answer" not in answer.text


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (json.dumps({"commit": "abc", "when": "now", "mistakes": [{"file": "a.yaml", "line": 3, "message": "<b>no</b>"}]}),
         "a.yaml:3 &lt;b&gt;no&lt;/b&gt;"),
        ("{", "cannot be read"),
        ("[]", "no known form"),
        ('{"mistakes": 5}', "The newest commit is refused"),
    ],
    ids=["report", "half", "list", "odd"],
)  # fmt: skip
async def test_a_refused_commit_is_shown_with_its_report(oda, hub, report, told):
    """As config sync leaves it; a file of any shape makes no error page."""
    (hub.published.folder / "refused.json").write_text(report)
    answer = await oda.open("")
    assert 200 == answer.status_code
    assert "The newest commit of the configuration is refused" in answer.text
    assert told in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [("nothing", 404), ("starts/nonsense", 404), (f"starts/s{'z' * 16}", 404), ("static/../app.py", 404), ("labs?page=0", 400),
     ("labs?page=x", 400), ("labs?state=odd", 400), ("failures?hours=0", 400), ("failures?hours=9999", 400),
     (f"labs?search={'x' * 300}", 400)],
)  # fmt: skip
async def test_a_bad_address_is_answered_by_a_page(oda, path, status):
    """With a sentence and a way back, never by a traceback."""
    await oda.open("")
    answer = await oda.get(path)
    assert status == answer.status_code
    assert "To the dashboard" in answer.text
    assert "Traceback" not in answer.text


async def test_nothing_can_be_posted(oda):
    """The dashboard changes nothing, so there is nothing to forge."""
    await oda.open("")
    for path in ("", "labs", "tunnels", "oauth_callback"):
        assert 405 == (await oda.dashboard.post(PREFIX + path, data={"a": "b"})).status_code


@pytest.mark.parametrize("path", ["", "failures", "labs", "tunnels", "nothing", "oauth_callback"])
async def test_every_page_comes_with_a_strict_policy(oda, path):
    """No inline script or style, nothing from elsewhere, nothing kept."""
    await oda.open("")
    answer = await oda.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "no-store" == answer.headers["cache-control"]
    assert "nosniff" == answer.headers["x-content-type-options"]
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", answer.text)


async def test_files_are_there_for_everybody(nobody):
    """The login page of a proxy needs no login for them."""
    for name, kind in (("dashboard.css", "text/css"), ("dashboard.js", "text/javascript")):
        answer = await nobody.get(f"static/{name}")
        assert (200, True) == (answer.status_code, answer.headers["content-type"].startswith(kind))

# SPDX-License-Identifier: BSD-3-Clause
"""The pages: answered by a real JupyterHub, without anything inline, escaped, refused where they must be.

The hub runs as a process of its own, without a proxy, with a login by name alone; its labs' manager does not
answer, so starts wait. What a browser does with the pages is tested in ``tests/browser``.
"""

import asyncio
import html.parser
import json
import os
import re
import signal
import socket
import sys
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from jupyter_jsc.hub import pages

ROOT = Path(__file__).parents[2]
ALICE = [
    {"system": "juwels", "account": "ann1", "project": "hai", "partitions": ["login", "batch", "devel"]},
    {"system": "juwels", "account": "ann1", "project": "climate", "partitions": ["login"]},
    {"system": "jureca", "account": "ann1", "project": "hai", "partitions": ["login", "dc-gpu"]},
]
BATCH = {
    "title": "My <b>lab</b>",
    "action": "save",
    "system": "juwels",
    "option": "jupyterlab-4.6",
    "account": "ann1",
    "project": "hai",
    "partition": "batch",
    "place": "juwels/batch",
    "resources.nodes": "1",
    "resources.runtime": "60",
}
HUB = """
import json
from pathlib import Path
from jupyterhub.auth import DummyAuthenticator
from jupyterhub.proxy import Proxy
from pydantic import SecretStr
from jupyter_jsc.config.settings import HubSettings
from jupyter_jsc.demo import centre
from jupyter_jsc.hub.configure import configure
from jupyter_jsc.hub.handlers import API_HANDLERS
from jupyter_jsc.hub.login import LoginPage
from jupyter_jsc.hub.pages import PAGE_HANDLERS
from jupyter_jsc.hub.portal import Portal
from jupyter_jsc.hub.stream import STREAM_HANDLERS

folder = Path(__file__).parent
port, dead = json.loads((folder / "ports.json").read_text())
accounts = json.loads((folder / "accounts.json").read_text())
(folder / "token").write_text("t" * 40)
tree = centre.portal(f"http://127.0.0.1:{dead}", f"http://127.0.0.1:{dead}", "python3")
tree["systems"] = {
    name: site.system(f"http://127.0.0.1:{dead}", {node.name: 22 for node in site.login_nodes},
                      {node.name: "ssh-ed25519 AAAA" for node in site.login_nodes})
    for name, site in centre.SITES.items()
}
(folder / "configuration").mkdir(exist_ok=True)
(folder / "configuration" / "portal.yaml").write_text(json.dumps(tree))
settings = HubSettings(
    configuration=folder / "configuration",
    manager_token_files={name: folder / "token" for name in tree["managers"]},
    tunnelmgr_token_file=folder / "token",
)
portal = Portal.from_settings(settings, database_url=f"sqlite:///{folder}/hub.sqlite")


class NoProxy(Proxy):
    should_start = False

    async def add_route(self, routespec, target, data): ...
    async def delete_route(self, routespec): ...
    async def get_all_routes(self): return {}


class Names(DummyAuthenticator):
    portal = portal

    async def authenticate(self, handler, data):
        return {"name": data["username"], "auth_state": {"accounts": accounts.get(data["username"], [])}}

    async def fresh_access_token(self, user):
        return SecretStr("x")

    def get_handlers(self, app):
        portal.start(app)
        login = dict(super().get_handlers(app))["/login"]
        return [("/ways", LoginPage), ("/login", login), *API_HANDLERS, *STREAM_HANDLERS, *PAGE_HANDLERS]


c = get_config()
configure(c, settings_file=folder / "none", manager_tokens={})
c.JupyterHub.authenticator_class = Names
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.db_url = f"sqlite:///{folder}/hub.sqlite"
c.JupyterHub.bind_url = c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{port}"
c.Names.allow_all = c.Names.enable_auth_state = True
"""


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def _until_answers(url, process, log):
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while True:
            assert process.returncode is None, log.read_text()
            try:
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A real hub; its address."""
    folder = tmp_path_factory.mktemp("hub")
    port, dead = _free_port(), _free_port()
    (folder / "jupyterhub_config.py").write_text(HUB)
    (folder / "ports.json").write_text(json.dumps([port, dead]))
    (folder / "accounts.json").write_text(json.dumps({"alice": ALICE}))
    log = folder / "log"

    async def begin():
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"),
                cwd=folder,
                stdout=output,
                stderr=output,
                env=os.environ | {"JUPYTERHUB_CRYPT_KEY": "ab" * 32, "CONFIGPROXY_AUTH_TOKEN": "x" * 64},
            )
        await _until_answers(f"http://127.0.0.1:{port}/hub/health", process, log)
        return process

    with asyncio.Runner() as runner:
        process = runner.run(begin())
        yield f"http://127.0.0.1:{port}/hub"
        process.send_signal(signal.SIGTERM)
        runner.run(process.wait())


class Visitor:
    """A browser without scripts: keeps cookies, sends forms with their ``_xsrf``."""

    def __init__(self, session, hub):
        self.session, self.hub, self.xsrf = session, hub, ""

    async def get(self, path, **headers):
        headers = {"Sec-Fetch-Mode": "navigate", **headers}
        async with self.session.get(self.hub + path, headers=headers, allow_redirects=False) as answer:
            text = await answer.text()
            if found := re.search(r'data-xsrf="([^"]+)"', text):
                self.xsrf = found[1]
            return answer, text

    async def post(self, path, data=None, *, xsrf=True, **headers):
        data = dict(data or {}) | ({"_xsrf": self.xsrf} if xsrf else {})
        headers = {"Sec-Fetch-Mode": "navigate", **headers}
        async with self.session.post(self.hub + path, data=data, headers=headers, allow_redirects=False) as answer:
            return answer, await answer.text()


async def _visitor(session, hub, name):
    visitor = Visitor(session, hub)
    await visitor.get("/help")
    answer, _ = await visitor.post("/login", {"username": name, "password": ""})
    assert answer.status == 302
    await visitor.get("/home")
    return visitor


@pytest.fixture
async def session():
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as opened:
        yield opened


@pytest.fixture
async def alice(session, hub):
    visitor = await _visitor(session, hub, "alice")
    _, home = await visitor.get("/home")
    for server in re.findall(r'data-lab="([^"]+)"', home):
        await visitor.post(f"/labs/{server}/cancel")
    return visitor


@pytest.fixture
async def nora(session, hub):
    return await _visitor(session, hub, "nora")


class Inline(html.parser.HTMLParser):
    """Collects what a strict content security policy forbids, and links without an aim."""

    def __init__(self):
        super().__init__()
        self.found, self.ids = [], []

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(tag)
        self.found += [f"{tag} {name}" for name in names if name == "style" or name.startswith("on")]
        self.found += [
            f"{tag} {value}" for value in names.values() if (value or "").startswith(("javascript:", "http"))
        ]
        if "id" in names:
            self.ids.append(names["id"])


async def _made(visitor, title, **changes):
    answer, _ = await visitor.post("/labs/new", BATCH | {"title": title} | changes)
    assert answer.status == 303
    return title.lower().replace(" ", "-")


async def test_every_page_is_strict_and_well_formed(alice):
    """No page has anything inline, an address outside, or an id twice; each carries the strict policy."""
    server = await _made(alice, "strict")
    for path in ("/home", "/help", "/labs/new", f"/labs/{server}", f"/labs/{server}/edit", "/labs/unknown"):
        answer, text = await alice.get(path)
        seen = Inline()
        seen.feed(text)
        assert seen.found == [], path
        assert len(set(seen.ids)) == len(seen.ids), path
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


async def test_login_page_shows_the_ways_and_the_reason(session, hub):
    """Each provider is a link; a reason comes from a table, never from the address."""
    _, text = await Visitor(session, hub).get("/ways?reason=cancelled")
    assert "Log in with JSC account" in text
    assert "The login was cancelled." in text
    _, text = await Visitor(session, hub).get("/ways?reason=%3Cscript%3E")
    assert "alert-warning" not in text
    seen = Inline()
    seen.feed(text)
    assert seen.found == []


async def test_titles_are_escaped(alice):
    """What a user typed is text, on every page."""
    await _made(alice, "x <img src=x> y")
    for path in ("/home", "/labs/x-img-src-x-y", "/labs/x-img-src-x-y/edit"):
        _, text = await alice.get(path)
        assert "<img" not in text
        assert "&lt;img src=x&gt;" in text


async def test_newcomer_is_told_whom_to_ask(nora):
    """Without an account there is no form, but a name to write to and what to send."""
    _, text = await nora.get("/home")
    assert "support@example.org" in text
    assert "<code>nora</code>" in text
    answer, _ = await nora.get("/labs/new")
    assert answer.headers["Location"] == "/hub/home"
    answer, _ = await nora.post("/labs/new", BATCH)
    assert answer.status == 403


async def test_pages_need_a_login(session, hub):
    """Who is not logged in is sent to the login, and back afterwards."""
    answer, _ = await Visitor(session, hub).get("/labs/new")
    assert answer.status == 302
    assert answer.headers["Location"] == "/hub/login?next=%2Fhub%2Flabs%2Fnew"


@pytest.mark.parametrize("path", ["/labs/new", "/labs/x/start", "/labs/x/delete"])
async def test_acts_need_the_xsrf_token(alice, path):
    """A form from elsewhere does nothing."""
    answer, _ = await alice.post(path, BATCH, xsrf=False)
    assert answer.status == 403


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"system": "nope"}, "is not open to you"),
        ({"project": "climate"}, "is not open to project climate"),
        ({"resources.nodes": "99"}, "Nodes: 1 to 4, not “99”."),
        ({"resources.runtime": "long"}, "not “long”"),
        ({"title": ""}, "Give the lab a name."),
        ({"title": "x" * 61}, "Name: 1 to 60 printable characters."),
    ],
)
async def test_mistakes_are_said_and_nothing_is_saved(alice, changes, said):
    """A form that is not possible comes back with status 400, the mistake and what was typed."""
    _, before = await alice.get("/home")
    answer, text = await alice.post("/labs/new", BATCH | {"title": "refused"} | changes)
    assert answer.status == 400
    assert said in html.unescape(text)
    for name in {"title", *changes} - {"system", "project"}:
        assert f'value="{({"title": "refused"} | changes)[name]}"' in text
    _, after = await alice.get("/home")
    assert before.count("data-lab=") == after.count("data-lab=")


async def test_update_completes_the_form_without_saving(alice):
    """The button for browsers without scripts, and the scripts' own request, only complete the choices."""
    answer, text = await alice.post("/labs/new", BATCH | {"action": "update", "system": "jureca"})
    assert answer.status == 200
    assert "<html" in text
    answer, text = await alice.post(
        "/labs/new", BATCH | {"action": "update", "system": "jureca"}, **{pages.FRAGMENT: "1"}
    )
    assert answer.headers[pages.FRAGMENT] == "1"
    assert "<html" not in text
    assert "Partition is now Login node" in text


async def test_mistakes_are_listed_on_start_and_then_while_they_last(alice):
    """Before Start a mistake is said at its field alone, so that the form does not move under the user's hands."""
    wrong = BATCH | {"action": "update", "resources.nodes": "99"}
    _, text = await alice.post("/labs/new", wrong)
    assert "Nodes: 1 to 4" in text
    assert 'id="mistakes"' not in text
    _, text = await alice.post("/labs/new", wrong | {"action": "start"})
    assert 'id="mistakes"' in text
    assert 'name="told"' in text
    _, text = await alice.post("/labs/new", wrong | {"told": "1"})
    assert 'id="mistakes"' in text
    _, text = await alice.post("/labs/new", BATCH | {"action": "update", "told": "1"})
    assert 'id="mistakes"' not in text


async def test_edit_changes_the_lab(alice):
    """The form of a stopped lab starts with its options, and saves over them."""
    server = await _made(alice, "to edit")
    _, text = await alice.get(f"/labs/{server}/edit")
    assert 'value="batch" id="partition-batch" checked' in text
    answer, _ = await alice.post(f"/labs/{server}/edit", BATCH | {"title": "edited", "resources.nodes": "3"})
    assert answer.status == 303
    _, text = await alice.get(f"/labs/{server}")
    assert "3 nodes, 1 h" in text
    assert "edited" in text


async def test_duplicate_takes_the_options_and_another_title(alice):
    """A copy is a new lab with the same options."""
    server = await _made(alice, "origin")
    _, text = await alice.get(f"/labs/new?like={server}")
    assert 'value="origin 2"' in text
    assert 'value="batch" id="partition-batch" checked' in text


async def test_a_lab_called_new_has_its_own_page(alice):
    """The address of the form is no lab's address."""
    await _made(alice, "new")
    answer, _ = await alice.get("/labs/new-2")
    assert answer.status == 200


async def test_start_shows_the_start_and_cancel_ends_it(alice):
    """Start leads to the lab's page with its new start; a manager that is away makes it wait; cancel works."""
    answer, _ = await alice.post("/labs/new", BATCH | {"title": "begun", "action": "start"})
    assert (answer.status, answer.headers["Location"]) == (303, "/hub/labs/begun")
    _, text = await alice.get("/labs/begun")
    assert 'data-state="starting"' in text
    assert "Submitting to JUWELS." in text
    answer, text = await alice.get("/labs/begun/edit")
    assert answer.status == 409
    assert "Stop the lab before you edit it." in text
    answer, text = await alice.post("/labs/begun/delete", **{pages.FRAGMENT: "1"})
    assert answer.status == 409
    assert "Stop it before you delete it." in text
    answer, _ = await alice.get("/spawn-pending/alice/begun?next=%2Fhub%2Fuser%2Falice%2Fbegun%2Flab%2Ftree%2Fa.ipynb")
    assert answer.headers["Location"] == "/hub/labs/begun?next=%2Fuser%2Falice%2Fbegun%2Flab%2Ftree%2Fa.ipynb"
    answer, _ = await alice.post("/labs/begun/cancel", **{pages.FRAGMENT: "1"})
    assert answer.status == 204
    _, text = await alice.get("/labs/begun/card", **{pages.FRAGMENT: "1"})
    assert 'data-state="starting"' not in text
    assert "<html" not in text


async def test_delete_removes_the_lab(alice):
    """A lab that was never started goes at once."""
    server = await _made(alice, "short lived")
    answer, _ = await alice.post(f"/labs/{server}/delete")
    assert answer.status == 303
    answer, _ = await alice.get(f"/labs/{server}")
    assert answer.status == 404


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
    await _made(alice, "here")
    await alice.post("/labs/here/cancel")
    answer, _ = await alice.get(path)
    assert to == answer.headers["Location"]


async def test_lab_not_running_says_so(alice):
    """The address of a stopped lab leads to its title, and to a Start button that leads back to that address."""
    server = await _made(alice, "Fast asleep")
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


@pytest.mark.parametrize(
    ("wanted", "result"),
    [
        ("/user/a/x/lab/tree/n.ipynb", "/user/a/x/lab/tree/n.ipynb"),
        ("", "/user/a/x/"),
        ("https://evil.example/", "/user/a/x/"),
        ("//evil.example/user/a/x/", "/user/a/x/"),
        ("/user/a/x/../../b/y/", "/user/a/x/"),
        ("/user/a/xy/", "/user/a/x/"),
    ],
)
def test_deep_link_stays_inside_the_lab(wanted, result):
    """Only an address inside the lab is followed."""
    assert result == pages._deep_link(wanted, "/user/a/x/")


def test_vendored_files_are_unchanged():
    """What is vendored is the npm package's file, where that is installed."""
    original = ROOT / "node_modules/idiomorph/dist/idiomorph.min.js"
    if not original.is_file():
        pytest.skip("node_modules is not installed")
    assert original.read_bytes() == (pages.STATIC / "vendor/idiomorph.min.js").read_bytes()
    version = json.loads((ROOT / "node_modules/idiomorph/package.json").read_text())["version"]
    assert f"| {version} |" in (pages.STATIC / "vendor/README.md").read_text()

# SPDX-License-Identifier: BSD-3-Clause
"""Login through a real hub process at the demo's identity provider: what the browser sees, and what is refused.

Aspects: both providers with their preselection; PKCE; where the user wanted to go; wrong and hostile states; codes
used twice; cancelled; a provider that is down, refuses us or answers nonsense; another person under a known name;
logout; nothing secret in the hub's log.
"""

import asyncio
import base64
import contextlib
import json
import os
import socket
import sys
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx
import pytest
import pytest_asyncio
import yaml
from starlette.responses import Response

from jupyter_jsc.demo.identity import IdentitySettings, create_identity_provider
from jupyter_jsc.hub.login import REASONS
from tests.demo.identity_browser import Browser
from tests.demo.unicore.conftest import serve
from tests.hub.world import configuration, free_port, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "the-secret-of-the-client"
HUB = '''
import json
from pathlib import Path

from jupyterhub.proxy import Proxy

from jupyter_jsc import log
from jupyter_jsc.hub.configure import configure

folder = Path(__file__).parent
facts = json.loads((folder / "facts.json").read_text())
identity = facts["identity"]


class NoProxy(Proxy):
    """The tests talk to the hub itself."""

    should_start = False

    async def add_route(self, routespec, target, data):
        pass

    async def delete_route(self, routespec):
        pass

    async def get_all_routes(self):
        return {}


c = get_config()
log.configure("hub", debug=True)
configure(c, settings_file=folder / "hub.yaml", manager_tokens={})
c.JupyterHub.log_level = "DEBUG"
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.db_url = f"sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = str(folder / "cookie")
c.JupyterHub.bind_url = c.JupyterHub.hub_bind_url = facts["hub"]
c.LabAuthenticator.client_id = "portal"
c.LabAuthenticator.client_secret = facts["secret"]
c.LabAuthenticator.oauth_callback_url = facts["hub"] + "/hub/oauth_callback"
c.LabAuthenticator.authorize_url = identity + "/oauth2-as/oauth2-authz"
c.LabAuthenticator.token_url = identity + "/oauth2/token"
c.LabAuthenticator.userdata_url = identity + "/oauth2/userinfo"
c.LabAuthenticator.revoke_url = identity + "/oauth2/revoke"
c.LabAuthenticator.scope = ["openid", "profile", "username", "hpc_infos", "authenticator"]
c.LabAuthenticator.admin_users = {"oscar"}
c.LabAuthenticator.allow_all = True
'''


class Twisted:
    """The provider, but for paths where a test wants another answer."""

    def __init__(self, app):
        self.app = app
        self.answers = {}

    async def __call__(self, scope, receive, send):
        answer = self.answers.get(scope.get("path"))
        if answer is None:
            await self.app(scope, receive, send)
        elif answer == "cut":
            raise ConnectionResetError
        else:
            status, body = answer
            text = body if isinstance(body, str) else json.dumps(body)
            await Response(text, status, media_type="application/json")(scope, receive, send)


class Portal:
    """A hub, its log, and the provider behind it."""

    def __init__(self, address, log, app, twisted):
        self.address = address
        self.log_file = log
        self.log_begin = 0
        self.provider = app.state.provider
        self.twisted = twisted

    @property
    def log(self):
        """What the hub has logged since the test began."""
        return self.log_file.read_bytes()[self.log_begin :].decode("utf-8", "replace")

    @contextlib.asynccontextmanager
    async def browser(self):
        """A browser with empty cookies that shows every step."""
        async with httpx.AsyncClient(base_url=self.address) as http:
            yield Visitor(http, self)


class Visitor:
    """Walks through a login step by step."""

    def __init__(self, http, portal):
        self.http = http
        self.portal = portal

    async def begin(self, idp="jsc", **more):
        """Open the way to log in; return the address at the provider and its parameters."""
        answer = await self.http.get("/hub/oauth_login", params={"idp": idp} | more)
        assert answer.status_code == 302
        address = answer.headers["location"]
        return address, {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}

    async def return_address(self, name="alice", idp="jsc", **more):
        """Log in at the provider; return the address that it sends the browser back to."""
        address, _ = await self.begin(idp, **more)
        page = await self.http.get(address)
        sent = await Browser(self.http, self.portal.provider).submit(page, username=name, password=f"{name}-demo")
        assert sent.status_code == 302
        return sent.headers["location"]

    async def log_in(self, name="alice", idp="jsc", **more):
        """Walk the whole way; return where the browser ends."""
        return await self.follow(await self.return_address(name, idp, **more))

    async def follow(self, address):
        """Open a callback; return the answer, which is always a redirect."""
        answer = await self.http.get(address)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    async def who(self):
        """Return the name that the hub knows this browser by, or None."""
        answer = await self.http.get("/hub/home")
        return None if answer.status_code == 302 else answer.status_code

    async def page(self, address):
        """Open an address and every redirect after it; return the text."""
        answer = await self.http.get(urljoin(self.portal.address, address), follow_redirects=True)
        assert answer.status_code == 200
        return answer.text


def reason(address):
    """The reason in the address of the login page."""
    parts = urlsplit(address)
    assert parts.path == "/hub/login"
    return parse_qs(parts.query)["reason"][0]


def facts_of(folder, port, identity):
    tree = configuration()
    tree["identity_providers"] = {
        "jsc": {"label": "JSC account", "preselect": {"uy_select_authn": "jsc.password"}},
        "aai": {"label": "Helmholtz AAI", "preselect": {"uy_select_authn": "aai.password"}},
    }
    (folder / "configuration").mkdir()
    (folder / "configuration" / "all.yaml").write_text(yaml.safe_dump(tree))
    (folder / "token").write_text("a-token")
    settings = {"configuration": str(folder / "configuration"), "tunnelmgr_token_file": str(folder / "token")}
    settings |= {"manager_token_files": {"unicoremgr": str(folder / "token")}, "poll_interval_s": 60}
    (folder / "hub.yaml").write_text(yaml.safe_dump(settings))
    facts = {"hub": f"http://127.0.0.1:{port}", "identity": identity, "secret": SECRET}
    (folder / "facts.json").write_text(json.dumps(facts))
    (folder / "config.py").write_text(HUB)


@contextlib.asynccontextmanager
async def running_hub(folder, port):
    log = folder / "hub.log"
    environment = os.environ | {"JUPYTERHUB_CRYPT_KEY": "ab" * 32}
    command = [sys.executable, "-m", "jupyterhub", "-f", str(folder / "config.py")]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=environment, stdout=output, stderr=output
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:

            async def answers():
                assert process.returncode is None, log.read_text()
                with contextlib.suppress(httpx.TransportError):
                    return (await http.get("/hub/health")).status_code == 200

            await until(answers, 60)
        yield log
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory):
    """One hub and one provider for all tests of this file."""
    folder, port = tmp_path_factory.mktemp("login"), free_port()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        base = f"http://localhost:{sock.getsockname()[1]}"
        callback = f"http://127.0.0.1:{port}/hub/oauth_callback"
        app = create_identity_provider(IdentitySettings(base, "portal", SECRET, (callback,)))
        twisted = Twisted(app)
        facts_of(folder, port, base)
        async with serve(twisted, sock), running_hub(folder, port) as log:
            yield Portal(f"http://127.0.0.1:{port}", log, app, twisted)


@pytest_asyncio.fixture(loop_scope="module")
async def portal(running):
    """The portal, with a provider that does as it should."""
    running.twisted.answers.clear()
    running.log_begin = running.log_file.stat().st_size
    yield running
    # Whatever a test did, nobody may have seen a stack trace.
    assert "Traceback" not in running.log


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(portal):
    """A browser with empty cookies."""
    async with portal.browser() as made:
        yield made


@pytest.mark.parametrize(("name", "idp"), [("alice", "jsc"), ("nora", "aai"), ("oscar", "jsc")])
async def test_each_provider_logs_its_people_in(visitor, name, idp):
    """Also a newcomer without any account: which page says so is another module's matter."""
    assert "/hub/home" == await visitor.log_in(name, idp)
    assert 200 == await visitor.who()


async def test_the_login_page_offers_the_providers(visitor):
    """Who is not logged in comes to a page with one link for each provider, and stays there."""
    text = await visitor.page("/hub/")
    assert "Log in with JSC account" in text
    assert "Log in with Helmholtz AAI" in text
    assert "idp=jsc" in text


async def test_the_request_carries_pkce_state_and_preselection(visitor):
    """RFC 9700: a challenge by S256; the provider is told which of its ways the user chose."""
    _, sent = await visitor.begin("aai")
    assert ("S256", "aai.password", "code") == (
        sent["code_challenge_method"],
        sent["uy_select_authn"],
        sent["response_type"],
    )
    assert 43 == len(sent["code_challenge"])
    assert sent["state"]
    _, again = await visitor.begin("aai")
    assert {sent["state"], sent["code_challenge"]}.isdisjoint({again["state"], again["code_challenge"]})


async def test_only_the_table_chooses_what_the_provider_is_told(visitor):
    """Parameters of the address do not travel on; an unknown provider leads back, the wish to go on is kept."""
    _, sent = await visitor.begin("jsc", uy_select_authn="evil", prompt="none", scope="admin")
    assert "jsc.password" == sent["uy_select_authn"]
    assert "prompt" not in sent
    assert "admin" not in sent["scope"]
    address, back = await visitor.begin("evil", next="/hub/home?lab=mine")
    assert "unknown_provider" == reason(address)
    assert "/hub/home?lab=mine" == back["next"]
    assert REASONS["unknown_provider"] in await visitor.page(address)


@pytest.mark.parametrize(
    ("wanted", "reached"),
    [
        ("/hub/home?lab=mine", "/hub/home?lab=mine"),
        ("/hub/token", "/hub/token"),
        ("https://evil.example/x", "/"),
        ("//evil.example/x", "/"),
        ("///evil.example/x", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
async def test_the_user_comes_to_where_they_wanted_but_never_elsewhere(visitor, wanted, reached):
    """``next`` leads on inside the hub only, from the login page through the provider and back."""
    ended = urljoin(visitor.portal.address + "/", await visitor.log_in(next=wanted))
    assert ended.startswith(visitor.portal.address + "/")
    assert "evil.example" not in urlsplit(ended).netloc
    if reached != "/":
        assert visitor.portal.address + reached == ended


def state_of(document):
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode()


@pytest.mark.parametrize(
    "state",
    [
        state_of({"state_id": "0" * 32}),
        state_of({}),
        state_of([]),
        state_of(7),
        state_of(None),
        "no base64",
        "ünicode",
        "%00%ff",
        "_w==",
        "a" * 5000,
    ],
)
async def test_a_wrong_state_is_no_login(visitor, state):
    """Neither a forged nor a broken state; the wish to go on is kept."""
    back = urlsplit(await visitor.return_address(next="/hub/token"))
    code = parse_qs(back.query)["code"][0]
    answer = await visitor.http.get("/hub/oauth_callback", params={"code": code, "state": state})
    assert 302 == answer.status_code
    assert "wrong_state" == reason(answer.headers["location"])
    assert ["/hub/token"] == parse_qs(urlsplit(answer.headers["location"]).query)["next"]
    assert await visitor.who() is None


@pytest.mark.parametrize("query", ["", "?code=x", "?state=x", "?code=&state=", "?code=x&state=", "?code=%ff&state=%ff"])
async def test_a_callback_out_of_nowhere_is_no_login(visitor, query):
    """Without the cookie of a login that was begun here nothing is asked of the provider."""
    assert "wrong_state" == reason(await visitor.follow("/hub/oauth_callback" + query))
    assert await visitor.who() is None


async def test_a_state_of_another_browser_is_no_login(portal, visitor):
    """Nobody can be logged in as somebody else by a link (login CSRF)."""
    async with portal.browser() as attacker:
        address = await attacker.return_address("oscar")
    await visitor.begin()
    assert "wrong_state" == reason(await visitor.follow(address))
    assert await visitor.who() is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("server_error", "provider_down"),
        ("temporarily_unavailable", "provider_down"),
        ("invalid_scope", "misconfigured"),
        ("<script>", "misconfigured"),
    ],
)
async def test_an_error_of_the_provider_becomes_a_sentence(visitor, error, expected):
    """By the class of the error; one without the state of this browser is nobody's."""
    _, sent = await visitor.begin()
    address = "/hub/oauth_callback"
    assert "wrong_state" == reason(await visitor.follow(f"{address}?{urlencode({'error': error, 'state': 'x'})}"))
    _, sent = await visitor.begin()
    back = await visitor.follow(f"{address}?{urlencode({'error': error, 'state': sent['state']})}")
    assert expected == reason(back)


async def test_a_code_that_was_used_is_no_login(portal, visitor):
    """Neither by the same browser again, nor with a new state."""
    address = await visitor.return_address()
    await visitor.follow(address)
    async with portal.browser() as other:
        code = parse_qs(urlsplit(address).query)["code"][0]
        _, sent = await other.begin()
        answer = await other.http.get("/hub/oauth_callback", params={"code": code, "state": sent["state"]})
        assert "expired" == reason(answer.headers["location"])
        assert await other.who() is None
        again = await other.follow(address)
        assert "wrong_state" == reason(again)
        assert REASONS["wrong_state"] in await other.page(again)


async def test_a_cancelled_login_says_so(visitor):
    """As Unity does for "Cancel": access_denied."""
    _, sent = await visitor.begin(next="/hub/token")
    denied = {"error": "access_denied", "error_description": "<b>hello</b>", "state": sent["state"]}
    answer = await visitor.http.get("/hub/oauth_callback", params=denied)
    address = answer.headers["location"]
    assert "cancelled" == reason(address)
    text = await visitor.page(address)
    assert REASONS["cancelled"] in text
    assert "hello" not in text


async def test_a_wrong_password_is_no_login(visitor):
    """The provider's page says so; the right one then works, and who gives up is back at the login page with a reason."""
    address, _ = await visitor.begin(next="/hub/token")
    provider = Browser(visitor.http, visitor.portal.provider)
    page = await provider.submit(await visitor.http.get(address), username="alice", password="guess")
    assert "The user name or the password is wrong." in page.text
    assert await visitor.who() is None
    given_up = await provider.submit(page, cancel="yes")
    back = await visitor.follow(given_up.headers["location"])
    assert "cancelled" == reason(back)
    assert REASONS["cancelled"] in await visitor.page(back)
    assert ["/hub/token"] == parse_qs(urlsplit(back).query)["next"]
    assert "guess" not in visitor.portal.log


TOKEN, USERINFO = "/oauth2/token", "/oauth2/userinfo"
GOOD = {"access_token": "leaked-access-token", "token_type": "Bearer", "refresh_token": "leaked-refresh-token"}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({TOKEN: (500, "Internal")}, "provider_down"),
        ({TOKEN: (503, "<h1>Maintenance</h1>")}, "provider_down"),
        ({TOKEN: "cut"}, "provider_down"),
        ({TOKEN: (200, "")}, "provider_down"),
        ({TOKEN: (200, '{"access_token": "leaked-')}, "provider_down"),
        ({TOKEN: (200, ["leaked-list"])}, "provider_down"),
        ({TOKEN: (200, {"token_type": "Bearer", "refresh_token": "leaked-refresh-token"})}, "provider_down"),
        ({TOKEN: (200, {"access_token": ["leaked"], "token_type": "Bearer"})}, "provider_down"),
        ({TOKEN: (400, {"error": "invalid_grant", "error_description": "leaked-code"})}, "expired"),
        ({TOKEN: (403, {"error": "invalid_client"})}, "misconfigured"),
        ({TOKEN: (401, {"error": "unauthorized_client"})}, "misconfigured"),
        ({TOKEN: (400, {"error": "invalid_client"})}, "misconfigured"),
        ({TOKEN: (403, {"error": "access_denied"})}, "refused"),
        ({USERINFO: (500, "Internal")}, "provider_down"),
        ({USERINFO: (401, "")}, "provider_down"),
        ({USERINFO: (200, "")}, "provider_down"),
        ({USERINFO: (200, [])}, "provider_down"),
        ({USERINFO: (200, {"sub": "one"})}, "incomplete"),
        ({USERINFO: (200, {"username_attr": "alice"})}, "incomplete"),
        ({USERINFO: (200, {"username_attr": ["alice"], "sub": "x"})}, "incomplete"),
        ({USERINFO: (200, {"username_attr": "", "sub": "x"})}, "incomplete"),
        ({USERINFO: (200, {"username_attr": "a/b", "sub": "x"})}, "incomplete"),
        ({USERINFO: (200, {"username_attr": "a" * 300, "sub": "x"})}, "incomplete"),
        ({USERINFO: (200, {"username_attr": "alice\n", "sub": "x"})}, "incomplete"),
        ({USERINFO: (200, {"username_attr": "new", "sub": ["x"]})}, "incomplete"),
    ],
    ids=str,
)
async def test_whatever_the_provider_answers_the_user_learns_what_to_do(portal, visitor, answers, expected):
    """Back at the login page with a sentence; no login, no stack trace, nothing of the answer in the log."""
    address = await visitor.return_address()
    portal.twisted.answers.update(answers)
    back = await visitor.follow(address)
    assert expected == reason(back)
    assert REASONS[expected] in await visitor.page(back)
    assert await visitor.who() is None
    assert "leaked" not in portal.log


async def test_another_person_under_a_known_name_is_refused(portal, visitor):
    """Identity is the subject: whoever gets a recycled user name gets none of the labs behind it."""
    await visitor.log_in()
    claims = {"username_attr": "alice", "sub": "somebody-else"}
    portal.twisted.answers[USERINFO] = (200, claims)
    async with portal.browser() as other:
        assert "other_person" == reason(await other.log_in())
        assert await other.who() is None


async def test_a_reason_is_one_of_ours(visitor):
    """The page never repeats what an address says."""
    text = await visitor.page("/hub/login?reason=%3Cscript%3Ealert(1)")
    assert "alert(1)" not in text
    assert "alert-warning" not in text


async def test_the_login_page_takes_no_post(visitor):
    """There are no passwords here, and no other way in."""
    await visitor.page("/hub/login")
    token = visitor.http.cookies.get("_xsrf") or "x"
    answer = await visitor.http.post("/hub/login", data={"username": "oscar", "code": "x", "_xsrf": token})
    assert answer.status_code in {403, 405}
    assert await visitor.who() is None


async def test_logout_ends_the_session_here_and_there(portal, visitor):
    """The refresh token is dead at the provider; another login is needed here."""
    before = set(portal.provider.logins._entries)
    await visitor.log_in("oscar")
    assert await visitor.who()
    assert 1 == len(set(portal.provider.logins._entries) - before)
    answer = await visitor.http.get("/hub/logout")
    assert (302, "/hub/login?reason=logged_out") == (answer.status_code, answer.headers["Location"])
    assert await visitor.who() is None
    assert set() == set(portal.provider.logins._entries) - before


async def test_logout_does_not_wait_for_a_provider_that_is_down(portal, visitor):
    """A logout is never held up or refused by the other side."""
    await visitor.log_in()
    portal.twisted.answers["/oauth2/revoke"] = "cut"
    assert 302 == (await visitor.http.get("/hub/logout")).status_code
    assert await visitor.who() is None


async def test_tokens_are_stored_encrypted(portal, visitor):
    """Who reads the hub's database reads nobody's tokens."""
    await visitor.log_in()
    tokens = [*portal.provider.access_tokens._entries, *portal.provider.logins._entries]
    stored = b"".join(path.read_bytes() for path in portal.log_file.parent.glob("hub.sqlite*"))
    assert tokens
    assert b"alice" in stored
    assert [token for token in tokens if token.encode() in stored] == []


async def test_no_secret_is_in_the_log(portal, visitor):
    """Good and bad logins at DEBUG: no token, code, verifier or client secret."""
    address = await visitor.return_address()
    await visitor.follow(address)
    provider = portal.provider
    secrets = [SECRET, parse_qs(urlsplit(address).query)["code"][0]]
    secrets += [*provider.access_tokens._entries, *provider.logins._entries]
    assert len(secrets) > 4
    log = portal.log
    assert [secret for secret in secrets if secret in log] == []

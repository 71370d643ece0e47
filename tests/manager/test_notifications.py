# SPDX-License-Identifier: BSD-3-Clause
"""The receiver of UNICORE's notifications: signed, answered at once whatever else is slow, passed on.

Aspects: good and bad signatures; a hub and a site that hang; a flood; a new key of the site.
"""

import asyncio
import datetime as dt
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from jupyter_jsc.config.current import Current
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.settings import HubPeer, ManagerSettings
from jupyter_jsc.config.systems import System, SystemKind
from jupyter_jsc.errors import NotFound
from jupyter_jsc.manager import app as manager
from jupyter_jsc.manager.notifications import Message, Notifications, Received, public_key, verify
from jupyter_jsc.sites import Tell
from jupyter_jsc.sites.unicore import UnicoreSite
from tests.config.published import Published
from tests.demo.unicore.conftest import serve
from tests.manager.conftest import LAB, START, SmallSite, over_http
from tests.sites.unicore.conftest import ALICE, Traffic, configuration, demo_site, start_lab, system

URL = f"/v1/notifications/juwels/demo/{LAB}/{START}"
BODY = {"href": "http://x/rest/core/jobs/abc", "status": "RUNNING", "statusMessage": "", "batchSystemID": "7"}


class Signer:
    """A site's key with its certificate."""

    def __init__(self, kind: str = "rsa") -> None:
        private = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "demo")])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private.public_key())
            .serial_number(1)
            .not_valid_before(now)
            .not_valid_after(now + dt.timedelta(days=1))
            .sign(private, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)
        self._key = RSAKey.import_key(private) if kind == "rsa" else ECKey.import_key(private)
        self._algorithm = "RS256" if kind == "rsa" else "ES256"

    def token(self, **changes: object) -> str:
        claims = {"iss": "CN=demo", "sub": "UID=alice", "etd": "true", "exp": int(time.time()) + 300} | changes
        return jwt.encode({"alg": self._algorithm}, {k: v for k, v in claims.items() if v is not None}, self._key)


SITE, STRANGER = Signer(), Signer()


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_a_good_signature_is_accepted(kind: str) -> None:
    """Both kinds of keys that servers use."""
    signer = Signer(kind)
    assert verify(signer.token(), public_key(signer.pem))


@pytest.mark.parametrize(
    "token",
    [
        STRANGER.token(),
        SITE.token(exp=1),
        SITE.token(exp=None),
        SITE.token(etd=None),
        SITE.token(etd="false"),
        SITE.token()[:-4] + "AAAA",
        "a.b.c",
        "",
        "eyJhbGciOiJub25lIn0.eyJldGQiOiJ0cnVlIn0.",
    ],
    ids=["stranger", "expired", "endless", "no-etd", "etd-false", "cut", "nonsense", "empty", "unsigned"],
)
def test_any_other_is_not(token: str) -> None:
    """A forged message never wakes anybody."""
    assert not verify(token, public_key(SITE.pem))


class Hub:
    """A hub that notes what it is told, or hangs."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[str] = asyncio.Queue()
        self.answer = asyncio.Event()
        self.answer.set()

    async def receive(self, request: web.Request) -> web.Response:
        await self.answer.wait()
        await self.told.put(request.path)
        return web.Response(status=204)


@pytest.fixture
async def hub() -> AsyncIterator[tuple[Hub, str]]:
    hub = Hub()
    app = web.Application()
    app.router.add_post("/jsc/starts/{start}/notice", hub.receive)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield hub, f"http://127.0.0.1:{runner.addresses[0][1]}"
    hub.answer.set()
    await runner.cleanup()


class SigningSite(SmallSite):
    """A site with a certificate; fetching it may hang, and it may change."""

    def __init__(self) -> None:
        super().__init__()
        self.pem = SITE.pem
        self.fetched = 0
        self.answer = asyncio.Event()
        self.answer.set()

    async def certificate(self) -> bytes:
        self.fetched += 1
        await self.answer.wait()
        return self.pem


@pytest.fixture
def signing() -> SigningSite:
    return SigningSite()


@pytest.fixture
async def http(
    hub: tuple[Hub, str], signing: SigningSite, settings: ManagerSettings, current: Current, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    (tmp_path / "token").write_text("manager-token")
    peer = HubPeer(api_url=hub[1], token_file=tmp_path / "token")
    own = settings.model_copy(update={"hubs": {"demo": peer}})
    async with over_http(manager.create_app(current, own, {SystemKind.UNICORE: lambda *_: signing})) as http:
        yield http


def signed(signer: Signer) -> dict[str, str]:
    return {"authorization": f"Bearer {signer.token()}"}


async def test_the_hub_is_told(http: httpx.AsyncClient, hub: tuple[Hub, str]) -> None:
    """A signed message reaches the hub of its address as a notice about its start."""
    assert (await http.post(URL, json=BODY, headers=signed(SITE))).status_code == 204
    assert await hub[0].told.get() == f"/jsc/starts/{START}/notice"


async def test_a_forged_message_is_answered_and_dropped(http: httpx.AsyncClient, hub: tuple[Hub, str]) -> None:
    """Verification happens behind the answer; only the good message arrives."""
    for signer in (STRANGER, SITE):
        assert (await http.post(URL, json=BODY, headers=signed(signer))).status_code == 204
    await hub[0].told.get()
    assert hub[0].told.empty()


async def test_everything_slow_does_not_hold_up_the_answer(
    http: httpx.AsyncClient, hub: tuple[Hub, str], signing: SigningSite
) -> None:
    """With site and hub hanging every message is answered all the same; a receiver that hangs stops a site."""
    hub[0].answer.clear()
    signing.answer.clear()
    for _ in range(50):
        assert (await http.post(URL, json=BODY, headers=signed(SITE))).status_code == 204
    signing.answer.set()
    hub[0].answer.set()
    assert await hub[0].told.get()


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{" * 20_000, {"authorization": "Bearer a.b.c"}, 400),
        (b"no json", {"authorization": "Bearer a.b.c"}, 400),
        (b"{}", {"authorization": "Basic a.b.c"}, 401),
        (b"{}", {"authorization": "Bearer opaque"}, 401),
    ],
    ids=["large", "nonsense", "basic", "no-jwt"],
)
async def test_what_is_no_notification_is_refused(
    http: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int
) -> None:
    """Bounded before anything is kept."""
    assert (await http.post(URL, content=content, headers=headers)).status_code == status


async def test_a_flood_drops_the_oldest() -> None:
    """Memory stays bounded; what is lost costs time only."""

    async def certificate(_system: str) -> bytes:
        raise NotFound("none")

    notifications = Notifications(certificate, {})
    for number in range(2100):
        notifications.accept(Received("demo", "demo", f"s{number}", "t", Message()))
    assert notifications.dropped == 100
    assert notifications._queue.get_nowait().start_id == "s100"
    notifications.heard("demo", "one more has room")
    notifications.heard("demo", "the next has none")
    assert notifications.dropped == 101


async def test_the_key_is_not_fetched_for_every_forgery(
    http: httpx.AsyncClient, hub: tuple[Hub, str], signing: SigningSite
) -> None:
    """A flood of forgeries does not become a flood of requests to the site."""
    for signer in [STRANGER] * 20 + [SITE]:
        await http.post(URL, json=BODY, headers=signed(signer))
    await hub[0].told.get()
    assert signing.fetched == 1


async def test_a_site_speaks_and_the_hub_is_told(
    hub: tuple[Hub, str], settings: ManagerSettings, published: Published, tmp_path: Path
) -> None:
    """From the job's description to the hub: the site signs with the key that its certificate names."""
    (tmp_path / "token").write_text("manager-token")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        public_url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        peer = HubPeer(api_url=hub[1], token_file=tmp_path / "token")
        own = settings.model_copy(update={"hubs": {"demo": peer}, "public_url": public_url})

        def make_site(name: str, system: System, configuration: Configuration) -> UnicoreSite:
            return UnicoreSite(name, system, configuration, public_url)

        async with demo_site(tmp_path / "site", Traffic()) as site:
            place = system(site.settings.core, notifications=True)
            portal = configuration(place)
            current = Current(published.publish("v1", portal.model_dump(mode="json", exclude_defaults=True)))
            app = manager.create_app(current, own, {SystemKind.UNICORE: make_site})
            async with serve(app, sock), make_site("demo", place, portal) as driver:
                lab = start_lab(partition="login", resources={})
                await driver.start(lab, ALICE)
                assert await hub[0].told.get() == f"/jsc/starts/{lab.start_id}/notice"


class TellingSite(SmallSite):
    """A site that hears by itself of what changes."""

    tell: Tell

    def on_change(self, tell: Tell) -> None:
        self.tell = tell


@pytest.fixture
async def telling(
    hub: tuple[Hub, str], settings: ManagerSettings, current: Current, tmp_path: Path
) -> AsyncIterator[TellingSite]:
    """Such a site, while its manager runs."""
    (tmp_path / "token").write_text("manager-token")
    own = settings.model_copy(update={"hubs": {"demo": HubPeer(api_url=hub[1], token_file=tmp_path / "token")}})
    site = TellingSite()
    async with over_http(manager.create_app(current, own, {SystemKind.UNICORE: lambda *_: site})):
        yield site


async def test_a_driver_that_hears_of_a_change_tells_the_hub(hub: tuple[Hub, str], telling: TellingSite) -> None:
    """Without any signature, for it is the manager's own; a hub that is not known here is told nothing."""
    telling.tell("stranger", START)
    telling.tell("demo", START)
    assert await hub[0].told.get() == f"/jsc/starts/{START}/notice"
    assert hub[0].told.empty()


async def test_telling_never_waits(hub: tuple[Hub, str], telling: TellingSite) -> None:
    """A hub that hangs holds up no driver; what is told meanwhile arrives later."""
    hub[0].answer.clear()
    for number in range(20):
        telling.tell("demo", f"s{number}")
    telling.tell("demo", "the-last")
    hub[0].answer.set()
    async with asyncio.timeout(60):
        while await hub[0].told.get() != "/jsc/starts/the-last/notice":
            pass

# SPDX-License-Identifier: BSD-3-Clause
"""The root resource, what the site offers (factories), its certificate, and the tokens that it issues."""

import time

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from jupyter_jsc.demo.unicore.auth import Caller
from jupyter_jsc.demo.unicore.faults import error
from jupyter_jsc.demo.unicore.jobs import selected, stamp
from jupyter_jsc.demo.unicore.settings import SiteSettings
from jupyter_jsc.demo.unicore.tokens import ServerKey

_COLLECTIONS = ("factories", "sites", "jobs", "storages", "transfers")
_FACTORY = "default_target_system_factory"
_TOKEN_S = 300


class RootRoutes:
    """The routes of ``B`` that are not about jobs or files."""

    def __init__(self, settings: SiteSettings, key: ServerKey) -> None:
        self._settings = settings
        self._key = key
        self._up_since = time.time()
        self.router = APIRouter(prefix=settings.prefix)
        add = self.router.add_api_route
        add("", self.root, methods=["GET"])
        add("/certificate", self.certificate, methods=["GET"])
        add("/token", self.token, methods=["GET"])
        add("/factories", self.factories, methods=["GET"])
        add(f"/factories/{_FACTORY}", self.factory, methods=["GET"])
        add("/{collection}", self.nothing, methods=["GET"])

    async def root(self, request: Request) -> Response:
        """Return who calls and what the server is; 200 also for anonymous callers."""
        caller: Caller = request.state.caller
        settings = self._settings
        expires = stamp(self._key.expires.timestamp())
        server = {
            "currentTime": stamp(time.time()),
            "upSince": stamp(self._up_since),
            "siteName": settings.name,
            "version": "11.0.1",
            "jobSubmission": {"message": "", "enabled": True},
            "credential": {"expires": expires, "dn": self._key.dn, "issuer": self._key.dn},
            # No proof of health: a real server says OK also while these are down.
            "externalConnections": {f"OIDC Server {settings.userinfo_url}": "OK", "TSI 1": "OK"},
            "trustedCAs": [],
            "trustedSAMLIssuers": [],
        }
        links = {name: {"href": f"{settings.core}/{name}"} for name in _COLLECTIONS}
        properties = {"client": caller.info(), "server": server, "_links": links}
        return JSONResponse(selected(properties, request.query_params.get("fields", "")))

    async def certificate(self) -> Response:
        """Return the certificate whose key signs notifications and tokens."""
        return PlainTextResponse(self._key.certificate)

    async def token(self, request: Request) -> Response:
        """Return a token of the site that acts for the caller, with the chosen account."""
        caller: Caller = request.state.caller
        query = request.query_params
        if caller.anonymous or (caller.method == "ETD" and not caller.renewable):
            return Response(status_code=403)
        lifetime = query.get("lifetime", str(_TOKEN_S))
        if not lifetime.isdecimal() or not 0 < int(lifetime) <= self._settings.token_lifetime_max_s:
            return error(400, "Requested lifetime is longer than the validity of the server's certificate")
        account = caller.account
        others = {name: projects for name, projects in caller.identity.projects.items() if name != account}
        assert account is not None
        token = self._key.delegation(
            caller.dn,
            {account: caller.identity.projects[account], **others},
            lifetime_s=int(lifetime),
            limited=query.get("limited") == "true",
            renewable=query.get("renewable") == "true",
        )
        return PlainTextResponse(token)

    async def factories(self) -> Response:
        """Return the one factory."""
        return JSONResponse({"factories": [f"{self._settings.core}/factories/{_FACTORY}"], "_links": {}})

    async def factory(self, request: Request) -> Response:
        """Return the partitions with their ranges, also to anonymous callers."""
        ranges = {
            partition.name: {name: f"{low}-{high}" for name, (low, high) in partition.ranges().items()}
            for partition in self._settings.partitions
        }
        properties = {
            "siteName": self._settings.name,
            "supportsReservation": "false",
            "resources": ranges,
            "remainingComputeTime": {},
            "applications": [],
            "otherInfo": {},
            "_links": {"self": {"href": f"{self._settings.core}/factories/{_FACTORY}"}},
        }
        return JSONResponse(selected(properties, request.query_params.get("fields", "")))

    async def nothing(self, collection: str) -> Response:
        """Return the empty list of sites or transfers."""
        if collection not in {"sites", "transfers"}:
            return Response(status_code=404)
        return JSONResponse({collection: [], "_links": {}})

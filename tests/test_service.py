# SPDX-License-Identifier: BSD-3-Clause
"""What every service shares: the gate denies by default, errors are problems, nothing secret is echoed."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client import Gauge

from jupyter_jsc import errors, service, wire


@pytest.fixture
def callers_file(tmp_path: Path) -> Path:
    path = tmp_path / "callers.yaml"
    path.write_text(yaml.safe_dump({"demo": service.token_hash("right"), "dashboard": service.token_hash("looks")}))
    return path


@pytest.fixture
async def http(callers_file: Path) -> AsyncIterator[httpx.AsyncClient]:
    health = {"database": "ok"}

    async def probe() -> str:
        return health["database"]

    app = service.create_app(
        "test",
        callers=service.Callers(callers_file),
        probes={"database": probe},
        self_authenticated=("/v1/signed",),
        details=lambda: {"configuration": "v1"},
        collectors=[Gauge("jsc_fact", "A fact.", registry=None)],
    )

    @app.put("/v1/labs")
    async def labs(lab: wire.LabStarted) -> dict[str, int]:
        return {"port": lab.port}

    @app.get("/v1/signed/x")
    async def signed() -> str:
        return "checked elsewhere"

    @app.get("/v1/refused")
    async def refused() -> None:
        raise errors.SiteRefused("Choose fewer nodes.", retry_after_s=7)

    @app.get("/v1/broken")
    async def broken() -> None:
        raise ZeroDivisionError("s3cr3t")

    @app.get("/v1/sick")
    async def sick() -> None:
        health["database"] = "does not answer"

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=service.bearer("right")) as http:
        yield http


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic right", "right", "Bearer right right"]
)
@pytest.mark.parametrize("path", ["/v1/labs", "/v1/refused", "/openapi.json", "/nothing", "/health", "//v1/signed/x"])
async def test_the_gate_denies_by_default(http: httpx.AsyncClient, authorization: str | None, path: str) -> None:
    """Without the token of a known caller no route answers, known or not."""
    request = http.build_request("GET", path)
    request.headers.pop("authorization")
    if authorization is not None:
        request.headers["authorization"] = authorization
    response = await http.send(request)
    assert response.status_code == 401
    assert response.json()["type"] == "NotAuthenticated"


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "get"])
async def test_the_dashboard_changes_nothing(http: httpx.AsyncClient, method: str) -> None:
    """Its token reads; whoever has it can do no more."""
    body = {"host": "jwc01", "port": 8888}
    looks = service.bearer("looks")
    assert 422 == (await http.get("/v1/refused", headers=looks)).status_code
    response = await http.request(method, "/v1/labs", json=body, headers=looks)
    assert response.status_code == (405 if method == "get" else 403)
    assert 200 == (await http.put("/v1/labs", json=body)).status_code


async def test_the_shallow_health_tells_the_version(http: httpx.AsyncClient) -> None:
    """So that whoever wants to know it makes nobody ask others."""
    assert {"live": True, "details": {"configuration": "v1"}} == (await http.get("/health/live")).json()


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", "/v1/signed/x"])
async def test_few_paths_are_open(http: httpx.AsyncClient, path: str) -> None:
    """Health, metrics, and what checks a signature itself."""
    assert (await http.get(path, headers={"authorization": ""})).status_code == 200


async def test_a_new_caller_is_known_at_once(http: httpx.AsyncClient, callers_file: Path) -> None:
    """Tokens are rotated without a restart."""
    callers_file.write_text(yaml.safe_dump({"demo": service.token_hash("another token")}))
    assert (await http.get("/v1/refused")).status_code == 401
    assert (await http.get("/v1/refused", headers=service.bearer("another token"))).status_code == 422


@pytest.mark.parametrize("content", ["demo: [", "- demo", "demo", "\x00", ""])
async def test_a_broken_callers_file_changes_nothing(http: httpx.AsyncClient, callers_file: Path, content: str) -> None:
    """A bad new version never replaces a good old one; a half-written file locks nobody out."""
    assert (await http.get("/v1/refused")).status_code == 422
    callers_file.write_text(content)
    assert (await http.get("/v1/refused")).status_code == 422
    callers_file.unlink()
    assert (await http.get("/v1/refused")).status_code == 422


@pytest.mark.parametrize("content", [None, "", "demo: ["])
def test_without_a_callers_file_nobody_may_call(tmp_path: Path, content: str | None) -> None:
    """A missing or unreadable file opens nothing."""
    path = tmp_path / "callers.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(errors.NotAuthenticated):
        service.Callers(path).identify("Bearer right")


def test_a_service_for_no_callers() -> None:
    """One that nothing but health is asked of needs no file."""
    with pytest.raises(errors.NotAuthenticated):
        service.Callers(None).identify("Bearer right")


async def test_a_caller_is_known_to_the_handler_by_name(callers_file: Path) -> None:
    """The log and a handler can tell who calls."""
    assert service.Callers(callers_file).identify("bearer right") == "demo"


async def test_an_invalid_body_names_the_field_but_not_the_value(http: httpx.AsyncClient) -> None:
    """Messages may carry secrets; the answer never repeats them."""
    response = await http.put("/v1/labs", json={"host": "s3cr3t $(x)", "port": 8888})
    assert response.status_code == 400
    assert "host" in response.json()["detail"]
    assert "s3cr3t" not in response.text


async def test_an_error_of_ours_is_a_problem(http: httpx.AsyncClient) -> None:
    """RFC 9457, with the delay as a header too."""
    response = await http.get("/v1/refused")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "7"
    assert response.json()["detail"] == "Choose fewer nodes."


async def test_any_other_error_says_where_to_look_and_nothing_else(http: httpx.AsyncClient) -> None:
    """No traceback, no message of a foreign exception; the request id leads to the log line."""
    response = await http.get("/v1/broken", headers={"x-request-id": "r-17"})
    assert response.status_code == 500
    assert "r-17" in response.json()["detail"]
    assert response.headers["x-request-id"] == "r-17"
    assert "s3cr3t" not in response.text


async def test_ready_names_what_is_wrong(http: httpx.AsyncClient) -> None:
    """Shallow and deep health differ."""
    await http.get("/v1/sick")
    response = await http.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["dependencies"] == {"database": "does not answer"}
    assert response.json()["details"] == {"configuration": "v1"}
    assert (await http.get("/health/live")).status_code == 200


async def test_metrics_count_by_route_not_by_path(http: httpx.AsyncClient) -> None:
    """Ids in paths would make one time series each."""
    await http.get("/v1/refused")
    text = (await http.get("/metrics")).text
    assert 'jsc_request_seconds_count{method="GET",route="/v1/refused",status="422"} 1.0' in text


async def test_metrics_hold_what_a_service_adds(http: httpx.AsyncClient) -> None:
    """Each service has figures of its own."""
    assert "jsc_fact 0.0" in (await http.get("/metrics")).text

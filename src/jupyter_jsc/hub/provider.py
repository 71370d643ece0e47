# SPDX-License-Identifier: BSD-3-Clause
"""The HTTP client that asks the identity provider; oauthenticator takes it as its ``http_client``.

Tornado's own waits for its whole time limit, with a traceback in the log, when a connection is reset (tornado 6.5,
``simple_httpclient``: what it raises on a closed connection never reaches the caller).
"""

import io
import ssl

import aiohttp
from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.httputil import HTTPHeaders

_LARGEST_ANSWER = 1024 * 1024


class ProviderClient:
    """Fetches one answer at a time, without following redirects."""

    async def fetch(self, request: HTTPRequest, *, raise_error: bool = True) -> HTTPResponse:
        """Return the answer. Raises :class:`HTTPClientError` for 300 and above, if *raise_error*, and for too long ones.

        What gives no answer at all is :class:`aiohttp.ClientError`, :class:`TimeoutError` or :class:`OSError`.
        """
        limit = aiohttp.ClientTimeout(total=request.request_timeout, connect=request.connect_timeout)
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.request(
                request.method,
                request.url,
                data=request.body,
                headers=dict(request.headers),
                ssl=_context(request),
                allow_redirects=False,
            ) as answer,
        ):
            body = await answer.content.read(-1) if (answer.content_length or 0) <= _LARGEST_ANSWER else None
            if body is None or len(body) > _LARGEST_ANSWER:
                raise HTTPClientError(502, "The answer is too long.")
            headers = HTTPHeaders(dict(answer.headers))
            response = HTTPResponse(request, answer.status, headers, io.BytesIO(body), reason=answer.reason)
        if raise_error and response.code >= 300:
            raise HTTPClientError(response.code, response=response)
        return response


def _context(request: HTTPRequest) -> ssl.SSLContext | bool:
    """Return what checks the provider's certificate, as the deployment's ``http_request_kwargs`` say."""
    if request.validate_cert is False:
        return False
    return ssl.create_default_context(cafile=request.ca_certs) if request.ca_certs else True

"""The access token that Qianfan's first interface wants in each address: fetched, kept, and shared by all requests.

Source: Baidu's "获取 AccessToken" page: OAuth 2.0 client credentials in the query of a POST.
"""

from __future__ import annotations

import asyncio
import time

import httpx

from chat.errors import Cause, ErrorCode, UpstreamError
from chat.providers import http_errors
from chat.providers.http import open_response
from chat.providers.http_adapter import beginning
from chat.providers.http_request import post, prepared
from chat.providers.json_frames import json_object
from chat.providers.qianfan_codes import code_in, of_code

FETCH_SECONDS = 10.0
"""How long one fetch may take: all requests wait for it."""

MARGIN_SECONDS = 300.0
"""A token is used no longer when it lives only for so long; it lives for a month."""

_KEY_REFUSED = frozenset({"invalid_client", "invalid_grant", "unauthorized_client"})


class AccessToken:
    """Of one application. It stays in memory; the address that brings it, and those that it stands in, go to no log."""

    def __init__(
        self,
        provider: str,
        url: str,
        *,
        api_key: str,
        api_secret: str,
        connect_seconds: float,
        http: httpx.AsyncBaseTransport,
    ) -> None:
        self._provider = provider
        query = {"grant_type": "client_credentials", "client_id": api_key, "client_secret": api_secret}
        self._url = httpx.URL(url, params=query)
        self._headers = prepared(self._url, [(b"Content-Type", b"application/json"), (b"Accept", b"application/json")])
        self._connect_seconds = connect_seconds
        self._http = http
        self._token = ""
        self._good_until = 0.0
        self._fetching = asyncio.Lock()
        self._fetches = 0
        self._failure: UpstreamError | None = None

    async def get(self) -> str:
        """One that is good. Who comes while another request fetches it waits for that, and shares its failure too.
        Raises UpstreamError."""
        if self._is_good():
            return self._token
        fetches_before = self._fetches
        async with self._fetching:
            if self._is_good():
                return self._token
            if self._failure is not None and self._fetches > fetches_before:
                raise _anew(self._failure)
            self._failure = None
            try:
                return await self._fetch()
            except UpstreamError as error:
                self._failure = _anew(error)
                raise
            finally:
                self._fetches += 1

    def forget(self, token: str) -> None:
        """It was refused; one that was fetched meanwhile stays."""
        if token == self._token:
            self._token = ""

    def _is_good(self) -> bool:
        return bool(self._token) and time.monotonic() < self._good_until

    async def _fetch(self) -> str:
        request = post(self._url, self._headers, b"", None, self._connect_seconds)
        answered = False
        try:
            async with asyncio.timeout(FETCH_SECONDS), open_response(self._http, request) as response:
                answered = True
                body = await beginning(response)
        except httpx.HTTPError as error:
            raise http_errors.of_exception(error, provider=self._provider, answered=answered) from None
        except TimeoutError:
            raise UpstreamError(ErrorCode.UPSTREAM_TIMEOUT, details={"provider": self._provider}) from None
        return self._read(response, body)

    def _read(self, response: httpx.Response, body: bytes) -> str:
        said = json_object(body) or {}
        token, seconds = said.get("access_token"), said.get("expires_in")
        if response.status_code == 200 and isinstance(token, str) and token:
            good_for = seconds if isinstance(seconds, int | float) else 0.0
            self._token, self._good_until = token, time.monotonic() + good_for - MARGIN_SECONDS
            return token
        if said.get("error") in _KEY_REFUSED:
            raise UpstreamError(ErrorCode.UPSTREAM_AUTH, details={"provider": self._provider, "cause": Cause.KEY})
        if (code := code_in(said.get("error_code"))) is not None:
            raise of_code(code, provider=self._provider)
        if response.status_code != 200:
            raise http_errors.of_status(response.status_code, response.headers, provider=self._provider)
        raise UpstreamError(ErrorCode.UPSTREAM_PROTOCOL, details={"provider": self._provider})


def _anew(error: UpstreamError) -> UpstreamError:
    """For another request, without the first one's traceback and all that hangs on it."""
    return UpstreamError(
        error.error_code, details=error.details, attempt_again=error.attempt_again, retry_after=error.retry_after
    )

"""Pictures from a camera's HTTP snapshot URL: no redirects, a size cap, and an end to every wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

import httpx
import simplejpeg

from ioc.errors import SourceError
from vision.address import Place
from vision.picture import fit_jpeg

#: A larger answer is no snapshot.
MOST_BYTES: Final = 8_000_000
#: The whole request, however slowly the camera drips.
REQUEST_S: Final = 10.0
#: This long without a picture, and the camera is lost.
LOST_S: Final = 20.0


async def fetch(client: httpx.AsyncClient, place: Place) -> bytes:
    """One snapshot.

    Raises:
        SourceError: no answer in time, another status than 200, a redirect, too large, or not a JPEG.
    """
    auth: httpx.Auth | None = httpx.DigestAuth(place.user, place.password) if place.user else None
    try:
        async with asyncio.timeout(REQUEST_S):
            status, challenge, body = await _get(client, place, auth)
            if status == 401 and place.user and challenge.lower().startswith("basic"):
                status, _, body = await _get(client, place, httpx.BasicAuth(place.user, place.password))
    except TimeoutError as error:
        raise SourceError(f"no answer within {REQUEST_S:.0f} s") from error
    except SourceError:
        raise
    except Exception as error:
        # What a strange challenge raises is of any kind. The text of the library's errors may hold the URL, and with it a token.
        raise SourceError(f"no picture: {type(error).__name__}") from error
    if 300 <= status < 400:
        raise SourceError(f"answers {status}, a redirect: name the URL it leads to")
    if status != 200:
        raise SourceError(f"answers {status}, expected 200" + ("; check user and password" if status == 401 else ""))
    if not simplejpeg.is_jpeg(body):
        raise SourceError(f"sent {len(body)} bytes that begin with {body[:4].hex(' ')}, expected a JPEG")
    return body


async def _get(client: httpx.AsyncClient, place: Place, auth: httpx.Auth | None) -> tuple[int, str, bytes]:
    """Status, challenge and body of one request to the pinned address.

    Raises:
        SourceError: the body is larger than `MOST_BYTES`.
    """
    extensions = {"sni_hostname": place.name} if place.url.startswith("https") else {}
    async with client.stream(
        "GET", place.url, headers={"Host": place.host}, auth=auth, extensions=extensions
    ) as response:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MOST_BYTES:
                raise SourceError(f"sent more than {MOST_BYTES} bytes, expected one picture")
        return response.status_code, response.headers.get("www-authenticate", ""), bytes(body)


async def snapshots(place: Place, fps: float, most_bytes: int) -> AsyncIterator[tuple[int, bytes]]:
    """Time, in milliseconds since the epoch, and JPEG of at most `most_bytes`, every 1/fps seconds.

    Single failures are passed over.

    Raises:
        SourceError: the last failure, when none came for `LOST_S`, or the first request failed.
    """
    # No proxy from the environment: it would connect to the name, not to the pinned address.
    async with httpx.AsyncClient(
        follow_redirects=False, trust_env=False, timeout=httpx.Timeout(5.0), limits=httpx.Limits(max_connections=1)
    ) as client:
        last: float | None = None
        while True:
            started = time.monotonic()
            try:
                jpeg = await asyncio.to_thread(fit_jpeg, await fetch(client, place), most_bytes)
            except (SourceError, ValueError) as error:
                if last is None or started - last > LOST_S:
                    raise SourceError(str(error)) from error
            else:
                last = time.monotonic()
                yield time.time_ns() // 1_000_000, jpeg
            await asyncio.sleep(max(0.0, started + 1 / fps - time.monotonic()))

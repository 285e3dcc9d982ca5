"""Between FFmpeg and a camera: the connection goes to the pinned address, and a redirect ends here.

FFmpeg follows a camera's 302 to wherever it points and has no option against it. So it is given a port of ours on loopback,
and every message from the camera is looked at before it is passed on. TLS (rtsps) is ours too, so the certificate is
checked against the name that was asked for.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

from ioc.errors import SourceError
from vision.address import PORTS, Place

CONNECT_S: Final = 10.0
#: A longer head, or body of an answer, is no RTSP.
MOST_HEAD: Final = 65_536
MOST_BODY: Final = 1_048_576
_BLOCK: Final = 65_536
#: A head of which there is one way to read it. FFmpeg ends a line at a bare line feed, a head at a NUL, and takes any line that
#: begins with `$` for a packet: it would find other messages in what allows them.
_HEAD: Final = re.compile(
    rb"(?:RTSP/\d\.\d (?P<status>\d{3})(?: [^\0-\x1f]*)?|(?P<method>[A-Z_]+) [!-~]+ RTSP/\d\.\d)\r\n"
    rb"(?:[\w!#%&'*+.^`|~-]+:[^\0-\x08\n-\x1f]*\r\n)*"
)
_LENGTH: Final = re.compile(rb"\r\ncontent-length:([^\r]*)", re.IGNORECASE)


class Messages:
    """Cuts what a camera sends into whole messages, and refuses the ones that lead elsewhere; pure.

    A message is an interleaved packet (`$`, channel, length, data), an answer, or a request of the camera.
    """

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> bytes:
        """The messages that are complete by now, unchanged.

        Raises:
            SourceError: a redirect, or something that is no RTSP.
        """
        self._held += data
        end = 0
        while (length := self._length(end)) is not None:
            end += length
        whole = bytes(self._held[:end])
        del self._held[:end]
        return whole

    def _length(self, at: int) -> int | None:
        """Length of the message that begins there, None while it is incomplete."""
        held = self._held
        if len(held) - at < 4:
            return None
        if held[at] == 0x24:
            length = 4 + (held[at + 2] << 8 | held[at + 3])
        else:
            head = held.find(b"\r\n\r\n", at, at + MOST_HEAD)
            if head < 0:
                if len(held) - at > MOST_HEAD:
                    raise SourceError("sends no RTSP: a head without an end")
                return None
            length = head + 4 - at + _body(bytes(held[at : head + 2]))
        return length if len(held) - at >= length else None


def _body(head: bytes) -> int:
    """Length of the body that follows a head.

    Raises:
        SourceError: a redirect, or no head of RTSP.
    """
    parts = _HEAD.fullmatch(head)
    lengths = [stated.strip() for stated in _LENGTH.findall(head)]
    if parts is None or len(lengths) > 1 or not all(stated.isdigit() and len(stated) < 10 for stated in lengths):
        raise SourceError(f"sends no RTSP: a head that begins with {head[:40]!r}")
    if parts["method"] == b"REDIRECT" or (parts["status"] or b"").startswith(b"3"):
        raise SourceError("answers with a redirect: name the URL it leads to")
    body = int(lengths[0]) if lengths else 0
    if body > MOST_BODY:
        raise SourceError(f"sends no RTSP: an answer of {body} bytes")
    return body


class Relay:
    """One connection to one camera, behind a port on loopback.

    Attributes:
        url: what FFmpeg is given; holds user and password, so it is never logged.
        refusal: why the relay itself ended the connection, None when it did not.
    """

    def __init__(self, place: Place, port: int) -> None:
        parts = urlsplit(place.url)
        login = f"{quote(place.user, safe='')}:{quote(place.password, safe='')}@" if place.user else ""
        self.url = urlunsplit(("rtsp", f"{login}127.0.0.1:{port}", parts.path, parts.query, ""))
        self.refusal: SourceError | None = None
        self._host = parts.hostname or ""
        self._port = parts.port or PORTS[parts.scheme]
        self._tls = ssl.create_default_context() if parts.scheme == "rtsps" else None
        self._name = place.name

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection of FFmpeg's to the camera, until either ends it."""
        try:
            async with asyncio.timeout(CONNECT_S):
                camera, to_camera = await asyncio.open_connection(
                    self._host, self._port, ssl=self._tls, server_hostname=self._name if self._tls else None
                )
        except (OSError, TimeoutError) as error:
            self.refusal = SourceError(f"cannot be reached: {error or 'no answer'}")
            writer.close()
            return
        asking = asyncio.create_task(_pump(reader, to_camera, None))
        try:
            await _pump(camera, writer, Messages())
        except SourceError as error:
            self.refusal = error
        finally:
            asking.cancel()
            to_camera.close()
            writer.close()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, messages: Messages | None) -> None:
    try:
        while data := await source.read(_BLOCK):
            target.write(data if messages is None else messages.feed(data))
            await target.drain()
    except OSError:
        return


@asynccontextmanager
async def relay(place: Place) -> AsyncIterator[Relay]:
    """A relay to a pinned camera, gone with the context."""
    made: list[Relay] = []
    carrying: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(made[0].carry(reader, writer))
        carrying.add(task)
        task.add_done_callback(carrying.discard)

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    try:
        made.append(Relay(place, server.sockets[0].getsockname()[1]))
        yield made[0]
    finally:
        server.close()
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)

"""A small RTSP camera: RFC 2326 over one TCP connection, motion JPEG after RFC 2435, Basic login.

It exists because no RTSP server can be taken for granted where the tests run; what connects to it is the real FFmpeg.
"""

from __future__ import annotations

import base64
import socket
import struct
import threading
from collections.abc import Callable
from typing import Final

SDP: Final = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=cam\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:track1\r\n"
_CHUNK: Final = 1200


def payloads(jpeg: bytes) -> list[tuple[bytes, bool]]:
    """The RTP payloads of a baseline 4:2:0 JPEG with the usual Huffman tables, and which of them is the last."""
    tables, width, height, at = b"", 0, 0, 2
    while True:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4])
        body = jpeg[at + 4 : at + 2 + length]
        if marker == 0xDB:
            while body:
                tables, body = tables + body[1:65], body[65:]
        elif marker == 0xC0:
            height, width = struct.unpack(">HH", body[1:5])
        at += 2 + length
        if marker == 0xDA:
            break
    scan = jpeg[at:].removesuffix(b"\xff\xd9")
    made = []
    for start in range(0, len(scan), _CHUNK):
        head = struct.pack(">B3sBBBB", 0, start.to_bytes(3, "big"), 1, 255, width // 8, height // 8)
        if start == 0:
            head += struct.pack(">BBH", 0, 0, len(tables)) + tables
        made.append((head + scan[start : start + _CHUNK], start + _CHUNK >= len(scan)))
    return made


class RtspCamera:
    """Serves frames made by a function until closed; may fall silent, as real ones do.

    Attributes:
        port: on loopback.
        asked: methods of the requests, in order.
    """

    def __init__(
        self, picture: Callable[[int], bytes], *, login: str = "", frames: int | None = None, redirect: str = ""
    ) -> None:
        self.asked: list[str] = []
        self._picture = picture
        self._login = login
        self._frames = frames
        self._redirect = redirect
        self._stopping = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.2)
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._stopping.set()
        self._thread.join()
        self._server.close()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._server.accept()
            except TimeoutError:
                continue
            with connection:
                try:
                    self._talk(connection)
                except OSError:
                    continue

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(60)
        stream = connection.makefile("rb")
        while not self._stopping.is_set():
            line = stream.readline().decode()
            if not line:
                return
            method = line.split()[0]
            headers = {}
            while (header := stream.readline().decode().strip()) != "":
                key, _, value = header.partition(":")
                headers[key.lower()] = value.strip()
            self.asked.append(method)
            base = f"CSeq: {headers.get('cseq', '0')}\r\n"
            right = "Basic " + base64.b64encode(self._login.encode()).decode()
            if self._login and method != "OPTIONS" and headers.get("authorization") != right:
                self._answer(connection, "401 Unauthorized", base + 'WWW-Authenticate: Basic realm="cam"\r\n')
            elif method == "DESCRIBE" and self._redirect:
                self._answer(connection, "302 Moved", base + f"Location: {self._redirect}\r\n")
            elif method == "DESCRIBE":
                more = f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n"
                self._answer(connection, "200 OK", base + more, SDP)
            elif method == "SETUP":
                assert "TCP" in headers["transport"], headers
                more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
                self._answer(connection, "200 OK", base + more)
            elif method == "PLAY":
                self._answer(connection, "200 OK", base + "Session: 1\r\n")
                self._play(connection)
                return
            else:
                self._answer(connection, "200 OK", base + "Public: OPTIONS, DESCRIBE, SETUP, PLAY\r\n")

    def _answer(self, connection: socket.socket, status: str, headers: str, body: str = "") -> None:
        connection.sendall(f"RTSP/1.0 {status}\r\n{headers}\r\n{body}".encode())

    def _play(self, connection: socket.socket) -> None:
        number = sequence = 0
        while not self._stopping.wait(0.1):
            if self._frames is not None and number >= self._frames:
                continue  # silent, the connection stays
            for payload, last in payloads(self._picture(number)):
                head = struct.pack(">BBHII", 0x80, 26 | (0x80 if last else 0), sequence & 0xFFFF, number * 9000, 7)
                connection.sendall(struct.pack(">cBH", b"$", 0, len(head) + len(payload)) + head + payload)
                sequence += 1
            number += 1

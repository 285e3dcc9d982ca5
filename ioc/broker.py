"""Where the MQTT broker is: the one reading of `mqtt_url`."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import msgspec
import paho.mqtt.client as paho

from ioc.errors import SettingsError


class BrokerAddress(msgspec.Struct, frozen=True):
    """A broker's host and port, and as whom to enter; `user` None is anonymous."""

    host: str
    port: int
    user: str | None = None
    password: str | None = None
    tls: bool = False

    @classmethod
    def parse(cls, url: str) -> BrokerAddress:
        """Read `mqtt://[user:password@]host[:port]`, or `mqtts://` for TLS.

        Raises:
            SettingsError: the URL is of another form; the message holds no password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise SettingsError(f"mqtt_url: {error}") from error
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise SettingsError(
                f"mqtt_url: got {parts.scheme}://{parts.hostname or ''}, expected mqtt://[user:password@]host[:port]"
            )
        tls = parts.scheme == "mqtts"
        user = None if parts.username is None else unquote(parts.username)
        password = None if parts.password is None else unquote(parts.password)
        return cls(parts.hostname, port or (8883 if tls else 1883), user, password, tls)

    def enter(self, client: paho.Client) -> None:
        """Give a client its name, password and TLS; connecting is the caller's."""
        if self.user is not None:
            client.username_pw_set(self.user, self.password)
        if self.tls:
            client.tls_set()

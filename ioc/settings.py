"""One frozen `Settings`, read once at the edge from TOML, `IOC_*` environment and `IOC_*_FILE` secrets.

Precedence, highest first: the environment, `IOC_<KEY>_FILE` (a file holding the value, for secrets), the TOML file
(`IOC_CONFIG`, else `ioc.toml` in the working folder), the running embedded stack (`<home>/stack.json`), the defaults below.
No configuration at all is valid.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableError

from ioc.errors import SettingsError
from ioc.topics import DEVICE_ID

PREFIX = "IOC_"
#: Frames a second that a camera is looked at, at least: of rarer ones rules make nothing.
LEAST_FPS: Final = 0.2
#: A half of MQTT's 65,535 packet ids and a little less: those that come round are told from those under way.
MOST_INFLIGHT: Final = 30_000
#: Schemes of the URLs that are captured from.
_SOURCES: Final = ("rtsp", "rtsps", "http", "https")


def _camera(value: str) -> str:
    """Said at the start: the id is a level of MQTT topics."""
    if not DEVICE_ID.fullmatch(value):
        raise ValueError(f"expected the id of a camera, {DEVICE_ID.pattern}")
    return value


def _source(value: str) -> str:
    """A path, which is looked at when it is opened, or the URL of a camera. An empty path would be the working folder."""
    if not value.strip() or ("://" in value and not _is_url(value, _SOURCES)):
        raise ValueError(f"expected a file, a folder of .jpg files, or a URL with a host: {', '.join(_SOURCES)}")
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError as error:
        raise ValueError(f"expected a network such as 10.0.0.0/8: {error}") from error
    return value


def _is_url(value: str, schemes: tuple[str, ...]) -> bool:
    """Whether it has one of these schemes, a host and, if any, a port that there is."""
    try:
        parts = urlsplit(value)
        host = parts.hostname or ""
        return parts.scheme in schemes and bool(re.fullmatch(r"\S+", host)) and parts.port != 0 and value.isprintable()
    except ValueError:
        return False


class Settings(BaseSettings):
    """Every setting of every service; each has a default and a description, which is its documentation."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    home: Path = Field(Path(".ioc"), description="Folder of the embedded stack: cluster, broker, Redis, logs, media.")
    data_dir: Path = Field(
        Path("../shared/data"), description="Optional folder with footage and labelled frames; absent is normal."
    )
    database_url: str = Field("", description="PostgreSQL URL of a real TimescaleDB; empty = the embedded one.")
    mqtt_url: str = Field("", description="mqtt://user:password@host:port of a real broker; empty = the embedded one.")
    broker: Literal["mosquitto", "rabbitmq"] = Field(
        "mosquitto",
        description="The embedded broker; with mqtt_url, what kind that one is (mosquitto stands for every other, too)."
        " RabbitMQ keeps what it has acknowledged through its own SIGKILL, but numbers deliveries anew on every"
        " connection, which ingest must know, shares nothing among processes, and takes a dot in a topic for a slash.",
    )
    mqtt_version: Literal["5", "3.1.1", "auto"] = Field(
        "auto",
        description="MQTT version spoken with the broker; auto = 5, and 3.1.1 where the broker does not know 5."
        " 3.1.1 has no shared subscriptions (ingest_group): some brokers have them all the same.",
    )
    mqtt_keepalive_s: int = Field(
        20,
        ge=2,
        le=600,
        description="A broker that says nothing for twice as long is given up by ingest; it gives ingest up after 1.5 times as"
        " long. Of several processes one that hangs is ended after 15 s: keep it above that.",
    )
    redis_url: str = Field("", description="redis:// or unix:// URL of a real Redis; empty = the embedded one.")
    language: Literal["vi", "en"] = Field("vi", description="Language of a page that names none.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    metrics_port: int = Field(0, ge=0, le=65535, description="Prometheus port on loopback; 0 = none.")

    ingest_batch_rows: int = Field(
        20_000, ge=1, le=100_000, description="Commit when a batch holds this many messages …"
    )
    ingest_batch_ms: int = Field(
        10,
        ge=1,
        le=5000,
        description="… or at the latest when its oldest message is this many ms old (thirty-two times that under load): sooner"
        " while commits take less than half of the time, except with RabbitMQ.",
    )
    ingest_inflight: int = Field(
        20_000,
        ge=20,
        le=MOST_INFLIGHT,
        description="QoS 1 messages the broker may hand out unacknowledged (receive maximum).",
    )
    ingest_processes: int = Field(
        1, ge=1, le=32, description="Ingest processes on this machine; more than one share the messages."
    )
    ingest_group: str = Field(
        "",
        pattern="^[^/+#]*$",
        description="MQTT shared-subscription group; empty = `ingest` for several processes, plain subscriptions for one."
        " Mosquitto 2.0 forgets shared subscriptions at its own restart, until ingest is back; plain ones it keeps.",
    )
    ingest_first: bool = Field(
        True,
        description="The first process of this machine also reads what one alone must read (states, discoveries, births);"
        " false on every machine of a group but one.",
    )
    ingest_client_id: str = Field(
        "",
        description="MQTT client id, the same over restarts; empty = ioc-ingest-<host>-1. Of several processes the others end in"
        " -2, -3, …",
    )
    ingest_hang_up_s: float = Field(
        45.0,
        ge=1,
        description="A database that gives no answer to a commit for so long is asked again over a new connection.",
    )
    ingest_spool_mb: int = Field(
        0,
        ge=0,
        description="MB on disk (home/spool) for messages that come while TimescaleDB is away, for brokers that cannot hold"
        " them; each is acknowledged when it is on disk, and stored when the database is back. Full = the broker holds. 0 = off.",
    )
    max_payload_bytes: int = Field(1_048_576, ge=1024, description="Larger messages are quarantined, cut to 64 KiB.")
    clock_ahead_s: float = Field(300.0, gt=0, description="A device time further ahead is stored at its receive time.")
    clock_behind_s: float = Field(
        30 * 86400.0, gt=0, description="A device time further back is stored at its receive time, with its quality."
    )

    command_answer_s: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="A command not sent within this time is never sent; one not answered has expired.",
    )

    vision_engine: Literal["auto", "openvino", "ultralytics", "triton"] = Field(
        "auto",
        description="Detector runtime; auto = ultralytics where a GPU and torch are, else OpenVINO. triton = vision_triton_url.",
    )
    vision_triton_url: str = Field(
        "",
        validate_default=True,
        description="Triton server, or another of KServe's protocol v2, such as http://gpu.example:8000.",
    )
    vision_triton_model: str = Field("", description="Name of the model there; empty = the name in the manifest.")
    vision_triton_timeout_s: float = Field(
        2.0, gt=0, le=60, description="Patience with one answer of the server, all tries together."
    )
    vision_weights: Path | None = Field(
        None, description="Folder with manifest.json; empty = the project's own weights."
    )
    vision_confidence: float = Field(0.25, gt=0, lt=1, description="Detections below are dropped.")
    vision_batch: int = Field(4, ge=1, le=64, description="Frames of different cameras inferred together at most.")
    vision_batch_ms: int = Field(15, ge=0, le=1000, description="A batch fires after this time even when not full.")
    vision_stale_ms: int = Field(
        1000, ge=50, description="A frame that has waited longer since it reached Redis is dropped and counted."
    )
    vision_threads: int = Field(0, ge=0, description="CPU threads of the detector; 0 = leave one core to the others.")
    vision_group: str = Field(
        "vision", min_length=1, description="Vision workers of one name share the cameras among them."
    )
    vision_max_fps: float = Field(
        2.0,
        ge=LEAST_FPS,
        allow_inf_nan=False,
        description="Frames a second per camera that are looked at on a CPU, where no budget of its own was given on its page;"
        " the rest are counted as skipped. Lines, wrong way and speeds of vehicles need 5.",
    )
    capture_sources: dict[Annotated[str, AfterValidator(_camera)], Annotated[str, AfterValidator(_source)]] = Field(
        default_factory=dict, description="camera id → rtsp://, http(s):// snapshot URL, or file path to capture from."
    )
    capture_allow: list[Annotated[str, AfterValidator(_network)]] = Field(
        default_factory=lambda: ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"],
        description="Networks (CIDR) a camera URL may point to; loopback only if named here.",
    )
    capture_fps: float = Field(2.0, gt=0, le=60, description="Frames a second taken from each captured source.")

    retention_readings_days: int = Field(
        400,
        ge=1,
        description="Readings older are dropped, and states, events, what cameras counted and how their pictures were.",
    )
    retention_detections_days: int = Field(30, ge=1, description="Detections older are dropped.")
    retention_quarantine_days: int = Field(30, ge=1, description="Quarantined messages older are dropped.")

    retention_evidence_days: int = Field(90, ge=1, description="Pictures that prove alarms are dropped when older.")
    retention_originals_days: int = Field(
        30,
        ge=1,
        description="The sealed originals of these pictures are destroyed when older; those that prove no alarm after a day.",
    )

    evidence_master_key: SecretStr = Field(
        SecretStr(""),
        description="Master key for the originals of evidence pictures, 32 bytes in base64; give it as"
        " IOC_EVIDENCE_MASTER_KEY_FILE to vision and dashboards. Empty = no original is kept, the blurred picture alone.",
    )
    privacy_clear_cameras: list[str] = Field(
        default_factory=list,
        description="Cameras whose live picture is shown without blurring heads and number plates; what is stored is always"
        " blurred.",
    )

    dashboards_host: str = Field("127.0.0.1", description="Address the pages are served on.")
    dashboards_port: int = Field(8050, ge=0, le=65535, description="Port the pages are served on; 0 = any free one.")
    wall_diagonal_in: float = Field(55.0, gt=5, description="Diagonal of one screen of the wall, inches.")
    wall_distance_m: float = Field(3.0, gt=0.2, description="Distance from the operator's eye to the wall, metres.")
    alarms_target_per_10min: int = Field(1, ge=1, description="Alarms an operator can take in ten minutes (EEMUA 191).")
    alarms_flood_per_10min: int = Field(10, ge=2, description="Alarms in ten minutes that make a flood (EEMUA 191).")

    @field_validator("ingest_processes", "ingest_group", "ingest_spool_mb")
    @classmethod
    def _not_with_rabbitmq(cls, value: str | int, info: ValidationInfo) -> str | int:
        """RabbitMQ grants a shared subscription and hands nothing over on it; and it needs no spool, for it holds everything."""
        expected = cls.model_fields[str(info.field_name)].default
        if info.data.get("broker") == "rabbitmq" and value != expected:
            raise ValueError(
                f"expected {expected!r} with broker rabbitmq, which has no shared subscriptions and holds what waits by itself"
            )
        return value

    @field_validator("vision_triton_url")
    @classmethod
    def _a_server(cls, value: str, info: ValidationInfo) -> str:
        """Without a scheme, gpu:8000 would be read as a server that never answers."""
        wanted = value or info.data.get("vision_engine") == "triton"
        if wanted and not _is_url(value, ("http", "https")):
            raise ValueError(
                "expected the URL of a server, such as http://gpu.example:8000; vision_engine triton needs one"
            )
        return value

    @field_validator("evidence_master_key")
    @classmethod
    def _a_key(cls, value: SecretStr) -> SecretStr:
        """Said at the start, not when the first original is to be sealed; what was got is not said."""
        text = value.get_secret_value().strip()
        try:
            key = base64.b64decode(text, validate=True)
        except ValueError:
            key = b"?"
        if len(key) not in (0, 32):
            raise ValueError("expected 32 bytes in base64: make them with `head -c 32 /dev/urandom | base64`")
        return SecretStr(text)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources as the module says; `.env` files are not read."""
        del dotenv_settings, file_secret_settings
        files = _Values(settings_cls, _secret_files(settings_cls))
        toml = _Values(settings_cls, read_toml(config_path()))
        return init_settings, env_settings, files, toml

    @classmethod
    def configured(cls, **overrides: Any) -> Settings:
        """Read the settings as the user gave them.

        Raises:
            SettingsError: naming each key, what was got and what was expected.
        """
        _refuse_unknown_environment(cls)
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise SettingsError(explain(error)) from error
        except UnreadableError as error:
            # Only values that are JSON (lists, tables) can be unreadable, and they name their field in double quotes.
            name = PREFIX + str(error).split('"')[1].upper()
            got = without_passwords(repr(os.environ.get(name)))
            raise SettingsError(f"{name}: got {got}; expected JSON ({error.__cause__})") from error

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Read the settings, and fill empty URLs from the running embedded stack.

        Raises:
            SettingsError: naming each key, what was got and what was expected.
        """
        settings = cls.configured(**overrides)
        running = settings.home / "stack.json"
        if running.is_file():
            record = json.loads(running.read_text())
            urls = record.get("urls", {})
            found = {
                key: urls[key]
                for key in ("database_url", "mqtt_url", "redis_url")
                if not getattr(settings, key) and key in urls
            }
            if "mqtt_url" in found and "broker" in record:
                found["broker"] = record["broker"]
            settings = cls.configured(**(overrides | found))
        return settings

    def require(self, key: Literal["database_url", "mqtt_url", "redis_url"]) -> str:
        """Return a URL that must be set by now.

        Raises:
            SettingsError: when it is empty, with what to do.
        """
        value: str = getattr(self, key)
        if not value:
            raise SettingsError(
                f"{key} is empty and no embedded stack runs in {self.home}: start one with `ioc demo` or `ioc up`, "
                f"or set {PREFIX}{key.upper()}"
            )
        return value


class _Values(PydanticBaseSettingsSource):
    """A settings source over a plain mapping."""

    def __init__(self, settings_cls: type[BaseSettings], values: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._values = values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        del field
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._values


def config_path() -> Path:
    """The TOML file that is read; it need not exist."""
    return Path(os.environ.get("IOC_CONFIG", "ioc.toml"))


def read_toml(path: Path) -> dict[str, Any]:
    """Parse the TOML file, {} when it is absent.

    Raises:
        SettingsError: with the line, when it is not TOML.
    """
    if not path.is_file():
        if "IOC_CONFIG" in os.environ:
            raise SettingsError(f"IOC_CONFIG names {path}, which is not a file")
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error


def explain(error: ValidationError) -> str:
    """One line per fault: key, what was got, what was expected."""
    lines = []
    for fault in error.errors():
        # Pydantic marks a fault of a table's key so; the key itself is named before it.
        key = ".".join(str(part) for part in fault["loc"] if part != "[key]")
        expected = (
            "no such setting; `ioc config show` lists them" if fault["type"] == "extra_forbidden" else fault["msg"]
        )
        got = "a secret" if key in _SECRETS else without_passwords(repr(fault["input"]))
        lines.append(f"{key}: got {got}; {expected}")
    return "\n".join(lines)


def without_passwords(text: str) -> str:
    """The text with the password of every URL in it replaced by ***.

    >>> without_passwords("{'gate': 'rtsp://admin:s3cret@10.0.0.7/live'}")
    "{'gate': 'rtsp://admin:***@10.0.0.7/live'}"
    """
    return _PASSWORD.sub(r"\1***@", text)


#: Up to the last @ before the path, since a password may hold one.
_PASSWORD: Final = re.compile(r"(://[^:/@\s'\"]*:)[^/\s'\"]+@")


def _secret_files(settings_cls: type[BaseSettings]) -> dict[str, Any]:
    """Values from the files that `IOC_<KEY>_FILE` names."""
    values: dict[str, Any] = {}
    for key in settings_cls.model_fields:
        name = os.environ.get(f"{PREFIX}{key.upper()}_FILE")
        if name:
            try:
                text = Path(name).read_text("utf-8").strip()
                # Lists and tables are JSON here too, as they are in the environment.
                values[key] = json.loads(text) if key in _TABLES else text
            except (OSError, ValueError) as error:
                raise SettingsError(
                    f"{PREFIX}{key.upper()}_FILE names {name}, which cannot be read: {error}"
                ) from error
    return values


#: Settings that are lists or tables.
_TABLES: Final = frozenset({"capture_sources", "capture_allow", "privacy_clear_cameras"})
#: Settings whose value is never said.
_SECRETS: Final = frozenset({"evidence_master_key"})
#: Environment names that are not settings themselves.
_NOT_SETTINGS = frozenset({"IOC_CONFIG", "IOC_BUILD_CACHE"})


def _refuse_unknown_environment(settings_cls: type[BaseSettings]) -> None:
    """A misspelt IOC_ variable must not be ignored in silence."""
    keys = {PREFIX + key.upper() for key in settings_cls.model_fields}
    for name in os.environ:
        if name.startswith(PREFIX) and name not in keys | _NOT_SETTINGS and name.removesuffix("_FILE") not in keys:
            raise SettingsError(f"{name}: no such setting; `ioc config show` lists them")

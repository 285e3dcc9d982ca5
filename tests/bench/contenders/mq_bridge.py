"""mq-bridge: a bridge with a Rust core, set up from a configuration file.

As its guides say: the columns are named in an `insert_query` of bare tokens, since a cast or a literal in it makes the bridge
insert row by row; `retry` and then `dlq` on the output; about a thousand rows a batch for INSERT, eight thousand for
COPY; an idempotent write by ON CONFLICT, which COPY cannot have. Tokens are not cast, so the time column holds the
milliseconds that the devices send, as TimescaleDB allows. A message of eight values becomes one row of eight columns: the bridge
makes one row of a message.
"""

from __future__ import annotations

import json
from typing import Any

from ioc.stack.process import Child, start
from tests.bench.arena import Arena, environment
from tests.bench.contenders.contender import Contender, Store
from tests.bench.contenders.install import python_peer
from tests.bench.messages import MEASURES

PACKAGE = "mq-bridge==1.2.0"
_DAY_MS = 86_400_000
_RUN = """
import logging, sys
import mq_bridge
logging.basicConfig(level=logging.WARNING)
mq_bridge.init_logging("warn")
routes = [mq_bridge.Route.from_file(sys.argv[1], name) for name in sys.argv[2:]]
for route in routes:
    route.start()
for route in routes:
    route.join()
"""


class MqBridge(Contender):
    """One process with a route for each of the two shapes of message."""

    def __init__(self, *, copy: bool) -> None:
        self._copy = copy
        how = "COPY" if copy else "INSERT"
        self.key = f"mq_bridge_{how.lower()}"
        self.title = f"mq-bridge 1.2.0, {how}"

    def prepare(self, arena: Arena) -> None:
        """Install it, make its tables and its configuration."""
        self._python = python_peer("mq-bridge", PACKAGE)
        self._arena = arena
        self._url = url = arena.make_database(self.key)
        arena.ask(
            url,
            "CREATE TABLE reading (ts bigint NOT NULL, device text NOT NULL, measure text NOT NULL,"
            " value double precision NOT NULL)",
        )
        columns = ", ".join(f'"{measure}" double precision NOT NULL' for measure in MEASURES)
        arena.ask(url, f"CREATE TABLE reading_wide (ts bigint NOT NULL, device text NOT NULL, {columns})")
        for table, key in (("reading", "device, measure, ts"), ("reading_wide", "device, ts")):
            # The default index is the one on time; a key is of use to those who can say ON CONFLICT.
            index = "true" if self._copy else "false"
            dimension = f"by_range('ts', {_DAY_MS})"
            arena.ask(url, f"SELECT create_hypertable('{table}', {dimension}, create_default_indexes => {index})")
            if not self._copy:
                arena.ask(url, f"CREATE UNIQUE INDEX ON {table} ({key})")
        self._configuration = arena.folder / f"{self.key}.json"
        single = {"value": f"$.values.{MEASURES[0]}", "measure": {"path": "$.measure", "default": MEASURES[0]}}
        wide = {measure: f"$.values.{measure}" for measure in MEASURES}
        routes = {"single": self._route("reading", 1, single), "wide": self._route("reading_wide", 8, wide)}
        self._configuration.write_text(json.dumps({"routes": routes}))

    def start(self) -> Child:
        """Start both routes."""
        return start(
            self.key,
            [self._python, "-I", "-c", _RUN, self._configuration, "single", "wide"],
            log=self._arena.folder / "log" / f"{self.key}.log",
            environment=environment(),
        )

    def root(self, values: int) -> str:
        """A root for each shape: a route knows one."""
        return self.key if values == 1 else f"{self.key}_wide"

    def store(self, values: int) -> Store:
        """One row a message."""
        return Store(self._url, "reading" if values == 1 else "reading_wide", "ts", rows=1, in_ms=True)

    def _route(self, table: str, values: int, mapping: dict[str, Any]) -> dict[str, Any]:
        mapping = {"ts": "$.ts", "device": "$.device"} | mapping
        names = ", ".join(f'"{name}"' for name in mapping)
        tokens = ", ".join(f"${{payload:{name}}}" for name in mapping)
        conflict = "" if self._copy else " ON CONFLICT DO NOTHING"
        failed = self._arena.folder / f"{self.key}-{table}-failed.jsonl"
        return {
            "batch_size": 8192 if self._copy else 1024,
            "input": {
                "mqtt": {
                    "url": f"tcp://127.0.0.1:{self._arena.port}",
                    "topic": f"{self.root(values)}/+/telemetry",
                    "client_id": f"{self.key}-{table}",
                    "qos": 1,
                    "clean_session": False,
                    "queue_capacity": 16_384 if self._copy else 4096,
                }
            },
            "output": {
                "middlewares": [
                    {"transform": {"mapping": mapping}},
                    {"retry": {"max_attempts": 10}},
                    {"dlq": {"endpoint": {"file": {"path": str(failed)}}}},
                ],
                "sqlx": {
                    "url": self._url,
                    "table": table,
                    "insert_query": f"INSERT INTO {table} ({names}) VALUES ({tokens}){conflict}",
                    "bulk_copy": self._copy,
                },
            },
        }

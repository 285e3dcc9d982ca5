"""Node-RED: an `mqtt in` node and a function node that writes with `pg`.

As its guides say: the broker node keeps its session (`cleansession: false`, a client id of its own) and parses JSON at QoS 1; the
function node names `pg` among its modules (`functionExternalModules`), makes its pool when it starts and ends it when it is
closed. One variant writes each message by itself, the other gathers messages and writes them every 50 ms or a thousand at once.
Both insert with ON CONFLICT DO NOTHING. `mqtt in` acknowledges a message when it has it, whatever the function node does later.
"""

from __future__ import annotations

import json

from ioc.stack.process import Child, start
from tests.bench.arena import Arena, environment
from tests.bench.contenders.contender import Contender, Store
from tests.bench.contenders.install import node_peer

PACKAGES = ("node-red@4.1.8", "pg@8.23.1")

_SETTINGS = """
module.exports = {
    flowFile: "flows.json", credentialSecret: false, functionExternalModules: true,
    httpAdminRoot: false, httpNodeRoot: false, uiHost: "127.0.0.1", uiPort: 0,
    telemetry: { enabled: false, updateNotification: false },
    logging: { console: { level: "warn", metrics: false, audit: false } },
};
"""

_POOL = """
const pool = new pg.Pool({ connectionString: env.get("DATABASE_URL"), max: 10 });
pool.on("error", (error) => node.warn(error.message));
context.set("pool", pool);
"""
_END_POOL = """
context.get("pool").end();
"""
_EACH = """
const { ts, device, values } = msg.payload;
await context.get("pool").query({
    name: "store",
    text: "INSERT INTO reading (time, device, measure, value)" +
        " SELECT to_timestamp($1::float8 / 1000), $2, * FROM unnest($3::text[], $4::float8[]) ON CONFLICT DO NOTHING",
    values: [ts, device, Object.keys(values), Object.values(values)],
});
return null;
"""
_GATHER_START = (
    _POOL
    + """
let rows = [[], [], [], []], gathered = 0;
async function flush() {
    if (gathered === 0) return;
    const full = rows;
    rows = [[], [], [], []];
    gathered = 0;
    try {
        await pool.query({
            name: "store",
            text: "INSERT INTO reading (time, device, measure, value) SELECT to_timestamp(t / 1000), d, m, v FROM" +
                " unnest($1::float8[], $2::text[], $3::text[], $4::float8[]) AS r (t, d, m, v) ON CONFLICT DO NOTHING",
            values: full,
        });
    } catch (error) {
        node.error(error.message);
    }
}
context.set("add", ({ ts, device, values }) => {
    for (const measure in values) {
        rows[0].push(ts);
        rows[1].push(device);
        rows[2].push(measure);
        rows[3].push(values[measure]);
    }
    gathered += 1;
    if (gathered >= 1000) flush();
});
context.set("flush", flush);
context.set("timer", setInterval(flush, 50));
"""
)
_GATHER = """
context.get("add")(msg.payload);
return null;
"""
_GATHER_END = """
const pool = context.get("pool");
clearInterval(context.get("timer"));
context.get("flush")().then(() => pool.end());
"""


class NodeRed(Contender):
    """One Node-RED with one flow."""

    def __init__(self, *, batched: bool) -> None:
        self._batched = batched
        self.key = "node_red_batched" if batched else "node_red_each"
        self.title = f"Node-RED 4.1.8, {'batched' if batched else 'a message at a time'}"

    def prepare(self, arena: Arena) -> None:
        """Install it, make its table and its user folder."""
        self._node, installed = node_peer("node-red", PACKAGES)
        self._arena = arena
        self._url = url = arena.make_database(self.key)
        arena.ask(
            url,
            "CREATE TABLE reading (time timestamptz NOT NULL, device text NOT NULL, measure text NOT NULL,"
            " value double precision NOT NULL)",
        )
        dimension = "by_range('time', INTERVAL '1 day')"
        arena.ask(url, f"SELECT create_hypertable('reading', {dimension}, create_default_indexes => false)")
        arena.ask(url, "CREATE UNIQUE INDEX ON reading (device, measure, time)")
        self._folder = arena.folder / self.key
        self._folder.mkdir()
        (self._folder / "node_modules").symlink_to(installed / "node_modules")
        (self._folder / "package.json").write_text((installed / "package.json").read_text())
        (self._folder / "settings.js").write_text(_SETTINGS)
        (self._folder / "flows.json").write_text(json.dumps(self._flows()))

    def start(self) -> Child:
        """Start it on its flow."""
        return start(
            self.key,
            [self._node, "node_modules/node-red/red.js", "--userDir", self._folder],
            log=self._arena.folder / "log" / f"{self.key}.log",
            environment=environment(DATABASE_URL=self._url),
            folder=self._folder,
        )

    def root(self, values: int) -> str:
        """One root: the function node stores however many values a message has."""
        return self.key

    def store(self, values: int) -> Store:
        """One row a value."""
        return Store(self._url, rows=values)

    def _flows(self) -> list[dict[str, object]]:
        if self._batched:
            code = {"initialize": _GATHER_START, "func": _GATHER, "finalize": _GATHER_END}
        else:
            code = {"initialize": _POOL, "func": _EACH, "finalize": _END_POOL}
        # A node without a place in the drawing would be taken for a configuration.
        return [
            {"id": "flow", "type": "tab", "label": self.key},
            {
                "id": "broker",
                "type": "mqtt-broker",
                "broker": "127.0.0.1",
                "port": str(self._arena.port),
                "clientid": self.key,
                "cleansession": False,
                "autoConnect": True,
                "protocolVersion": "4",
                "keepalive": "60",
            },
            {
                "id": "in",
                "type": "mqtt in",
                "z": "flow",
                "x": 100,
                "y": 100,
                "topic": f"{self.key}/+/telemetry",
                "qos": "1",
                "datatype": "json",
                "broker": "broker",
                "wires": [["store"]],
            },
            {
                "id": "store",
                "type": "function",
                "z": "flow",
                "x": 300,
                "y": 100,
                "name": "store",
                "outputs": 1,
                "libs": [{"var": "pg", "module": "pg"}],
                "wires": [[]],
                **code,
            },
        ]

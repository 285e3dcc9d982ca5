"""The city's key figures: one row each. Tiles, their labels, units and colours follow from it.

Each query returns one row (value, as_of) and NULL where there is nothing to tell: no data is never zero. `as_of` is the time of
the newest record behind the value, so that a page can mark a figure that no longer moves.
"""

# ruff: noqa: S608 - the queries are put together from the catalogue's own keys; nothing from outside enters them
from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec

from ioc.catalog import EVENT_ONLY, KINDS, MEASURES, RULES, Label
from ioc.db.pool import Connection, translated

Band = Literal["good", "watch", "bad", ""]


class Kpi(msgspec.Struct, frozen=True, kw_only=True):
    """One key figure.

    Attributes:
        unit: what stands after the number, "" for a plain number.
        sql: one row: value (float8 or NULL), as_of (timestamptz or NULL).
        better: which way is better; "" for a figure that is neither.
        watch / bad: from here on it is to be watched, or bad; on the worse side of each other by `better`.
        source: a sensor, a hand, or this system's own books.
        note: what exactly is counted.
    """

    key: str
    label: Label
    unit: Label = Label("", "")
    sql: str
    better: Literal["high", "low", ""] = ""
    watch: float = 0.0
    bad: float = 0.0
    decimals: int = 0
    source: Literal["sensor", "hand", "system"] = "sensor"
    note: Label


class KpiValue(msgspec.Struct, frozen=True):
    """A key figure as it is."""

    key: str
    value: float | None
    as_of: datetime | None
    band: Band


class KindOnline(msgspec.Struct, frozen=True):
    """Devices of one kind: in the register, ever online, online now."""

    kind: str
    registered: int
    ever: int
    online: int


def _cases(column: str, periods: dict[str, float]) -> str:
    """SQL: the period of each key as an interval."""
    whens = " ".join(f"WHEN '{key}' THEN {seconds:g}" for key, seconds in periods.items())
    return f"(CASE {column} {whens} END * INTERVAL '1 second')"


#: A device's own period, as `ioc.catalog.own_period` reads it; null where it has none.
_OWN_PERIOD: Final = (
    r"(CASE WHEN d.attrs->>'period_s' ~ '^\s*\d{1,9}(\.\d*)?\s*$' THEN"
    " CASE WHEN (d.attrs->>'period_s')::float8 BETWEEN 0.001 AND 863999"
    " THEN (d.attrs->>'period_s')::float8 * INTERVAL '1 second' END END)"
)
_KIND_PERIOD: Final = (
    f"coalesce({_OWN_PERIOD}, {_cases('d.kind', {kind.key: kind.period_s for kind in KINDS.values()})})"
)
_MEASURE_PERIOD: Final = (
    f"greatest({_OWN_PERIOD}, {_cases('l.measure', {measure.key: measure.period_s for measure in MEASURES.values()})})"
)
#: Nor is a camera whose picture cannot be trusted.
_UNTRUE: Final = (
    "(d.kind = 'camera' AND EXISTS"
    " (SELECT FROM latest f WHERE f.device = d.id AND f.measure = 'pictureState' AND f.value <> 0))"
)
#: Missing is not online: the session is open, and something came within five periods.
_ONLINE: Final = f"(d.state = 'online' AND d.last_seen > now() - 5 * {_KIND_PERIOD} AND NOT {_UNTRUE})"
_EVER: Final = (
    "(d.state = 'online' OR EXISTS (SELECT FROM device_state s WHERE s.device = d.id AND s.state = 'online')"
    " OR EXISTS (SELECT FROM latest l WHERE l.device = d.id))"
)
_MIDNIGHT: Final = "(date_trunc('day', now() AT TIME ZONE 'Asia/Ho_Chi_Minh') AT TIME ZONE 'Asia/Ho_Chi_Minh')"
_SHARE: Final = Label("%", "%")


#: Of a device that speaks of events alone nobody knows whether it lives, but for a while after each.
_QUIET: Final = (
    f"(d.dialect = ANY('{{{','.join(EVENT_ONLY)}}}') AND {_OWN_PERIOD} IS NULL"
    f" AND d.state = 'online' AND d.last_seen <= now() - 2 * {_KIND_PERIOD} AND NOT {_UNTRUE})"
)


def _share_online(where: str) -> str:
    return (
        f"SELECT (100.0 * count(*) FILTER (WHERE {_ONLINE}) / nullif(count(*), 0))::float8, max(d.last_seen)"
        f" FROM device d WHERE d.status = 'active' AND {where} AND {_QUIET} IS NOT TRUE"
    )


def _fresh(measure: str, what: str, *, kind: str = "") -> str:
    """An aggregate over the values of a measure that are not gone."""
    only = f"JOIN device d ON d.id = l.device AND d.kind = '{kind}' AND d.status = 'active'"
    join = only if kind else "LEFT JOIN device d ON d.id = l.device"
    return (
        f"SELECT {what}, max(l.time) FROM latest l {join}"
        f" WHERE l.measure = '{measure}' AND l.time > now() - 5 * {_MEASURE_PERIOD}"
    )


def _limit(rule: str) -> float:
    return RULES[rule][0].limit


#: Cabinets count kWh upwards and start again at zero when they are exchanged. Hour by hour: up to the next hour's least value,
#: or, after a restart, up to this hour's greatest; the running hour up to the newest value.
_ENERGY_TODAY: Final = f"""
SELECT sum(CASE WHEN ended >= least THEN ended - least ELSE most - least END)::float8, max(time)
FROM (
    SELECT l.time, h.least, h.most, lead(h.least, 1, l.value) OVER (PARTITION BY h.device ORDER BY h.bucket) AS ended
    FROM hours_of(ARRAY(SELECT id FROM device WHERE kind = 'cabinet'), 'energyConsumed', {_MIDNIGHT}, 'infinity', true) AS h
    JOIN latest l ON l.device = h.device AND l.measure = 'energyConsumed' AND l.time >= {_MIDNIGHT}
) AS hour
"""

#: Decision 1459/QĐ-TCMT of 2019, hourly index for PM2.5: NowCast over the last twelve finished hours (two of the newest three
#: are needed; weight 1/2 at least), then between the limits of its table 2. The worst station is shown.
_AQI: Final = """
WITH hour AS (
    SELECT device AS id, total / readings AS mean,
           round(extract(epoch FROM date_trunc('hour', now()) - bucket) / 3600)::int - 1 AS age
    FROM hours_of(ARRAY(SELECT id FROM device WHERE kind = 'air_station' AND status = 'active'), 'pm25',
                  date_trunc('hour', now()) - INTERVAL '12 hours', date_trunc('hour', now()), true)
), weight AS (
    SELECT id, coalesce(greatest(min(mean) / nullif(max(mean), 0), 0.5), 1) AS w FROM hour
    GROUP BY id HAVING count(*) FILTER (WHERE age < 3) >= 2
), nowcast AS (
    SELECT CASE WHEN w > 0.5 THEN sum(power(w, age) * mean) / sum(power(w, age)) ELSE sum(power(0.5, age + 1) * mean) END AS c
    FROM hour JOIN weight USING (id) GROUP BY id, w
), step (c0, c1, i0, i1) AS (VALUES
    (0, 25, 0, 50), (25, 50, 50, 100), (50, 80, 100, 150), (80, 150, 150, 200), (150, 250, 200, 300), (250, 350, 300, 400),
    (350, 500, 400, 500)
)
SELECT (SELECT max(round(CASE WHEN c >= 500 THEN 500 ELSE (i1 - i0)::float8 / (c1 - c0) * (c - c0) + i0 END))::float8
        FROM nowcast LEFT JOIN step ON c >= c0 AND c < c1),
       (SELECT max(l.time) FROM latest l JOIN device d ON d.id = l.device AND d.kind = 'air_station' WHERE l.measure = 'pm25')
"""

_VEHICLES: Final = "('motorbike', 'car', 'bus', 'truck', 'bicycle')"
#: Every class of a camera's minute carries the same frames, so its frames count once.
_VEHICLES_IN_VIEW: Final = f"""
SELECT sum(objects)::float8 / nullif(sum(frames), 0), least(now(), max(time) + INTERVAL '1 minute')
FROM (SELECT camera, time, sum(objects) FILTER (WHERE label IN {_VEHICLES}) AS objects, max(frames) AS frames
      FROM camera_count WHERE time > now() - INTERVAL '1 hour' GROUP BY camera, time) AS minute
"""


def _open_incidents(priority: int) -> str:
    return (
        "SELECT count(*)::float8, now() FROM incident"
        f" WHERE state IN ('open', 'acknowledged') AND priority = {priority}"
    )


KPIS: Final[dict[str, Kpi]] = {
    kpi.key: kpi
    for kpi in (
        *(
            Kpi(
                key=f"incidents_p{priority}",
                label=Label(f"Sự cố ưu tiên {priority}", f"Priority {priority} incidents"),
                sql=_open_incidents(priority),
                better="low",
                watch=watch,
                bad=bad,
                source="system",
                note=Label("Sự cố đang mở hoặc đã tiếp nhận", "Incidents open or acknowledged"),
            )
            for priority, watch, bad in ((1, 1, 1), (2, 1, 5), (3, 5, 20))
        ),
        Kpi(
            key="alarms_10min",
            label=Label("Cảnh báo 10 phút", "Alarms in 10 minutes"),
            sql="SELECT count(*)::float8, now() FROM alarm WHERE opened > now() - INTERVAL '10 minutes'"
            " AND state NOT IN ('suppressed', 'out_of_service')",
            better="low",
            watch=2,
            bad=10,
            source="system",
            note=Label("Mục tiêu EEMUA 191: 1; từ 10 là dồn dập", "EEMUA 191: target 1, a flood from 10"),
        ),
        Kpi(
            key="acknowledge_median",
            label=Label("Thời gian tiếp nhận", "Time to acknowledge"),
            unit=Label("phút", "min"),
            sql="SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM acknowledged - opened)::float8 / 60),"
            " max(acknowledged) FROM alarm WHERE acknowledged > now() - INTERVAL '24 hours' AND acknowledged_by <> 'system'",
            better="low",
            watch=5,
            bad=10,
            decimals=1,
            source="hand",
            note=Label("Trung vị 24 giờ", "Median of 24 hours"),
        ),
        Kpi(
            key="devices_online",
            label=Label("Trực tuyến, trừ camera", "Online, cameras aside"),
            unit=_SHARE,
            sql=_share_online("d.kind <> 'camera' AND d.kind <> ''"),
            better="high",
            watch=98,
            bad=90,
            decimals=1,
            note=Label(
                "Mọi thiết bị trừ camera, có số liệu trong 5 chu kỳ", "All but cameras, heard within five periods"
            ),
        ),
        Kpi(
            key="cameras_online",
            label=Label("Camera trực tuyến", "Cameras online"),
            unit=_SHARE,
            sql=_share_online("d.kind = 'camera'"),
            better="high",
            watch=95,
            bad=80,
            decimals=1,
            note=Label(
                "Có hình tin được, trên mọi điểm camera đã đăng ký",
                "With a picture to be trusted, of every registered camera point",
            ),
        ),
        Kpi(
            key="cameras_available",
            label=Label("Camera còn hoạt động", "Cameras still working"),
            unit=_SHARE,
            sql=_share_online(f"d.kind = 'camera' AND {_EVER}"),
            better="high",
            watch=95,
            bad=80,
            decimals=1,
            note=Label("Trên các camera từng trực tuyến", "Of cameras that were online once"),
        ),
        Kpi(
            key="water_highest",
            label=Label("Mực nước cao nhất", "Highest water level"),
            unit=Label("m", "m"),
            sql=_fresh("waterLevel", "max(l.value)"),
            better="low",
            watch=_limit("water_alert_1"),
            bad=_limit("water_alert_3"),
            decimals=2,
            note=Label("Báo động I 1,40 m, II 1,50 m, III 1,60 m", "Alert levels 1.40, 1.50 and 1.60 m"),
        ),
        Kpi(
            key="rain_highest",
            label=Label("Mưa lớn nhất", "Heaviest rain"),
            unit=Label("mm/giờ", "mm/h"),
            sql=_fresh("rainfall", "max(l.value)"),
            better="low",
            watch=_limit("rain_heavy"),
            bad=_limit("rain_extreme"),
            decimals=1,
            note=Label("Trạm có cường độ lớn nhất", "The gauge with the most"),
        ),
        Kpi(
            key="pm25_mean",
            label=Label("Bụi mịn PM2.5", "Fine dust PM2.5"),
            unit=Label("µg/m³", "µg/m³"),
            sql=_fresh("pm25", "avg(l.value)"),
            better="low",
            watch=50,
            bad=_limit("pm25_high"),
            decimals=0,
            note=Label("Trung bình các trạm", "Mean of the stations"),
        ),
        Kpi(
            key="aqi_worst",
            label=Label("VN_AQI cao nhất", "Highest VN_AQI"),
            sql=_AQI,
            better="low",
            watch=101,
            bad=151,
            note=Label(
                "Theo PM2.5, QĐ 1459/QĐ-TCMT, các giờ đã đủ", "From PM2.5, Decision 1459/QĐ-TCMT, finished hours"
            ),
        ),
        Kpi(
            key="traffic_speed",
            label=Label("Tốc độ trung bình", "Mean traffic speed"),
            unit=Label("km/h", "km/h"),
            sql=_fresh("averageVehicleSpeed", "avg(l.value)"),
            better="high",
            watch=20,
            bad=_limit("slow"),
            note=Label("Trung bình các bộ đếm xe", "Mean of the traffic detectors"),
        ),
        Kpi(
            key="vehicles_in_view",
            label=Label("Xe trong khung hình", "Vehicles in view"),
            unit=Label("xe/ảnh", "per picture"),
            sql=_VEHICLES_IN_VIEW,
            decimals=1,
            note=Label(
                "Trung bình mỗi ảnh camera trong một giờ; một xe ở nhiều ảnh được đếm nhiều lần",
                "Mean per camera picture of an hour; a vehicle in many pictures counts in each",
            ),
        ),
        Kpi(
            key="pictures_seen",
            label=Label("Ảnh đã phân tích", "Pictures looked at"),
            unit=Label("ảnh/giờ", "per hour"),
            sql="SELECT sum(frames)::float8, least(now(), max(time) + INTERVAL '1 minute') FROM (SELECT camera, time,"
            " max(frames) AS frames FROM camera_count WHERE time > now() - INTERVAL '1 hour' GROUP BY camera, time) AS minute",
            source="system",
            note=Label("Ảnh camera qua bộ nhận dạng trong một giờ", "Camera pictures through the detector in an hour"),
        ),
        Kpi(
            key="lamps_lit",
            label=Label("Đèn sáng ban đêm", "Lamps lit at night"),
            unit=_SHARE,
            # By day nothing is to be lit: outside 18:15–05:15 there is no value.
            sql=_fresh(
                "powerState",
                "CASE WHEN (now() AT TIME ZONE 'Asia/Ho_Chi_Minh')::time BETWEEN '05:15' AND '18:15' THEN NULL"
                " ELSE (100.0 * count(*) FILTER (WHERE l.value IN (1, 2)) / nullif(count(*), 0))::float8 END",
            ),
            better="high",
            watch=98,
            bad=95,
            decimals=1,
            note=Label("Trên các đèn có số liệu, 18:15–05:15", "Of lamps that report, 18:15–05:15"),
        ),
        Kpi(
            key="energy_today",
            label=Label("Điện chiếu sáng hôm nay", "Lighting energy today"),
            unit=Label("kWh", "kWh"),
            sql=_ENERGY_TODAY,
            decimals=0,
            note=Label("Theo công tơ các tủ, từ 0 giờ", "From the cabinets' meters, since midnight"),
        ),
        Kpi(
            key="values_alive",
            label=Label("Số liệu đúng hạn", "Values on time"),
            unit=_SHARE,
            sql="SELECT (100.0 * count(*) FILTER (WHERE l.time > now() - 2 * " + _MEASURE_PERIOD + ")"
            " / nullif(count(*), 0))::float8, max(l.received)"
            " FROM latest l JOIN device d ON d.id = l.device AND d.status = 'active'",
            better="high",
            watch=98,
            bad=90,
            decimals=1,
            source="system",
            note=Label("Giá trị mới nhất không quá 2 chu kỳ", "Newest values no older than two periods"),
        ),
        Kpi(
            key="readings_minute",
            label=Label("Số liệu mỗi phút", "Readings a minute"),
            # Through the key of each measure that moved: the hypertable has no index on time alone, by intent.
            sql="SELECT sum(r.count)::float8, max(l.received) FROM latest l CROSS JOIN LATERAL (SELECT count(*) FROM reading r"
            " WHERE r.device = l.device AND r.measure = l.measure AND r.time > now() - INTERVAL '1 minute') AS r"
            " WHERE l.received > now() - INTERVAL '2 minutes'",
            source="system",
            note=Label("Số liệu lưu trong phút qua", "Readings stored of the last minute"),
        ),
        Kpi(
            key="quarantined_today",
            label=Label("Bản tin lỗi hôm nay", "Messages refused today"),
            sql=f"SELECT count(*)::float8, now() FROM quarantine WHERE received >= {_MIDNIGHT}",
            better="low",
            watch=1,
            bad=1000,
            source="system",
            note=Label("Bản tin trong khu cách ly từ 0 giờ", "Messages in quarantine since midnight"),
        ),
    )
}


def band(kpi: Kpi, value: float | None) -> Band:
    """How good a value is; "" where there is none, or where it is neither."""
    if value is None or not kpi.better:
        return ""
    sign = 1 if kpi.better == "low" else -1
    if sign * value >= sign * kpi.bad:
        return "bad"
    return "watch" if sign * value >= sign * kpi.watch else "good"


def compute(connection: Connection) -> list[KpiValue]:
    """Every key figure as it is now, in the order of `KPIS`.

    Raises:
        StorageError: TimescaleDB is away.
    """
    values = []
    with translated():
        for kpi in KPIS.values():
            row = connection.execute(kpi.sql).fetchone()
            value, as_of = (None, None) if row is None else row
            values.append(KpiValue(kpi.key, value, as_of if value is not None else None, band(kpi, value)))
    return values


def online_by_kind(connection: Connection) -> list[KindOnline]:
    """Devices registered, ever online and online now, by kind, in the catalogue's order.

    Raises:
        StorageError: TimescaleDB is away.
    """
    sql = (
        f"SELECT d.kind, count(*), count(*) FILTER (WHERE {_EVER}), count(*) FILTER (WHERE {_ONLINE})"
        " FROM device d WHERE d.status = 'active' GROUP BY d.kind"
    )
    with translated():
        rows = {row[0]: row for row in connection.execute(sql).fetchall()}
    return [KindOnline(*rows[kind]) for kind in KINDS if kind in rows]

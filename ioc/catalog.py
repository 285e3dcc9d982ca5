"""What the city measures: one row per measure, alarm rule and kind of device.

Decoding, storage, limits, alarms, labels and colours follow from these rows. Names are those of the Smart Data Models
(smartdatamodels.org); the units are stated here because those schemas leave them open. Limits: PM and gases after
QCVN 05:2023/BTNMT hourly or daily values, water levels after Ho Chi Minh City's tide alert levels at Phú An
(BĐ I 1.40 m, II 1.50 m, III 1.60 m), voltages after Circular 39/2015/TT-BCT (220 V ± 5 %).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import msgspec

from ioc.errors import CatalogError


class Label(NamedTuple):
    """A name people read, in both languages."""

    vi: str
    en: str

    def in_language(self, language: str) -> str:
        """The label in `vi` or `en`; Vietnamese is the default."""
        return self.en if language == "en" else self.vi


#: Operator priorities of EEMUA 191: 1 act at once, 2 act soon, 3 act in this shift.
Priority = Literal[1, 2, 3]
#: What may be the matter with a camera's picture, worst first after `ok`; the order is that of the stored values.
PictureState = Literal["ok", "missing", "black", "frozen", "moved", "blurred", "late"]
PICTURE_STATES: Final[tuple[PictureState, ...]] = ("ok", "missing", "black", "frozen", "moved", "blurred", "late")
#: What a rule compares. `above`/`below`: the value against the limit. `rise`: the change over `window_s`.
#: `is_state`: an enumerated measure has the state. `silent`: nothing came for `limit` periods. `offline`: the device says so.
RuleKind = Literal["above", "below", "rise", "is_state", "silent", "offline"]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm rule: when it opens, when it returns, and how it is grouped.

    Attributes:
        key: unique in the catalogue.
        limit: in the measure's unit; for `silent` a number of periods; unused by `is_state` and `offline`.
        states: the states that `is_state` matches.
        hysteresis: the value must come back past the limit by this much to return to normal.
        on_delay_s / off_delay_s: how long the condition must hold, or be gone, in device time.
        cause: alarms of one cause in one ward become one incident.
        cuts_children: while it holds, devices below this one are lost because of it, and their own loss is suppressed
            (`silent` and `offline` always do).
    """

    key: str
    kind: RuleKind
    label: Label
    priority: Priority
    cause: str
    limit: float = 0.0
    states: tuple[str, ...] = ()
    hysteresis: float = 0.0
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    window_s: float = 0.0
    cuts_children: bool = False


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured quantity.

    Attributes:
        range: physically possible values in `unit`; what lies outside is quarantined.
        period_s: how often a healthy device reports it. Later than 2 periods is late, later than 5 is gone.
        states: names of an enumeration; the stored value is the index.
        decimals: digits after the point on screen.
        counts: the value is a sum over the period, not a level.
        aliases: what other systems call it, each with the unit they mean where they state none. Case, spaces and punctuation
            do not count: "PM2.5" and "pm2_5" are `pm25` without an alias.
        molar_mass: grams per mole, of gases that are also reported in ppb.
        finding: our own finding about the device: never taken from one, and no sign that it lives.
    """

    key: str
    label: Label
    unit: str
    range: tuple[float, float]
    period_s: float
    rules: tuple[Rule, ...] = ()
    states: tuple[str, ...] = ()
    state_labels: tuple[Label, ...] = ()
    decimals: int = 0
    counts: bool = False
    aliases: tuple[tuple[str, str], ...] = ()
    molar_mass: float = 0.0
    finding: bool = False

    @property
    def late_after_s(self) -> float:
        """Age from which the value is shown as late."""
        return 2 * self.period_s

    @property
    def gone_after_s(self) -> float:
        """Age from which the value is no longer shown."""
        return 5 * self.period_s


class DeviceKind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of device.

    Attributes:
        measures: keys of the measures it may report.
        headline: the measure shown beside its name, "" if none.
        period_s: how often a healthy device says anything.
        icon: name of a drawing in the page's own icon set.
        rules: rules on the device itself (silent, offline).
        system: the department's view it belongs to.
        lit: it can be told to be on, off or dimmed.
    """

    key: str
    label: Label
    measures: tuple[str, ...]
    headline: str
    period_s: float
    icon: str
    system: Literal["traffic", "lighting", "environment", "water", "waste"]
    rules: tuple[Rule, ...] = ()
    lit: bool = False


#: Causes that group alarms into incidents.
CAUSES: Final[dict[str, Label]] = {
    "flood": Label("Ngập nước", "Flooding"),
    "air": Label("Ô nhiễm không khí", "Air pollution"),
    "rain": Label("Mưa lớn", "Heavy rain"),
    "traffic": Label("Ùn tắc giao thông", "Congestion"),
    "road": Label("Sự cố trên đường", "Road incident"),
    "people": Label("Tụ tập, nán lại", "People gathering"),
    "lighting": Label("Sự cố chiếu sáng", "Lighting fault"),
    "waste": Label("Thùng rác", "Waste bins"),
    "device": Label("Mất thiết bị", "Device lost"),
    "camera": Label("Mất camera", "Camera lost"),
}

_ON_OFF: Final = (Label("Tắt", "Off"), Label("Bật", "On"), Label("Giảm sáng", "Dimmed"), Label("Khởi động", "Starting"))


def _limit(
    key: str,
    kind: RuleKind,
    limit: float,
    priority: Priority,
    cause: str,
    vi: str,
    en: str,
    *,
    hysteresis: float = 0.0,
    on_delay_s: float = 0.0,
    off_delay_s: float = 0.0,
    window_s: float = 0.0,
    cuts_children: bool = False,
) -> Rule:
    return Rule(
        key=key,
        kind=kind,
        limit=limit,
        priority=priority,
        cause=cause,
        label=Label(vi, en),
        hysteresis=hysteresis,
        on_delay_s=on_delay_s,
        off_delay_s=off_delay_s,
        window_s=window_s,
        cuts_children=cuts_children,
    )


MEASURES: Final[dict[str, Measure]] = {
    m.key: m
    for m in (
        # --- air (AirQualityObserved) ---
        Measure(
            key="pm25",
            label=Label("Bụi mịn PM2.5", "Fine dust PM2.5"),
            unit="µg/m³",
            range=(0, 1000),
            period_s=60,
            rules=(
                _limit("pm25_high", "above", 75, 3, "air", "PM2.5 cao", "PM2.5 high", hysteresis=8, on_delay_s=300),
                _limit(
                    "pm25_very_high",
                    "above",
                    150,
                    2,
                    "air",
                    "PM2.5 rất cao",
                    "PM2.5 very high",
                    hysteresis=12,
                    on_delay_s=180,
                ),
            ),
        ),
        Measure(
            key="pm10",
            label=Label("Bụi PM10", "Dust PM10"),
            unit="µg/m³",
            range=(0, 2000),
            period_s=60,
            rules=(
                _limit("pm10_high", "above", 150, 3, "air", "PM10 cao", "PM10 high", hysteresis=12, on_delay_s=300),
            ),
        ),
        Measure(
            key="no2",
            label=Label("Nitơ điôxit NO₂", "Nitrogen dioxide NO₂"),
            unit="µg/m³",
            aliases=(("nitrogen_dioxide", "µg/m³"),),
            molar_mass=46.0055,
            range=(0, 2000),
            period_s=60,
            rules=(_limit("no2_high", "above", 200, 3, "air", "NO₂ cao", "NO₂ high", hysteresis=15, on_delay_s=300),),
        ),
        Measure(
            key="o3",
            label=Label("Ôzôn O₃", "Ozone O₃"),
            unit="µg/m³",
            aliases=(("ozone", "µg/m³"),),
            molar_mass=47.998,
            range=(0, 1000),
            period_s=60,
            rules=(_limit("o3_high", "above", 200, 3, "air", "O₃ cao", "O₃ high", hysteresis=15, on_delay_s=300),),
        ),
        Measure(
            key="so2",
            label=Label("Lưu huỳnh điôxit SO₂", "Sulphur dioxide SO₂"),
            unit="µg/m³",
            aliases=(("sulphur_dioxide", "µg/m³"), ("sulfur_dioxide", "µg/m³")),
            molar_mass=64.066,
            range=(0, 2000),
            period_s=60,
            rules=(_limit("so2_high", "above", 350, 3, "air", "SO₂ cao", "SO₂ high", hysteresis=25, on_delay_s=300),),
        ),
        Measure(
            key="co",
            label=Label("Cacbon monoxit CO", "Carbon monoxide CO"),
            unit="mg/m³",
            aliases=(("carbon_monoxide", "mg/m³"),),
            molar_mass=28.01,
            range=(0, 200),
            period_s=60,
            decimals=1,
            rules=(_limit("co_high", "above", 30, 2, "air", "CO cao", "CO high", hysteresis=3, on_delay_s=300),),
        ),
        Measure(
            key="relativeHumidity",
            label=Label("Độ ẩm", "Relative humidity"),
            unit="1",
            aliases=(("humidity", "%"), ("hum", "%"), ("rh", "%")),
            range=(0, 1),
            period_s=60,
            decimals=2,
        ),
        Measure(
            key="temperature",
            label=Label("Nhiệt độ", "Temperature"),
            unit="°C",
            aliases=(("temp", "°C"), ("air_temperature", "°C")),
            range=(-20, 70),
            period_s=60,
            decimals=1,
            rules=(_limit("heat", "above", 39, 3, "air", "Nắng nóng", "Extreme heat", hysteresis=1, on_delay_s=600),),
        ),
        # --- water ---
        Measure(
            key="waterLevel",
            label=Label("Mực nước", "Water level"),
            unit="m",
            aliases=(("water_depth", "m"),),
            range=(-5, 10),
            period_s=30,
            decimals=2,
            rules=(
                _limit(
                    "water_alert_1",
                    "above",
                    1.40,
                    3,
                    "flood",
                    "Mực nước báo động I",
                    "Water level alert I",
                    hysteresis=0.04,
                    on_delay_s=60,
                ),
                _limit(
                    "water_alert_2",
                    "above",
                    1.50,
                    2,
                    "flood",
                    "Mực nước báo động II",
                    "Water level alert II",
                    hysteresis=0.04,
                    on_delay_s=60,
                ),
                _limit(
                    "water_alert_3",
                    "above",
                    1.60,
                    1,
                    "flood",
                    "Mực nước báo động III",
                    "Water level alert III",
                    hysteresis=0.04,
                    on_delay_s=30,
                ),
                _limit(
                    "water_rise",
                    "rise",
                    0.20,
                    2,
                    "flood",
                    "Nước dâng nhanh",
                    "Water rising fast",
                    window_s=600,
                    off_delay_s=300,
                ),
            ),
        ),
        Measure(
            key="rainfall",
            label=Label("Cường độ mưa", "Rainfall"),
            unit="mm/h",
            aliases=(("rain_rate", "mm/h"), ("precipitation_intensity", "mm/h"), ("rain_intensity", "mm/h")),
            range=(0, 400),
            period_s=60,
            decimals=1,
            rules=(
                _limit(
                    "rain_heavy",
                    "above",
                    30,
                    3,
                    "rain",
                    "Mưa to",
                    "Heavy rain",
                    hysteresis=5,
                    on_delay_s=120,
                    off_delay_s=300,
                ),
                _limit(
                    "rain_extreme",
                    "above",
                    60,
                    2,
                    "rain",
                    "Mưa rất to",
                    "Extreme rain",
                    hysteresis=8,
                    on_delay_s=60,
                    off_delay_s=300,
                ),
            ),
        ),
        # --- traffic (TrafficFlowObserved) ---
        Measure(
            key="intensity",
            label=Label("Lưu lượng xe", "Traffic flow"),
            unit="vehicles/min",
            range=(0, 1000),
            period_s=60,
            counts=True,
        ),
        Measure(
            key="occupancy",
            label=Label("Độ chiếm đường", "Occupancy"),
            unit="1",
            range=(0, 1),
            period_s=60,
            decimals=2,
            rules=(
                _limit(
                    "jam",
                    "above",
                    0.6,
                    2,
                    "traffic",
                    "Ùn tắc",
                    "Traffic jam",
                    hysteresis=0.1,
                    on_delay_s=180,
                    off_delay_s=120,
                ),
            ),
        ),
        Measure(
            key="averageVehicleSpeed",
            label=Label("Tốc độ trung bình", "Average speed"),
            unit="km/h",
            aliases=(("average_speed", "km/h"), ("avg_speed", "km/h")),
            range=(0, 200),
            period_s=60,
            rules=(
                _limit(
                    "slow",
                    "below",
                    10,
                    3,
                    "traffic",
                    "Xe đi rất chậm",
                    "Traffic crawling",
                    hysteresis=3,
                    on_delay_s=300,
                    off_delay_s=120,
                ),
            ),
        ),
        Measure(
            key="averageHeadwayTime",
            label=Label("Giãn cách xe", "Headway"),
            unit="s",
            aliases=(("headway", "s"),),
            range=(0, 3600),
            period_s=60,
            decimals=1,
        ),
        # --- what the rules drawn into a camera's picture find (ioc.camera_rules) ---
        Measure(
            key="stoppedVehicles",
            label=Label("Xe dừng", "Stopped vehicles"),
            unit="vehicles",
            range=(0, 1000),
            period_s=60,
            rules=(
                _limit(
                    "vehicle_stopped",
                    "above",
                    0.5,
                    2,
                    "road",
                    "Xe dừng trên đường",
                    "Vehicle stopped",
                    off_delay_s=15,
                ),
            ),
        ),
        Measure(
            key="wrongWayVehicles",
            label=Label("Xe đi ngược chiều", "Wrong-way vehicles"),
            unit="vehicles",
            range=(0, 1000),
            period_s=60,
            rules=(_limit("wrong_way", "above", 0.5, 1, "road", "Xe đi ngược chiều", "Vehicle going the wrong way"),),
        ),
        Measure(
            key="congested",
            label=Label("Ùn tắc", "Congestion"),
            unit="",
            range=(0, 1),
            period_s=60,
            states=("no", "yes"),
            state_labels=(Label("Thông thoáng", "Free"), Label("Ùn tắc", "Congested")),
            rules=(
                Rule(
                    key="congested",
                    kind="is_state",
                    states=("yes",),
                    priority=2,
                    cause="traffic",
                    label=Label("Ùn tắc trong vùng quan sát", "Congestion in view"),
                ),
            ),
        ),
        Measure(
            key="crowded",
            label=Label("Đám đông", "Crowd"),
            unit="",
            range=(0, 1),
            period_s=60,
            states=("no", "yes"),
            state_labels=(Label("Bình thường", "Normal"), Label("Đông người", "Crowded")),
            rules=(
                Rule(
                    key="crowded",
                    kind="is_state",
                    states=("yes",),
                    priority=2,
                    cause="people",
                    label=Label("Tụ tập đông người", "Crowd gathering"),
                ),
            ),
        ),
        Measure(
            key="loiteringPeople",
            label=Label("Người nán lại", "Loitering people"),
            unit="people",
            range=(0, 1000),
            period_s=60,
            rules=(
                _limit(
                    "loitering", "above", 0.5, 3, "people", "Có người nán lại lâu", "Somebody loiters", off_delay_s=15
                ),
            ),
        ),
        Measure(
            key="averageDwellTime",
            label=Label("Thời gian lưu lại", "Dwell time"),
            unit="s",
            range=(0, 86_400),
            period_s=60,
        ),
        # --- street lighting (Streetlight, TALQ) ---
        Measure(
            key="powerState",
            label=Label("Trạng thái đèn", "Lamp state"),
            unit="",
            aliases=(("power_switch", ""), ("relay", "")),
            range=(0, 3),
            period_s=60,
            states=("off", "on", "low", "bootingUp"),
            state_labels=_ON_OFF,
        ),
        Measure(
            key="lampStatus",
            label=Label("Tình trạng đèn", "Lamp condition"),
            unit="",
            range=(0, 6),
            period_s=60,
            states=(
                "ok",
                "brokenLantern",
                "columnIssue",
                "defectiveLamp",
                "dayBurner",
                "supplyLoss",
                "leakageDetected",
            ),
            state_labels=(
                Label("Tốt", "OK"),
                Label("Vỡ chóa đèn", "Broken lantern"),
                Label("Hỏng cột", "Column issue"),
                Label("Hỏng bóng", "Defective lamp"),
                Label("Sáng ban ngày", "On by day"),
                Label("Mất nguồn", "Supply loss"),
                Label("Rò điện", "Leakage"),
            ),
            rules=(
                Rule(
                    key="lamp_defective",
                    kind="is_state",
                    states=("brokenLantern", "columnIssue", "defectiveLamp"),
                    priority=3,
                    cause="lighting",
                    label=Label("Đèn hỏng", "Lamp fault"),
                    on_delay_s=60,
                ),
                Rule(
                    key="lamp_leakage",
                    kind="is_state",
                    states=("leakageDetected",),
                    priority=1,
                    cause="lighting",
                    label=Label("Đèn rò điện", "Lamp leaking current"),
                ),
            ),
        ),
        Measure(
            key="illuminanceLevel",
            label=Label("Mức sáng", "Light level"),
            unit="1",
            aliases=(("dim", "%"), ("dimmer", "%"), ("dimming", "%"), ("dim_level", "%")),
            range=(0, 1),
            period_s=60,
            decimals=2,
        ),
        Measure(
            key="powerConsumption",
            label=Label("Công suất", "Power"),
            unit="W",
            range=(0, 100_000),
            period_s=60,
            aliases=(("power", "W"), ("active_power", "W"), ("watt", "W")),
        ),
        Measure(
            key="current",
            label=Label("Dòng điện", "Current"),
            unit="A",
            range=(0, 1000),
            period_s=60,
            decimals=2,
            aliases=(("amperage", "A"),),
        ),
        Measure(key="voltage", label=Label("Điện áp", "Voltage"), unit="V", range=(0, 500), period_s=60),
        Measure(
            key="powerFactor",
            label=Label("Hệ số công suất", "Power factor"),
            unit="1",
            aliases=(("pf", "1"),),
            range=(0, 1),
            period_s=60,
            decimals=2,
        ),
        # --- lighting cabinets (StreetlightControlCabinet) ---
        Measure(
            key="workingMode",
            label=Label("Chế độ tủ", "Cabinet mode"),
            unit="",
            range=(0, 2),
            period_s=30,
            states=("automatic", "manual", "off"),
            state_labels=(Label("Tự động", "Automatic"), Label("Bằng tay", "Manual"), Label("Tắt", "Off")),
        ),
        Measure(
            key="cabinetDoor",
            label=Label("Cửa tủ điện", "Cabinet door"),
            unit="",
            range=(0, 1),
            period_s=30,
            states=("closed", "open"),
            state_labels=(Label("Đóng", "Closed"), Label("Mở", "Open")),
            rules=(
                Rule(
                    key="cabinet_door_open",
                    kind="is_state",
                    states=("open",),
                    priority=2,
                    cause="lighting",
                    label=Label("Cửa tủ điện mở", "Cabinet door open"),
                    on_delay_s=30,
                ),
            ),
        ),
        Measure(
            key="energyConsumed",
            label=Label("Điện năng", "Energy"),
            unit="kWh",
            aliases=(("energy", "kWh"), ("total_energy", "kWh"), ("energy_total", "kWh")),
            range=(0, 1e9),
            period_s=30,
            decimals=1,
        ),
        *(
            Measure(
                key=f"intensity{phase}",
                label=Label(f"Dòng pha {phase}", f"Current phase {phase}"),
                unit="A",
                range=(0, 2000),
                period_s=30,
                decimals=1,
            )
            for phase in "RST"
        ),
        *(
            Measure(
                key=f"voltage{phase}",
                label=Label(f"Điện áp pha {phase}", f"Voltage phase {phase}"),
                unit="V",
                range=(0, 500),
                period_s=30,
                rules=(
                    _limit(
                        f"supply_loss_{phase.lower()}",
                        "below",
                        100,
                        1,
                        "lighting",
                        f"Mất điện pha {phase}",
                        f"Supply loss phase {phase}",
                        hysteresis=50,
                        on_delay_s=15,
                        cuts_children=True,
                    ),
                    _limit(
                        f"under_voltage_{phase.lower()}",
                        "below",
                        198,
                        3,
                        "lighting",
                        f"Điện áp thấp pha {phase}",
                        f"Low voltage phase {phase}",
                        hysteresis=4,
                        on_delay_s=120,
                    ),
                ),
            )
            for phase in "RST"
        ),
        # --- waste (WasteContainer) ---
        Measure(
            key="fillingLevel",
            label=Label("Mức đầy", "Filling level"),
            unit="1",
            aliases=(("fill_level", "%"), ("filling", "%"), ("fill", "%")),
            range=(0, 1),
            period_s=300,
            decimals=2,
            rules=(
                _limit(
                    "bin_full", "above", 0.95, 3, "waste", "Thùng rác đầy", "Bin full", hysteresis=0.15, on_delay_s=1800
                ),
            ),
        ),
        Measure(
            key="binStatus",
            label=Label("Tình trạng thùng", "Bin condition"),
            unit="",
            range=(0, 6),
            period_s=300,
            states=("ok", "lidOpen", "dropped", "moved", "vandalized", "burning", "unknown"),
            state_labels=(
                Label("Tốt", "OK"),
                Label("Mở nắp", "Lid open"),
                Label("Đổ", "Tipped over"),
                Label("Bị dời", "Moved"),
                Label("Bị phá", "Vandalised"),
                Label("Cháy", "Burning"),
                Label("Không rõ", "Unknown"),
            ),
            rules=(
                Rule(
                    key="bin_burning",
                    kind="is_state",
                    states=("burning",),
                    priority=1,
                    cause="waste",
                    label=Label("Thùng rác cháy", "Bin burning"),
                ),
            ),
        ),
        # --- people (CrowdFlowObserved) ---
        Measure(
            key="peopleCount",
            label=Label("Số người", "People"),
            unit="people",
            range=(0, 100_000),
            period_s=60,
            aliases=(("person_count", "people"), ("persons", "people")),
        ),
        # --- every battery-powered device ---
        Measure(
            key="batteryLevel",
            label=Label("Pin", "Battery"),
            unit="1",
            aliases=(("battery", "%"), ("bat", "%"), ("battery_percent", "%")),
            range=(0, 1),
            period_s=3600,
            decimals=2,
            rules=(
                _limit(
                    "battery_low",
                    "below",
                    0.15,
                    3,
                    "device",
                    "Pin yếu",
                    "Battery low",
                    hysteresis=0.05,
                    on_delay_s=3600,
                ),
            ),
        ),
        # --- cameras ---
        Measure(
            key="pictureState",
            label=Label("Tình trạng hình", "Picture"),
            unit="",
            range=(0, len(PICTURE_STATES) - 1),
            period_s=60,
            finding=True,
            states=PICTURE_STATES,
            state_labels=(
                Label("Hình tốt", "Picture good"),
                Label("Mất hình", "No picture"),
                Label("Hình đen, bị che", "Black or covered"),
                Label("Hình đứng", "Picture frozen"),
                Label("Lệch góc nhìn", "View moved"),
                Label("Hình mờ", "Picture blurred"),
                Label("Hình trễ", "Picture late"),
            ),
            rules=tuple(
                Rule(
                    key=f"picture_{state}",
                    kind="is_state",
                    states=(state,),
                    priority=3,
                    cause="camera",
                    label=Label(vi, en),
                )
                for state, vi, en in (
                    ("missing", "Camera không gửi hình", "Camera sends no picture"),
                    ("black", "Camera đen hoặc bị che", "Camera black or covered"),
                    ("frozen", "Camera đứng hình", "Camera frozen"),
                    ("moved", "Camera lệch góc nhìn", "Camera view moved"),
                    ("blurred", "Camera mờ", "Camera blurred"),
                    ("late", "Camera trễ hình", "Camera late"),
                )
            ),
        ),
        Measure(
            key="rssi",
            label=Label("Sóng", "Signal"),
            unit="dBm",
            range=(-200, 20),
            period_s=3600,
            aliases=(("signal_strength", "dBm"),),
        ),
    )
}

#: Measures that are our own findings about devices, which say nothing of whether a device lives.
FINDINGS: Final = tuple(row.key for row in MEASURES.values() if row.finding)


#: Dialects whose devices publish what happens and no heartbeat, unless a device has a `period_s` of its own.
EVENT_ONLY: Final = ("onvif",)
#: Dialects that bring pictures of cameras; of a camera of another one none is missed until a first one has come.
PICTURED: Final = ("native",)


def _lost(key: str, priority: Priority, cause: str, vi: str, en: str) -> tuple[Rule, ...]:
    return (
        Rule(key=f"{key}_offline", kind="offline", priority=priority, cause=cause, label=Label(vi, en), on_delay_s=10),
        Rule(
            key=f"{key}_silent",
            kind="silent",
            limit=5,
            priority=priority,
            cause=cause,
            label=Label(f"{vi} (im lặng)", f"{en} (silent)"),
        ),
    )


KINDS: Final[dict[str, DeviceKind]] = {
    k.key: k
    for k in (
        DeviceKind(
            key="camera",
            label=Label("Camera", "Camera"),
            measures=(
                "pictureState",
                "intensity",
                "occupancy",
                "averageVehicleSpeed",
                "peopleCount",
                "averageDwellTime",
                "stoppedVehicles",
                "wrongWayVehicles",
                "congested",
                "crowded",
                "loiteringPeople",
            ),
            headline="pictureState",
            period_s=10,
            icon="camera",
            system="traffic",
            rules=_lost("camera", 3, "camera", "Mất camera", "Camera lost"),
        ),
        DeviceKind(
            key="traffic_detector",
            label=Label("Đếm xe", "Traffic detector"),
            measures=("intensity", "occupancy", "averageVehicleSpeed", "averageHeadwayTime"),
            headline="averageVehicleSpeed",
            period_s=60,
            icon="traffic",
            system="traffic",
            rules=_lost("detector", 3, "device", "Mất bộ đếm xe", "Traffic detector lost"),
        ),
        DeviceKind(
            key="streetlight",
            label=Label("Đèn đường", "Street lamp"),
            measures=(
                "powerState",
                "lampStatus",
                "illuminanceLevel",
                "powerConsumption",
                "current",
                "voltage",
                "powerFactor",
                "energyConsumed",
            ),
            headline="powerState",
            period_s=60,
            icon="lamp",
            system="lighting",
            rules=_lost("lamp", 3, "lighting", "Mất đèn", "Lamp lost"),
            lit=True,
        ),
        DeviceKind(
            key="cabinet",
            label=Label("Tủ chiếu sáng", "Lighting cabinet"),
            measures=(
                "workingMode",
                "cabinetDoor",
                "energyConsumed",
                "intensityR",
                "intensityS",
                "intensityT",
                "voltageR",
                "voltageS",
                "voltageT",
            ),
            headline="voltageR",
            period_s=30,
            icon="cabinet",
            system="lighting",
            rules=_lost("cabinet", 2, "lighting", "Mất tủ chiếu sáng", "Lighting cabinet lost"),
        ),
        DeviceKind(
            key="air_station",
            label=Label("Trạm không khí", "Air station"),
            measures=("pm25", "pm10", "no2", "o3", "so2", "co", "relativeHumidity", "temperature"),
            headline="pm25",
            period_s=60,
            icon="air",
            system="environment",
            rules=_lost("air", 3, "device", "Mất trạm không khí", "Air station lost"),
        ),
        DeviceKind(
            key="flood_gauge",
            label=Label("Trạm đo ngập", "Flood gauge"),
            measures=("waterLevel", "batteryLevel", "rssi"),
            headline="waterLevel",
            period_s=30,
            icon="flood",
            system="water",
            rules=_lost("flood", 2, "device", "Mất trạm đo ngập", "Flood gauge lost"),
        ),
        DeviceKind(
            key="tide_gauge",
            label=Label("Trạm thủy triều", "Tide gauge"),
            measures=("waterLevel",),
            headline="waterLevel",
            period_s=30,
            icon="tide",
            system="water",
            rules=_lost("tide", 2, "device", "Mất trạm thủy triều", "Tide gauge lost"),
        ),
        DeviceKind(
            key="rain_gauge",
            label=Label("Trạm đo mưa", "Rain gauge"),
            measures=("rainfall", "batteryLevel"),
            headline="rainfall",
            period_s=60,
            icon="rain",
            system="water",
            rules=_lost("rain", 3, "device", "Mất trạm đo mưa", "Rain gauge lost"),
        ),
        DeviceKind(
            key="waste_bin",
            label=Label("Thùng rác", "Waste bin"),
            measures=("fillingLevel", "binStatus", "batteryLevel", "temperature"),
            headline="fillingLevel",
            period_s=300,
            icon="bin",
            system="waste",
            rules=_lost("bin", 3, "waste", "Mất thùng rác", "Waste bin lost"),
        ),
    )
}

#: What devices tell of beside measures and states: single happenings, with the label people read.
EVENTS: Final[dict[str, Label]] = {
    "object": Label("Camera thấy vật thể", "Object seen"),
    "review": Label("Cần xem lại", "Worth a look"),
    "motion": Label("Chuyển động", "Motion"),
    "line": Label("Vượt vạch", "Line crossed"),
    "zone": Label("Vào vùng", "Zone entered"),
    "tamper": Label("Phá hoại camera", "Camera tampered with"),
    "input": Label("Tín hiệu đầu vào", "Digital input"),
    "other": Label("Sự kiện khác", "Other event"),
    "joined": Label("Gia nhập mạng", "Joined the network"),
    "fault": Label("Thiết bị báo lỗi", "Device reports a fault"),
    "gap": Label("Mất bản tin", "Messages missing"),
}

#: What the detector tells apart, in the order of its output, with the label people read.
VISION_CLASSES: Final[dict[str, Label]] = {
    "motorbike": Label("Xe máy", "Motorbike"),
    "car": Label("Ô tô", "Car"),
    "bus": Label("Xe buýt", "Bus"),
    "truck": Label("Xe tải", "Truck"),
    "person": Label("Người", "Person"),
    "bicycle": Label("Xe đạp", "Bicycle"),
}


#: Every rule by key, with the measure it stands beside ("" for a rule on the device itself).
RULES: Final[dict[str, tuple[Rule, str]]] = {
    **{rule.key: (rule, measure.key) for measure in MEASURES.values() for rule in measure.rules},
    **{rule.key: (rule, "") for kind in KINDS.values() for rule in kind.rules},
}


def _plain(name: str) -> str:
    """A name without case, spaces and punctuation."""
    return "".join(character for character in name.casefold() if character.isalnum())


_NAMED: Final[dict[str, tuple[Measure, str]]] = {
    **{_plain(alias): (row, unit) for row in MEASURES.values() for alias, unit in row.aliases},
    **{_plain(row.key): (row, row.unit) for row in MEASURES.values()},
}


def measure_named(name: str) -> tuple[Measure, str] | None:
    """The measure that another system calls so, and the unit it means where it states none; None when there is none.

    >>> measure_named("PM2.5")[0].key
    'pm25'
    """
    return _NAMED.get(_plain(name))


def measure(key: str) -> Measure:
    """The measure of that key.

    Raises:
        CatalogError: when the catalogue has none.
    """
    try:
        return MEASURES[key]
    except KeyError:
        raise CatalogError(f"measure {key!r}: not in the catalogue; add a row to ioc/catalog.py") from None


def own_period(attrs: Mapping[str, object]) -> float:
    """Seconds between signs of life by the device's own attribute `period_s`; 0 = it has none."""
    try:
        own = float(str(attrs.get("period_s")))  # a tag of a network server is text
    except ValueError:
        own = 0.0
    return own if 0 < own < 10 * 86_400 else 0.0


def speaks_of_events_alone(dialect: str, attrs: Mapping[str, object]) -> bool:
    """Whether nothing of a device is heard while nothing happens: then its silence is no fault, and no sign that it lives."""
    return dialect in EVENT_ONLY and not own_period(attrs)


def period_of(kind: str, attrs: Mapping[str, object]) -> float:
    """Seconds between signs of life of a healthy device: its own, else its kind's, else a minute."""
    return own_period(attrs) or (KINDS[kind].period_s if kind in KINDS else 60.0)


def pace_of(measure: str, attrs: Mapping[str, object]) -> float:
    """Seconds between readings of a measure by a healthy device: the measure's, or its own where it is quieter."""
    return max(own_period(attrs), MEASURES[measure].period_s if measure in MEASURES else 60.0)


def kind(key: str) -> DeviceKind:
    """The kind of device of that key.

    Raises:
        CatalogError: when the catalogue has none.
    """
    try:
        return KINDS[key]
    except KeyError:
        raise CatalogError(f"device kind {key!r}: not in the catalogue; add a row to ioc/catalog.py") from None

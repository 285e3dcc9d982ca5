"""Options of Home Assistant configurations: their full names, the topic base, texts; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ioc.errors import RejectedError
from ioc.values import shorten

#: Options we read, by the short form that devices save bytes with.
ABBREVIATIONS: Final = {
    "avty": "availability",
    "avty_mode": "availability_mode",
    "avty_t": "availability_topic",
    "avty_tpl": "availability_template",
    "bri_cmd_t": "brightness_command_topic",
    "bri_cmd_tpl": "brightness_command_template",
    "bri_scl": "brightness_scale",
    "bri_stat_t": "brightness_state_topic",
    "bri_tpl": "brightness_template",
    "bri_val_tpl": "brightness_value_template",
    "cdevs": "child_devices",
    "cmd_t": "command_topic",
    "cmd_tpl": "command_template",
    "cmps": "components",
    "dev": "device",
    "dev_cla": "device_class",
    "ent_cat": "entity_category",
    "exp_aft": "expire_after",
    "migr_discvry": "migrate_discovery",
    "obj_id": "object_id",
    "on_cmd_type": "on_command_type",
    "p": "platform",
    "pl_avail": "payload_available",
    "pl_not_avail": "payload_not_available",
    "pl_off": "payload_off",
    "pl_on": "payload_on",
    "ret": "retain",
    "stat_off": "state_off",
    "stat_on": "state_on",
    "stat_t": "state_topic",
    "stat_tpl": "state_template",
    "stat_val_tpl": "state_value_template",
    "sup_clrm": "supported_color_modes",
    "t": "topic",
    "uniq_id": "unique_id",
    "unit_of_meas": "unit_of_measurement",
    "val_tpl": "value_template",
}
DEVICE_ABBREVIATIONS: Final = {
    "cdev": "child_device",
    "cns": "connections",
    "ids": "identifiers",
    "mdl": "model",
    "mf": "manufacturer",
    "sw": "sw_version",
}
#: Characters of a text.
_MOST_TEXT: Final = 500


def expanded(told: Mapping[str, Any], abbreviations: Mapping[str, str]) -> dict[str, Any]:
    """Options by their full names, those of availability topics too."""
    options = _full_names(told, abbreviations)
    listed = options.get("availability")
    if isinstance(listed, dict):
        listed = [listed]
    if isinstance(listed, list):
        options["availability"] = [_full_names(one, abbreviations) if isinstance(one, dict) else one for one in listed]
    return options


def _full_names(told: Mapping[str, Any], abbreviations: Mapping[str, str]) -> dict[str, Any]:
    return {abbreviations.get(key, key): value for key, value in told.items()}


def with_base(options: dict[str, Any]) -> dict[str, Any]:
    """Options with `~` at either end of a topic replaced by what it stands for."""
    base = options.get("~")
    if not isinstance(base, str):
        return options
    based = {key: _based(value, base) if key.endswith("topic") else value for key, value in options.items()}
    if isinstance(based.get("availability"), list):
        based["availability"] = [
            {**one, "topic": _based(one.get("topic"), base)} if isinstance(one, dict) else one
            for one in based["availability"]
        ]
    return based


def _based(topic: Any, base: str) -> Any:
    if not isinstance(topic, str):
        return topic
    if topic.startswith("~"):
        topic = base + topic[1:]
    return topic[:-1] + base if topic.endswith("~") else topic


def text_of(options: Mapping[str, Any], key: str) -> str:
    """A text option, "" where there is none; numbers and booleans as Home Assistant writes them.

    Raises:
        RejectedError: `shape`.
    """
    value = options.get(key)
    if value is None:
        return ""
    if not isinstance(value, str | int | float):
        raise RejectedError("shape", f"{key}: got {shorten(value)}, expected a text")
    try:
        text = str(value)
    except ValueError:  # an integer of more digits than Python writes
        text = "9" * (_MOST_TEXT + 1)
    if len(text) > _MOST_TEXT:
        raise RejectedError("shape", f"{key}: a text of {len(text)} characters, most is {_MOST_TEXT}")
    return text


def texts_of(value: Any) -> list[str]:
    """A list of texts, or one alone."""
    listed = value if isinstance(value, list) else [value]
    return [str(one) for one in listed if isinstance(one, str) or (type(one) is int and abs(one) < 10**40)]

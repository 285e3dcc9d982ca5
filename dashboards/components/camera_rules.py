"""What is drawn on a camera's picture, as `assets/camera-rules.js` draws it, lists it and edits it."""

from __future__ import annotations

from typing import Any, Final

from dashboards.camera_records import CameraFile
from dashboards.when import clock, figure, number
from ioc.camera_rules import POINTS_AT_MOST, RULE_KINDS, CameraRule, RuleKind
from ioc.catalog import MEASURES
from ioc.db.camera_flow import Flow
from ioc.i18n import Translator
from ioc.model import RulesWatched

#: A minute that was watched for less is not shown as if it had been watched whole.
_WHOLE_S: Final = 55.0


def kinds_data(words: Translator) -> dict[str, Any]:
    """The kinds of rule there are, in the reader's language; what the editor offers follows from them."""
    return {
        "most": POINTS_AT_MOST,
        "kinds": {
            key: {
                "label": kind.label.in_language(words.language),
                "shape": kind.shape,
                "classes": kind.classes,
                "choices": kind.choices,
                "fps": kind.least_fps(),
                # Less where it looks at people alone.
                "people": kind.least_fps(("person",)) if "person" in kind.choices else kind.least_fps(),
                "settings": [
                    {
                        "key": one.key,
                        "label": one.label.in_language(words.language),
                        # Shares are typed as people say them.
                        "unit": "%" if one.unit == "1" else words(one.unit),
                        "scale": 100 if one.unit == "1" else 1,
                        "default": one.default,
                        "least": one.least,
                        "most": one.most,
                    }
                    for one in kind.settings
                ],
            }
            for key, kind in RULE_KINDS.items()
        },
    }


def rules_data(file: CameraFile, watched: RulesWatched | None, words: Translator) -> list[dict[str, Any]]:
    """The rules of a camera with who changed them last, what they find and counted, and why one is not run."""
    return [_rule(rule, file, watched, words) for rule in file.rules if rule.kind in RULE_KINDS]


def why_off(rule: CameraRule, watched: RulesWatched | None, words: Translator) -> str:
    """Why a rule is not run now, "" when it is."""
    if watched is None:
        return words("nobody looks at this camera")
    if rule.id in watched.failing:
        return words("does not work: see the log of vision")
    if rule.id in watched.resting:
        least = RULE_KINDS[rule.kind].least_fps(rule.classes)
        return words(
            "needs {least} frames/s, has {got}",
            least=number(least, 0 if least >= 1 else 2, words),
            got=number(watched.fps, 1 if least >= 1 else 2, words),
        )
    return "" if rule.id in watched.watching else words("not taken up yet")


def counted_words(kind: RuleKind, flow: Flow, words: Translator) -> str:
    """What a rule counted in its newest minute; "" for kinds that are not for counting."""
    part = "" if flow.watched_s >= _WHOLE_S else f" ({words('{n} s of it watched', n=max(0, round(flow.watched_s)))})"
    if kind.key == "line":
        return words("{forward} forward, {back} back a minute", forward=flow.forward, back=flow.back) + part
    if kind.key == "zone":
        stay = f", {words('stay {n} s', n=round(flow.stayed_s / flow.stays))}" if flow.stays else ""
        return words("{n} at once", n=flow.most) + stay + part
    return ""


def _rule(rule: CameraRule, file: CameraFile, watched: RulesWatched | None, words: Translator) -> dict[str, Any]:
    kind, flow, edit = RULE_KINDS[rule.kind], file.flows.get(rule.id), file.edits.get(rule.id)
    found = watched.values.get(rule.id) if watched is not None else None
    if kind.measure:
        value = figure(kind.measure, found, words) if found is not None else ""
    else:
        value = counted_words(kind, flow, words) if flow is not None else ""
    return {
        "id": rule.id,
        "version": rule.version,
        "kind": rule.kind,
        "name": rule.name,
        "points": rule.points,
        "classes": rule.classes,
        "settings": rule.settings,
        "by": edit.who if edit is not None else "",
        "at": clock(edit.time, edit.time) if edit is not None else "",
        "value": value,
        # What it finds is drawn in the colour of the alarm that it leads to.
        "priority": min(one.priority for one in MEASURES[kind.measure].rules) if kind.measure and found else 0,
        "off": why_off(rule, watched, words),
    }

"""What is drawn on a camera's picture, as `assets/camera-rules.js` draws it, lists it and edits it."""

from __future__ import annotations

from typing import Any, Final

from dashboards.camera_records import CameraFile, Flow
from dashboards.when import clock, number
from ioc.camera_rules import POINTS_AT_MOST, RULE_KINDS, CameraRule, RuleKind
from ioc.i18n import Translator
from ioc.model import CameraFigures

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
                "fps": kind.least_fps,
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


def rules_data(file: CameraFile, figures: CameraFigures | None, words: Translator) -> list[dict[str, Any]]:
    """The rules of a camera with who changed them last, what they counted, and why one is not run."""
    return [_rule(rule, file, figures, words) for rule in file.rules if rule.kind in RULE_KINDS]


def why_off(rule: CameraRule, figures: CameraFigures | None, words: Translator) -> str:
    """Why a rule is not run now, "" when it is."""
    if figures is None:
        return words("nobody looks at this camera")
    kind = RULE_KINDS[rule.kind]
    if figures.frames_s < kind.least_fps:
        return words(
            "needs {least} frames/s, has {got}",
            least=number(kind.least_fps, 0, words),
            got=number(figures.frames_s, 1, words),
        )
    return figures.rules_off.get(str(rule.id), "")


def counted_words(kind: RuleKind, flow: Flow, words: Translator) -> str:
    """What a rule counted in its newest minute; "" for kinds that count nothing of their own."""
    part = "" if flow.watched_s >= _WHOLE_S else f" ({words('{n} s of it watched', n=round(flow.watched_s))})"
    if kind.shape == "line":
        return words("{forward} forward, {back} back a minute", forward=flow.forward, back=flow.back) + part
    if kind.key == "zone":
        stay = f", {words('stay {n} s', n=round(flow.stayed_s / flow.stays))}" if flow.stays else ""
        return words("{n} at once", n=flow.most) + stay + part
    return ""


def _rule(rule: CameraRule, file: CameraFile, figures: CameraFigures | None, words: Translator) -> dict[str, Any]:
    kind, flow, edit = RULE_KINDS[rule.kind], file.flows.get(rule.id), file.edits.get(rule.id)
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
        "value": counted_words(kind, flow, words) if flow is not None else "",
        "time": flow.time.timestamp() if flow is not None else 0,
        "off": why_off(rule, figures, words),
    }

"""What a camera saw when its alarm opened: blurred pictures with what was found on them, and who has seen their originals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from dash import html
from dash.development.base_component import Component

from dashboards.attributes import data
from dashboards.when import clock, moment, number
from ioc.catalog import MEASURES, VISION_CLASSES
from ioc.db.audit import AuditEntry
from ioc.db.evidence_pictures import OPEN, KeptPicture, SeenBox
from ioc.i18n import Translator

#: Boxes drawn at most, the surest first; more of them hide the picture.
MOST_BOXES: Final = 150
#: The height of a picture at most, rem.
_MOST_HIGH: Final = 32
#: Boxes lower than this share of the picture have no room for a word.
_WORD_FROM: Final = 0.12


def evidence_pictures(
    incident: int,
    pictures: Sequence[KeptPicture],
    log: Mapping[int, Sequence[AuditEntry]],
    now: datetime,
    words: Translator,
    *,
    opens: bool,
) -> Component:
    """The pictures of one alarm, the one it opened with first and large.

    Args:
        incident: of the alarm; all its originals are destroyed together.
        pictures: in order of time.
        log: who opened or destroyed the original of each, by its id, newest first.
        now: what "today" is.
        words: the reader's language.
        opens: this server has the master key.
    """
    if not pictures:
        return html.P(words("No picture of this alarm was kept."), className="muted no-evidence")
    entries = sorted((entry for rows in log.values() for entry in rows), key=lambda entry: -entry.seq)
    numbers = {f"picture-{picture.id}": place for place, picture in enumerate(pictures, 1)}
    parts: list[Component] = [
        _figure(picture, now, words, opens=opens, first=not place) for place, picture in enumerate(pictures)
    ]
    foot: list[Component] = [_log(entries, numbers, now, words)]
    if any(picture.original == "sealed" for picture in pictures):
        foot.append(
            html.Button(words("Destroy originals"), type="button", className="button quiet", **data(destroy=incident))
        )
    return html.Section(
        [
            html.Header(
                [
                    html.H4(words("What the camera saw"), className="why-title"),
                    html.Span(words("Faces and number plates are blurred"), className="muted"),
                ],
                className="evidence-head",
            ),
            html.Div(parts, className="evidence-pictures"),
            html.Div(foot, className="evidence-foot"),
        ],
        className="evidence",
    )


def _figure(picture: KeptPicture, now: datetime, words: Translator, *, opens: bool, first: bool) -> html.Figure:
    measure = MEASURES.get(picture.measure)
    what = picture.rule or (measure.label.in_language(words.language) if measure is not None else picture.measure)
    alt = f"{what}, {clock(picture.time, now)}"
    boxes = sorted(picture.boxes, key=lambda box: -box.confidence)[:MOST_BOXES]
    counts: dict[str, int] = {}
    for box in picture.boxes:
        counts[box.label] = counts.get(box.label, 0) + 1
    return html.Figure(
        [
            html.Div(
                [
                    html.Img(src=f"/evidence/{picture.id}.jpg", alt=alt, width=picture.width, height=picture.height),
                    *(_box(box, words) for box in boxes),
                ],
                className="evidence-frame",
                # As wide as there is room, and no higher than so many lines, of whatever proportions it is.
                style={"maxWidth": f"{_MOST_HIGH * picture.width / picture.height:.2f}rem"},
            ),
            html.Figcaption(
                [
                    html.Strong(what),
                    moment(picture.time, now),
                    html.Span(
                        " · ".join(f"{_label(label, words)} {count}" for label, count in counts.items())
                        or words("nothing was recognised"),
                        className="muted",
                    ),
                    _original(picture, words, opens=opens),
                ]
            ),
        ],
        className="evidence-picture first" if first else "evidence-picture",
    )


def _box(box: SeenBox, words: Translator) -> html.Span:
    """A box over the picture, in shares of it."""
    name = f"{_label(box.label, words)} {number(box.confidence * 100, 0, words)} %"
    return html.Span(
        html.Span(name) if box.y2 - box.y1 >= _WORD_FROM else None,
        className=f"seen-box c-{box.label}" if box.label in VISION_CLASSES else "seen-box",
        title=name,
        style={
            "left": f"{box.x1 * 100:.2f}%",
            "top": f"{box.y1 * 100:.2f}%",
            "width": f"{(box.x2 - box.x1) * 100:.2f}%",
            "height": f"{(box.y2 - box.y1) * 100:.2f}%",
        },
    )


def _label(label: str, words: Translator) -> str:
    return VISION_CLASSES[label].in_language(words.language) if label in VISION_CLASSES else label


def _original(picture: KeptPicture, words: Translator, *, opens: bool) -> Component:
    """The way to the original, or why there is none."""
    if picture.original == "none":
        return html.Span(words("The original was not kept"), className="muted original")
    if picture.original == "destroyed":
        return html.Span(words("The original was destroyed"), className="muted original")
    if not opens:
        return html.Span(words("The original is sealed; this server has no key"), className="muted original")
    return html.Button(words("View original"), type="button", className="button original", **data(original=picture.id))


def _log(entries: Sequence[AuditEntry], numbers: Mapping[str, int], now: datetime, words: Translator) -> html.Details:
    rows = [
        html.Li(
            [
                html.Span(
                    words("Seen by {who}", who=entry.who)
                    if entry.what == OPEN
                    else words("Destroyed by {who}", who=entry.who)
                ),
                html.Span(words("picture {n}", n=numbers[entry.subject]), className="muted")
                if len(numbers) > 1
                else None,
                html.Span(str((entry.after or {}).get("reason", "")), className="access-reason"),
                moment(entry.time, now, "entry-time"),
                html.Code(
                    f"#{entry.seq} {entry.hash.hex()[:10]}", title=f"SHA-256 {entry.hash.hex()}", className="hash"
                ),
            ]
        )
        for entry in entries
    ]
    return html.Details(
        [
            html.Summary(words("Who has seen the originals: {n}", n=len(entries))),
            html.Ul(rows) if rows else html.P(words("Nobody has opened an original."), className="muted"),
        ],
        className="accesses",
        open=bool(entries),
    )

"""The frame around every page: language and theme of the reader, the top bar, the words that scripts need."""

from __future__ import annotations

import html as escape
from typing import Any, Final, NamedTuple

import dash
import orjson
from dash import dcc, html
from dash.development.base_component import Component

from dashboards.attributes import data
from dashboards.components.city_map import label_points
from dashboards.room import room
from dashboards.theme import THEMES, Theme, wall_sizes
from ioc.catalog import CAUSES, KINDS, MEASURES, RULES, VISION_CLASSES, Label
from ioc.geo import BBOX, wards
from ioc.i18n import Translator, as_language, translator

#: The pages of the top bar: path, name (a message).
PLACES: Final = (
    ("/", "Wall"),
    ("/incidents", "Incidents"),
    ("/cameras", "Cameras"),
    ("/devices", "Devices"),
    ("/quarantine", "Quarantine"),
)


class Reader(NamedTuple):
    """Who reads: translator, theme, and the name that acts are recorded under.

    There is no login yet: `operator` is what the reader typed into this browser, and the log says so.
    """

    words: Translator
    theme: Theme
    operator: str


def reader() -> Reader:
    """Preferences of the request being answered: `?lang=` and `?theme=`, else the cookies of those names, else settings."""
    request = dash.get_app().backend.request_adapter()
    asked, kept = request.args, request.cookies
    language = as_language(asked.get("lang") or kept.get("lang"), room().settings.language)
    wanted = asked.get("theme") or kept.get("theme")
    theme: Theme = next((theme for theme in THEMES if theme == wanted), "dark")
    return Reader(translator(language), theme, kept.get("operator", ""))


def page(name: str, *children: Component, **attributes: Any) -> html.Main:
    """A page's outermost element; scripts find it as `[data-page=name]` (see `assets/feed.js`)."""
    return html.Main(list(children), className=f"page page-{name}", **data(page=name), **attributes)


def frame() -> html.Div:
    """The application's layout: location, banner, the page. The top bar belongs to each page's header (`nav`)."""
    return html.Div(
        [html.Div(id="banner", className="banner", role="alert"), dash.page_container],
        className="frame",
    )


def top_bar(words: Translator, here: str) -> html.Header:
    """The top bar of a desk page. The wall has a header of its own."""
    return html.Header(
        [brand(words), nav(words, here), html.Div(className="grow"), status(words), switches(words)], className="topbar"
    )


def brand(words: Translator) -> html.Div:
    """Name of the city and of the centre."""
    return html.Div(
        [
            html.Img(src=dash.get_asset_url("icons/mark.svg"), alt="", className="brand-mark"),
            html.Div(
                [
                    html.Span(words("Thu Duc"), className="brand-city"),
                    html.Span(words("City operations centre"), className="brand-centre"),
                ],
                className="brand-words",
            ),
        ],
        className="brand",
    )


def nav(words: Translator, here: str) -> html.Nav:
    """Links to the pages; `here` is the path of this one."""
    return html.Nav(
        [
            dcc.Link(words(name), href=path, className="nav-link" + (" here" if path == here else ""))
            for path, name in PLACES
        ],
        className="nav",
    )


def status(words: Translator) -> html.Div:
    """Clock and link state in small; filled by `assets/shell.js`."""
    return html.Div(
        [
            html.Span(className="links", **data(live="links-small")),
            html.Span("--:--:--", className="clock-small", **data(live="clock")),
        ],
        className="status",
        title=words("Link state and server time"),
    )


def switches(words: Translator) -> html.Div:
    """Language and theme switches; `assets/shell.js` sets the cookie and loads the page again."""
    return html.Div(
        [
            html.Button("VI", className="switch", title="Tiếng Việt", **data(set="lang=vi")),
            html.Button("EN", className="switch", title="English", **data(set="lang=en")),
            html.Button("◐", className="switch", title=words("Dark or light"), **data(set="theme=next")),
            html.Button("?", className="switch", title=words("Keys"), **data(do="help")),
        ],
        className="switches",
    )


def index_page(parts: dict[str, str]) -> str:
    """The HTML around the application, in the reader's language and theme from its first byte on."""
    who = reader()
    sizes = wall_sizes(room().settings)
    words = _script_words(who.words, room().settings.alarms_target_per_10min, room().settings.alarms_flood_per_10min)
    return f"""<!DOCTYPE html>
<html lang="{who.words.language}" data-theme="{who.theme}" style="{sizes}">
<head>
{parts["metas"]}
<title>{escape.escape(parts["title"])}</title>
<link rel="icon" type="image/svg+xml" href="/assets/icons/mark.svg">
{parts["css"]}
</head>
<body>
<script id="ioc-words" type="application/json">{words}</script>
{parts["app_entry"]}
<footer>{parts["config"]}{parts["scripts"]}{parts["renderer"]}</footer>
</body>
</html>"""


def _script_words(words: Translator, target: int, flood: int) -> str:
    """Catalogue rows and messages, as the scripts read them (`IOC.words`)."""

    def plain(rows: dict[str, Label]) -> dict[str, str]:
        return {key: label.in_language(words.language) for key, label in rows.items()}

    body = {
        "language": words.language,
        "messages": words.messages,
        "kinds": {
            key: {
                "label": kind.label.in_language(words.language),
                "icon": kind.icon,
                "headline": kind.headline,
                "period": kind.period_s,
            }
            for key, kind in KINDS.items()
        },
        "measures": {
            key: {
                "label": row.label.in_language(words.language),
                "unit": words(row.unit) if row.unit else "",
                "decimals": row.decimals,
                "period": row.period_s,
                "states": [label.in_language(words.language) for label in row.state_labels],
            }
            for key, row in MEASURES.items()
        },
        "rules": {key: rule.label.in_language(words.language) for key, (rule, _) in RULES.items()},
        "causes": plain(CAUSES),
        "classes": plain(VISION_CLASSES),
        "wards": {
            ward.code: {"name": ward.name, "lat": label_points()[ward.code][0], "lon": label_points()[ward.code][1]}
            for ward in wards()
        },
        "extent": BBOX,
        "alarm_target": target,
        "alarm_flood": flood,
    }
    # "<" would let a name end the script element; JSON reads it the same when escaped.
    return orjson.dumps(body).decode().replace("<", "\\u003c")

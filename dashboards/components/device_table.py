"""The table of all devices: its columns, its counts by state and kind, its filters. Rows are put in by `assets/devices.js`."""

from __future__ import annotations

from typing import Any, Final

import dash_ag_grid as dag
from dash import dcc, html

from dashboards.attributes import data
from ioc.catalog import KINDS
from ioc.geo import wards
from ioc.i18n import Translator

#: Column, header (a message), least width in rem, share of what is left, renderer of `assets/devices.js`.
_COLUMNS: Final = (
    ("state", "State", 8.5, 0.0, "DeviceState"),
    ("name", "Name", 15.0, 2.0, "DeviceName"),
    ("id", "Id", 10.0, 0.8, ""),
    ("kind", "Kind", 8.5, 0.6, ""),
    ("ward", "Ward", 8.0, 0.6, ""),
    ("value", "Value", 11.0, 0.9, "DeviceValue"),
    ("link", "Link", 8.0, 0.0, "DeviceLink"),
    ("seen", "Last telemetry", 9.0, 0.0, "DeviceAge"),
    ("quality", "Data quality", 7.5, 0.0, "DeviceQuality"),
    ("skew", "Clock skew", 6.5, 0.0, "DeviceSkew"),
    ("availability", "24 h", 5.5, 0.0, "DeviceShare"),
    ("firmware", "Firmware", 7.0, 0.4, ""),
)
_RIGHT: Final = ("value", "seen", "skew", "availability")


def device_table(words: Translator, rem: float = 16.0) -> dag.AgGrid:
    """The grid, without rows; thousands are no burden, since only what is seen is drawn."""
    return dag.AgGrid(
        id="devices-grid",
        columnDefs=[_column(*column, words, rem) for column in _COLUMNS],
        defaultColDef={"sortable": True, "resizable": True, "suppressMovable": True, "cellDataType": False},
        getRowId="params.data.id",
        dashGridOptions={
            "animateRows": False,
            "suppressCellFocus": False,
            "suppressColumnVirtualisation": True,
            "localeText": {
                "noRowsToShow": words("No device matches what was asked for"),
                "noMatchingRows": words("No device matches what was asked for"),
                "loadingOoo": words("Loading…"),
                "ariaSortableColumn": words("Press ENTER to sort"),
            },
            "asyncTransactionWaitMillis": 200,
        },
        className="device-grid",
        style={"height": "100%", "width": "100%"},
    )


def device_filters(words: Translator) -> html.Div:
    """Counts that are filters, the search, the wards."""
    places = {ward.code: ward.name for ward in sorted(wards(), key=lambda ward: ward.name)}
    hint = words("Search (diacritics may be left out)")
    return html.Div(
        [
            html.Div(id="device-states", className="chips", role="group"),
            html.Div(id="device-kinds", className="chips", role="group"),
            html.Div(
                [
                    dcc.Input(
                        id="device-text", type="search", placeholder=hint, className="input search", maxLength=200
                    ),
                    dcc.Dropdown(
                        {"": words("All wards"), **places},
                        "",
                        id="device-ward",
                        clearable=False,
                        searchable=False,
                        className="choice",
                    ),
                    html.Button(words("Clear filters"), type="button", className="button", **data(devices="clear")),
                    html.Span("", id="device-count", className="muted"),
                ],
                className="device-search",
            ),
        ],
        className="device-filters",
    )


def kind_name(key: str, words: Translator) -> str:
    """A kind of device as people read it; one that has not announced itself has none."""
    return KINDS[key].label.in_language(words.language) if key in KINDS else words("Device not announced yet")


def _column(
    field: str, header: str, least: float, share: float, renderer: str, words: Translator, rem: float
) -> dict[str, Any]:
    column: dict[str, Any] = {"field": field, "headerName": words(header), "minWidth": round(least * rem)}
    column |= {"flex": share} if share else {"width": round(least * rem)}
    if renderer:
        column["cellRenderer"] = renderer
    if field in _RIGHT:
        column["type"] = "rightAligned"
    if field == "state":
        column |= {"sort": "desc"}
    return column

"""What the pages look like, as far as the server decides it: type sizes from the wall's geometry, chart layout.

Colours live in `assets/tokens.css` alone; charts take theirs from there through CSS, so that a figure drawn once suits
every theme.
"""

from __future__ import annotations

from math import radians, tan
from typing import Any, Final, Literal

from ioc.settings import Settings

Theme = Literal["dark", "light", "auto"]
THEMES: Final[tuple[Theme, ...]] = ("dark", "light", "auto")

#: Capital height of Inter over its type size (1490 of 2048 units).
CAP_HEIGHT: Final = 1490 / 2048
#: Visual angle of the capitals: figures one acts on, what explains them, what labels them.
PRIMARY_ARCMIN: Final = 16.0
SECONDARY_ARCMIN: Final = 12.0
LABEL_ARCMIN: Final = 10.0
#: Type sizes that the wall's frame can hold, in hundredths of the screen's width; beyond, a wall needs another screen.
LEAST_VW: Final = 1.15
MOST_VW: Final = 1.75
#: Colours of a chart's lines: mid-tones that can be read on dark and on light.
LINES: Final = ("#8fa9c4", "#8a96a3", "#b59f7c", "#7fa39a")
#: Colours that mean a priority, mid-tones that can be read on dark and on light.
LIMITS: Final = {1: "#f0494b", 2: "#e08a14", 3: "#bf9d00"}
#: Colours of what the detector tells apart, as it draws the boxes (Okabe and Ito's).
CLASS_COLOURS: Final = {
    "motorbike": "#f0e442",
    "car": "#56b4e9",
    "bus": "#009e73",
    "truck": "#d55e00",
    "person": "#cc79a7",
    "bicycle": "#e69f00",
}
_WIDTH_OF_DIAGONAL: Final = 16 / (16**2 + 9**2) ** 0.5


def type_size_vw(arcmin: float, distance_m: float, diagonal_in: float) -> float:
    """Type size, in hundredths of the width of a 16:9 screen, whose capitals span `arcmin` at that distance.

    It holds at any resolution, because the screen's width is what it is measured in.

    >>> round(type_size_vw(16, 3.0, 55.0) * 1920 / 100)
    30
    """
    capital_mm = distance_m * 1000 * tan(radians(arcmin / 60))
    width_mm = diagonal_in * 25.4 * _WIDTH_OF_DIAGONAL
    return 100 * capital_mm / CAP_HEIGHT / width_mm


def wall_sizes(settings: Settings) -> str:
    """CSS custom properties with the wall's type sizes."""
    wanted = type_size_vw(PRIMARY_ARCMIN, settings.wall_distance_m, settings.wall_diagonal_in)
    primary = min(MOST_VW, max(LEAST_VW, wanted))
    return (
        f"--wall-primary:{primary:.3f};--wall-secondary:{primary * SECONDARY_ARCMIN / PRIMARY_ARCMIN:.3f};"
        f"--wall-label:{primary * LABEL_ARCMIN / PRIMARY_ARCMIN:.3f}"
    )


def chart_layout(**more: Any) -> dict[str, Any]:
    """Layout shared by every plotly figure: transparent, quiet, no tools; colours come from `tokens.css`."""
    axis = {"showgrid": True, "zeroline": False, "showline": False, "ticks": "", "fixedrange": True, "automargin": True}
    layout: dict[str, Any] = {
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "Inter Variable, sans-serif"},
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "showlegend": False,
        "hovermode": "x unified",
        "uirevision": "keep",
        "xaxis": {**axis, "showgrid": False, "type": "date"},
        "yaxis": axis,
    }
    return {**layout, **more}

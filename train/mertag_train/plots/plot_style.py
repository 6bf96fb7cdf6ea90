"""How the picture of a song looks: its size, its lines, its fonts.

The colours keep apart with every kind of colour blindness (CIE76 distance at least 20 under Machado's 2009
simulations), the dashes and markers in grey.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager

from mertag.emotion import Quadrant, Target

WIDTH_PX, HEIGHT_PX, DPI = 1_200, 675, 100
LEFT, ROOM = 0.065, 0.915
"""Where texts and axes begin, and how wide they are, as shares of the width."""

INK, FAINT = "#222222", "#767676"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineStyle:
    """One line: its words in the legend, colour, dashes and marker."""

    label: str
    colour: str
    dashes: Any
    marker: str


QUADRANT_STYLES: Mapping[Quadrant, LineStyle] = MappingProxyType(
    {
        Quadrant.Q1: LineStyle(label="Q1 Happy (V+ A+)", colour="#E69F00", dashes="-", marker="o"),
        Quadrant.Q2: LineStyle(label="Q2 Angry (V\u2212 A+)", colour="#A50026", dashes=(0, (5, 1.5)), marker="s"),
        Quadrant.Q3: LineStyle(
            label="Q3 Sad (V\u2212 A\u2212)", colour="#0072B2", dashes=(0, (6, 1.5, 1.2, 1.5)), marker="v"
        ),
        Quadrant.Q4: LineStyle(label="Q4 Relaxed (V+ A\u2212)", colour="#44AA99", dashes=(0, (1.2, 1.2)), marker="D"),
    }
)
AXIS_STYLES: Mapping[Target, LineStyle] = MappingProxyType(
    {
        Target.VALENCE: LineStyle(label="valence: P(V+), pleasant", colour="#0072B2", dashes="-", marker="o"),
        Target.AROUSAL: LineStyle(label="arousal: P(A+), lively", colour="#E69F00", dashes=(0, (5, 1.5)), marker="s"),
    }
)

_CJK_FONTS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans JP",
    "Noto Sans SC",
    "Source Han Sans",
    "Hiragino Sans",
    "PingFang SC",
    "Apple SD Gothic Neo",
    "Arial Unicode MS",
    "Yu Gothic",
    "Microsoft YaHei",
    "Malgun Gothic",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
)


@contextlib.contextmanager
def defaults() -> Iterator[None]:
    """Set aside what a user's matplotlibrc says (TeX, other sizes): the picture is the same everywhere."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    with mpl.rc_context():
        mpl.rcdefaults()
        families = ["DejaVu Sans", *(name for name in _CJK_FONTS if name in installed)]
        mpl.rcParams.update({"font.family": families, "svg.fonttype": "none", "svg.hashsalt": "mertag"})
        yield

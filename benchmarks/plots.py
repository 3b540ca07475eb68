"""Draw results as SVG images that read well on a light page and on a dark one."""

# Installed for benchmarks only: the checks have to do without it.
# mypy: disable-error-code="import-not-found"
# pyright: reportMissingImports=false

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator

from benchmarks.report import Bars, Panels, Result, Spans, duration

IMAGES = Path(__file__).parents[1] / "docs" / "images"

# Of about the same contrast to white and to black, since the page's colour shows through.
_TEXT = "#7a7f87"
_FAINT = "#7a7f8755"
_GOOD = "#1f8fd6"
_BAD = "#d9731a"

_STYLE: Any = {
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _TEXT,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": _TEXT,
    "axes.titlesize": 11,
    "figure.titlesize": 13,
    "figure.titleweight": "bold",
    "font.family": "sans-serif",
    "font.size": 10,
    "savefig.transparent": True,
    # Equal results must give equal files.
    "svg.fonttype": "none",
    "svg.hashsalt": "holdfast",
    "text.color": _TEXT,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "ytick.major.size": 0,
}


def draw(result: Result) -> Path:
    """Write one benchmark's plot and return its path."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    path = IMAGES / f"benchmark-{result.name}.svg"
    with mpl.rc_context(_STYLE):
        figure = _draw(result.plot)
        figure.suptitle(result.plot.title)
        figure.savefig(path, metadata={"Creator": None, "Date": None})
    return path


def _draw(plot: Bars | Panels | Spans) -> Figure:
    match plot:
        case Bars():
            return _draw_bars(plot)
        case Panels():
            return _draw_panels(plot)
        case Spans():
            return _draw_spans(plot)


def _draw_bars(plot: Bars) -> Figure:
    figure = Figure(figsize=(8, 0.9 + 0.55 * len(plot.values)), layout="constrained")
    axes: Axes = figure.subplots()
    for name, value in plot.values.items():
        colour = _GOOD if value <= plot.limit else _BAD
        axes.barh(f"{name}: {value:.2f}", value, color=colour, height=0.55)
    axes.axvline(plot.limit, color=_TEXT, linestyle="--", linewidth=1)
    axes.annotate(
        f"target: at most {plot.limit:g}",
        (plot.limit, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        horizontalalignment="center",
    )
    axes.invert_yaxis()
    axes.set_xlim(0, max(plot.limit, *plot.values.values()) * 1.15)
    axes.set_xlabel(plot.unit)
    return figure


def _draw_panels(plot: Panels) -> Figure:
    names = list(next(iter(plot.values.values())))
    figure = Figure(figsize=(10, 1.5 + 0.42 * len(names)), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(ncols=len(plot.values), sharey=True)
    for axes, (title, values) in zip(panels, plot.values.items(), strict=True):
        for name, value in values.items():
            stands_out = name in plot.outstanding
            colour = _GOOD if stands_out else _BAD
            axes.plot([1, value], [name, name], color=colour, linewidth=2)
            axes.plot(
                [value],
                [name],
                marker="o",
                markersize=8,
                color=colour,
                markerfacecolor=colour if stands_out else "none",
            )
            axes.annotate(
                f"{value:.{2 if value < 1 else 1 if value < 10 else 0}f}",
                (value, name),
                xytext=(8 if value > 1 else -8, 0),
                textcoords="offset points",
                horizontalalignment="left" if value > 1 else "right",
                verticalalignment="center",
            )
        axes.axvline(1, color=_TEXT, linewidth=1)
        axes.set_xscale("log")
        axes.set_title(title)
        few = max(values.values()) < 100
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.margins(x=0.25)
    panels[0].invert_yaxis()
    figure.supxlabel(plot.unit, fontsize=10)
    return figure


def _draw_spans(plot: Spans) -> Figure:
    figure = Figure(figsize=(10, 1.5 + 0.42 * len(plot.values)), layout="constrained")
    axes: Axes = figure.subplots()
    for name, values in plot.values.items():
        stands_out = name in plot.outstanding
        colour = _GOOD if stands_out else _BAD
        seconds = [*values.values()]
        axes.plot(seconds, [name] * len(seconds), color=colour, linewidth=2)
        for number, value in enumerate(seconds):
            axes.plot(
                [value],
                [name],
                marker="o",
                markersize=5 + 2.5 * number,
                color=colour,
                markerfacecolor=colour if stands_out else "none",
            )
        for value, side in ((min(seconds), -1), (max(seconds), 1)):
            axes.annotate(
                duration(value),
                (value, name),
                xytext=(10 * side, 0),
                textcoords="offset points",
                horizontalalignment="left" if side > 0 else "right",
                verticalalignment="center",
            )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(EngFormatter(unit="s"))
    axes.minorticks_off()
    axes.margins(x=0.12)
    axes.invert_yaxis()
    figure.supxlabel(plot.unit, fontsize=10)
    return figure

"""Reliability diagrams as one picture: what was said against how often it was so, a small plot a policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines.text.training.evaluate import PolicyFigures

PICTURE = "reliability.png"
COLUMNS = 4
DOTS_PER_INCH = 80


def draw(policies: Sequence[PolicyFigures], path: Path) -> None:
    """Bins of fewer lines are drawn smaller; the dashed line is where said and seen are the same."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(policies) // COLUMNS)
    figure = Figure(figsize=(2.4 * COLUMNS, 2.4 * rows), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    for at, figures in enumerate(policies):
        axes = figure.add_subplot(rows, COLUMNS, at + 1)
        axes.plot([0, 1], [0, 1], linestyle="--", linewidth=0.8, color="grey")
        said, seen = [each.said for each in figures.bins], [each.seen for each in figures.bins]
        axes.plot(said, seen, linewidth=1, color="tab:blue")
        axes.scatter(said, seen, s=[min(4 + each.lines**0.5, 60) for each in figures.bins], color="tab:blue")
        axes.set_title(f"{figures.policy}  ECE {figures.calibration_error:.3f}", fontsize=8)
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.03, 1.03)
        axes.tick_params(labelsize=6)
    figure.supxlabel("probability said", fontsize=8)
    figure.supylabel("share seen", fontsize=8)
    figure.savefig(path, metadata={"Software": None})

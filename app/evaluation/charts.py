"""Small charts as SVG, for a self-contained HTML page."""

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT, _MARGIN = 460, 300, 46
_BAR_OFFSET = 4
"""Pixels between the intervals of different lines at one x."""
_MAX_DENSE_DECADES = 2
"""A longer logarithmic axis has one tick per decade, a shorter one also ticks at 2 and 5."""
_COLORS = ("#2563eb", "#dc2626", "#059669", "#7c3aed", "#d97706")

Points = Sequence[tuple[float, float]]
Bars = Sequence[tuple[float, float | None, float | None]]
"""x, and the low and high end of an interval in y; None where unknown."""


def line_chart(
    title: str,
    lines: Mapping[str, Points],
    *,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
    intervals: Mapping[str, Bars] | None = None,
) -> str:
    """Return a chart of lines through points, with intervals; logarithmic axes leave out values of zero and below."""
    shown = {
        name: [(a, b) for a, b in points if (a > 0 or not log_x) and (b > 0 or not log_y) and math.isfinite(a + b)]
        for name, points in lines.items()
    }
    bars = {
        name: [(a, low, high) for a, low, high in line if low is not None and high is not None and a > 0]
        for name, line in (intervals or {}).items()
    }
    ends = [end for line in bars.values() for _, low, high in line for end in (low, high) if end > 0 or not log_y]
    across, up = (
        _Axis([a for points in shown.values() for a, _ in points], log_x),
        _Axis([*(b for points in shown.values() for _, b in points), *ends], log_y),
    )
    drawn = []
    for index, (name, points) in enumerate(shown.items()):
        color = _COLORS[index % len(_COLORS)]
        path = " ".join(f"{_x(across.share(a)):.1f},{_y(up.share(b)):.1f}" for a, b in points)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6"/>')
        for a, low, high in bars.get(name, ()):
            x_bar = f"{_x(across.share(a)) + _BAR_OFFSET * (index - (len(shown) - 1) / 2):.1f}"
            bottom, top = (f"{_y(up.share(end) if end > 0 or not log_y else 0):.1f}" for end in (low, high))
            drawn.append(
                f'<line x1="{x_bar}" x2="{x_bar}" y1="{bottom}" y2="{top}" stroke="{color}" stroke-width="3" '
                f'stroke-opacity="0.5"/>'
            )
    return _frame(title, x, y, across, up, [*drawn, *_legend(list(shown))])


def histogram_chart(title: str, edges: Sequence[float], counts: Mapping[str, Sequence[int]], *, x: str) -> str:
    """Return a chart of histograms over the same bins, each scaled to its own total."""
    across = _Axis(edges, is_log=False)
    shares = {name: [count / max(1, sum(bins)) for count in bins] for name, bins in counts.items()}
    up = _Axis([0.0, *(share for bins in shares.values() for share in bins)], is_log=False)
    drawn = []
    for index, bins in enumerate(shares.values()):
        color = _COLORS[index % len(_COLORS)]
        for left, right, share in zip(edges[:-1], edges[1:], bins, strict=True):
            low, high = _x(across.share(left)), _x(across.share(right))
            top = _y(up.share(share))
            drawn.append(
                f'<rect x="{low:.1f}" y="{top:.1f}" width="{max(0.5, high - low):.1f}" '
                f'height="{_HEIGHT - _MARGIN - top:.1f}" fill="{color}" fill-opacity="0.45"/>'
            )
    return _frame(title, x, "share", across, up, [*drawn, *_legend(list(shares))])


def _legend(names: Sequence[str]) -> list[str]:
    return [
        f'<text x="{_WIDTH - _MARGIN - 6}" y="{_MARGIN + 14 * (index + 1)}" fill="{_COLORS[index % len(_COLORS)]}" '
        f'font-size="11" text-anchor="end" stroke="#fff" stroke-width="3" paint-order="stroke">{escape(name)}</text>'
        for index, name in enumerate(names)
    ]


class _Axis:
    """Maps values to 0..1 along an axis, linearly or logarithmically, and places its ticks."""

    def __init__(self, values: Sequence[float], is_log: bool) -> None:
        self.is_log = is_log
        scaled = [self._scale(value) for value in values] or [0.0, 1.0]
        self.low, self.high = min(scaled), max(scaled)
        if self.high <= self.low:
            self.low -= 1

    def share(self, value: float) -> float:
        return (self._scale(value) - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        if self.is_log:
            parts = (1,) if self.high - self.low > _MAX_DENSE_DECADES else (1, 2, 5)
            decades = range(math.floor(self.low), math.ceil(self.high))
            values = [*(part * 10.0**power for power in decades for part in parts), 10.0 ** math.ceil(self.high)]
            return [
                (value, f"{value:g}") for value in values if self.low - 1e-9 <= math.log10(value) <= self.high + 1e-9
            ]
        step = (self.high - self.low) / 5
        return [(self.low + step * index, f"{self.low + step * index:.3g}") for index in range(6)]

    def _scale(self, value: float) -> float:
        return math.log10(value) if self.is_log else value


def _x(share: float) -> float:
    return _MARGIN + share * (_WIDTH - 2 * _MARGIN)


def _y(share: float) -> float:
    return _HEIGHT - _MARGIN - share * (_HEIGHT - 2 * _MARGIN)


def _frame(title: str, x: str, y: str, across: _Axis, up: _Axis, drawn: Sequence[str]) -> str:
    marks = [
        f'<text x="{_x(across.share(value)):.1f}" y="{_HEIGHT - _MARGIN + 14}" font-size="10" '
        f'text-anchor="middle">{text}</text>'
        for value, text in across.ticks()
    ] + [
        f'<text x="{_MARGIN - 5}" y="{_y(up.share(value)) + 3:.1f}" font-size="10" text-anchor="end">{text}</text>'
        for value, text in up.ticks()
    ]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}" font-family="sans-serif">'
        f'<text x="{_MARGIN}" y="18" font-size="13" font-weight="bold">{escape(title)}</text>'
        f'<rect x="{_MARGIN}" y="{_MARGIN}" width="{_WIDTH - 2 * _MARGIN}" height="{_HEIGHT - 2 * _MARGIN}" '
        f'fill="none" stroke="#999"/>{"".join(drawn)}{"".join(marks)}'
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 8}" font-size="11" text-anchor="middle">{escape(x)}</text>'
        f'<text x="12" y="{_HEIGHT / 2}" font-size="11" text-anchor="middle" '
        f'transform="rotate(-90 12 {_HEIGHT / 2})">{escape(y)}</text></svg>'
    )

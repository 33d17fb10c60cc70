"""One page that holds everything: speed against accuracy, a table that sorts, the paper's figures."""

from __future__ import annotations

import html
import json
import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from typing import Any

from rtmpose_sdk.benchmarks.report_text import COLUMNS, report_lines, rows, run_lines
from rtmpose_sdk.card import OF_FP32

_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2em auto;max-width:1100px;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}td,th{padding:.3em .6em;"
    "border-bottom:1px solid #ddd;text-align:right}.words{text-align:left}"
    "th{cursor:pointer;background:#f4f4f4}.warn{background:#fff3cd;padding:.6em}"
    "svg text{font-size:12px}"
)
_SORT = (
    "document.querySelectorAll('th').forEach(h=>h.onclick=()=>{const b=h.closest('table').tBodies[0],"
    "i=h.cellIndex,d=h.dataset.up=h.dataset.up==='1'?'0':'1',v=r=>{const t=r.cells[i].textContent,"
    "n=parseFloat(t);return isNaN(n)?t:n};"
    "[...b.rows].sort((x,y)=>{const p=v(x),q=v(y);return(p>q?1:p<q?-1:0)"
    "*(d==='1'?1:-1)}).forEach(r=>b.append(r))})"
)
_WIDTH, _HEIGHT, _MARGIN = 700, 360, 50
_LEGEND_LETTERS, _LEGEND_LINE = 84, 0.18
"""Most letters of a line under the PNG's plot, and its height in inches."""


def paper_tables() -> dict[str, Any]:
    """Tables 8, 10 and 11 of the RTMPose paper."""
    text = resources.files("rtmpose_sdk").joinpath("data/paper_latency.json").read_text("utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def points(content: dict[str, Any]) -> list[tuple[str, float, float]]:
    """(name, ms of the pose part at the median, AP in 0...1) of what has `shared_ap` in its card."""
    wanted, found = shared_ap(content), []
    for report in content["reports"]:
        known = aps_of(report["artifact"])
        if wanted in known:
            took = report["ms"]
            # A phone runs the network only.
            ms = took.get("predictor", took["bare engine"])["p50"]
            found.append((report["name"], ms, known[wanted]))
    return found


def shared_ap(content: dict[str, Any]) -> str | None:
    """The AP that most cards have, by name: others are of other pictures or boxes. None: no AP at all."""
    names = Counter(name for report in content["reports"] for name in aps_of(report["artifact"]))
    return names.most_common(1)[0][0] if names else None


def ap_of(artifact: dict[str, Any]) -> float | None:
    """The first AP in a card's accuracy, see `aps_of`; None without one."""
    return next(iter(aps_of(artifact).values()), None)


def aps_of(artifact: dict[str, Any]) -> dict[str, float]:
    """The APs in a card's accuracy by name, 0...1 (published ones are in percent).

    An AP of the model that it was made of is not its own.
    """
    own = ((k, v) for k, v in artifact["accuracy"].items() if not k.endswith(OF_FP32))
    found = {k: float(v) for k, v in own if re.search(r"\bAP\b", k)}
    return {name: ap / 100 if ap > 1 else ap for name, ap in found.items()}


def page(content: dict[str, Any]) -> str:
    """The page; it asks nothing of the network."""
    body = ["<h1>rtmpose-bench</h1>", *(f"<p>{html.escape(line)}</p>" for line in run_lines(content))]
    if content["noise warning"]:
        body.append(f"<p class=warn>{html.escape(content['noise warning'])}</p>")
    body.append("<h2>Speed and accuracy on this machine</h2>" + _plot(content))
    body.append("<h2>Milliseconds</h2><p>A click on a title sorts.</p>")
    titles = ("candidate", "step", *COLUMNS, "x bare")
    cells = [(r["name"], *row) for r in content["reports"] for row in rows(r)]
    body.append(_table(titles, cells))
    for report in content["reports"]:
        body.append(f"<h3>{html.escape(report['name'])}</h3><ul>")
        body += [f"<li>{html.escape(line)}</li>" for line in report_lines(report)]
        body.append("</ul>")
    paper = paper_tables()
    for table in paper["tables"]:
        body.append(f"<h2>The paper: {html.escape(table['title'])}</h2>")
        body.append(_table(table["columns"], [[_cell(v) for v in row] for row in table["rows"]]))
    return _whole(body)


def paper_page(
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]], lines: Sequence[str]
) -> str:
    """The page of `--paper`.

    Args:
        tables: title, names of the columns, cells.
        lines: what was run, on which machine.
    """
    body = ["<h1>rtmpose-bench --paper</h1>", *(f"<p>{html.escape(line)}</p>" for line in lines)]
    for title, columns, cells in tables:
        body.append(f"<h2>{html.escape(title)}</h2>{_table(columns, cells)}")
    return _whole(body)


def _whole(body: Sequence[str]) -> str:
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>rtmpose-bench</title>"
        f"<style>{_STYLE}</style>"
        f"<body>{''.join(body)}<script>{_SORT}</script></body></html>"
    )


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Columns of words stand at the left, titles and all; those of numbers at the right."""
    words = [any(cell and not _is_number(cell) for cell in column) for column in zip(*lines, strict=True)]

    def row(kind: str, cells: Sequence[str]) -> str:
        marks = [" class=words" if of_words else "" for of_words in words or [True] * len(cells)]
        inner = (f"<{kind}{m}>{html.escape(c)}</{kind}>" for m, c in zip(marks, cells, strict=True))
        return f"<tr>{''.join(inner)}</tr>"

    body = "".join(row("td", line) for line in lines)
    return f"<table><thead>{row('th', titles)}</thead><tbody>{body}</tbody></table>"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _plot(content: dict[str, Any]) -> str:
    found, ap_name = points(content), html.escape(shared_ap(content) or "")
    if not found:
        return "<p>No model here has an AP in its card.</p>"
    right, top = _limits(found)
    marks = [
        f"<line x1={_MARGIN} y1={_HEIGHT - _MARGIN} x2={_WIDTH} y2={_HEIGHT - _MARGIN} stroke=#888 />"
        f"<line x1={_MARGIN} y1=0 x2={_MARGIN} y2={_HEIGHT - _MARGIN} stroke=#888 />"
        f"<text x={_WIDTH // 2} y={_HEIGHT - 8}>ms, all persons, median</text>"
        f"<text x={_MARGIN + 8} y=14>{ap_name}</text>"
    ]
    for i in range(5):
        x, side = _MARGIN + i * (_WIDTH - _MARGIN) / 4, "end" if i else "start"
        y, down = (_HEIGHT - _MARGIN) * (1 - i / 4), 12 if i == 4 else 4
        below = _HEIGHT - _MARGIN + 16
        marks.append(f"<text x={x:.0f} y={below} text-anchor={side}>{right * i / 4:.1f}</text>")
        left = _MARGIN - 6
        marks.append(f"<text x={left} y={y + down:.0f} text-anchor=end>{top * i / 4:.2f}</text>")
    for number, (name, ms, ap) in enumerate(found, 1):
        x = _MARGIN + (_WIDTH - _MARGIN) * ms / right
        y = (_HEIGHT - _MARGIN) * (1 - ap / top)
        marks.append(
            f"<circle cx={x:.1f} cy={y:.1f} r=5 fill=#d6336c><title>{html.escape(name)}</title></circle>"
        )
        # Numbers, not names: names of near points would lie upon each other.
        marks.append(f"<text x={x:.0f} y={y - 9:.0f} text-anchor=middle>{number}</text>")
    names = "".join(
        f"<li>{html.escape(name)}: {ms:.1f} ms, {ap_name} {ap:.3f}</li>" for name, ms, ap in found
    )
    plotted = {name for name, *_ in found}
    others = [html.escape(r["name"]) for r in content["reports"] if r["name"] not in plotted]
    left_out = f"<p>Not plotted, without {ap_name} in the card: {'; '.join(others)}</p>" if others else ""
    drawing = f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' width={_WIDTH}>{''.join(marks)}</svg>"
    return f"{drawing}<ol>{names}</ol>{left_out}"


def _limits(found: list[tuple[str, float, float]]) -> tuple[float, float]:
    """Ends of the axes, ms and AP, with room beyond the last point."""
    most = max(ap for *_, ap in found)
    return 1.15 * max(ms for _, ms, _ in found), min(1.1, 1.2 * most) if most else 1.0


def picture(content: dict[str, Any]) -> bytes:
    """The plot as a PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    from rtmpose_sdk.errors import MissingExtraError

    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "plot", "A PNG of the benchmark") from None
    import io

    found = points(content)
    names = [f"{number}  {name}" for number, (name, *_) in enumerate(found, 1)]
    fold = textwrap.TextWrapper(_LEGEND_LETTERS, subsequent_indent="    ", break_on_hyphens=False).fill
    names = [fold(name) for name in names]
    lines = sum(name.count("\n") + 1 for name in names)
    data = io.BytesIO()
    with rc_context({"text.parse_math": False}):  # a `$` in a name is one
        # Beneath the plot, as high as it has to be: names within it would lie upon the points.
        figure = Figure(figsize=(7, 4 + _LEGEND_LINE * (lines + 1)), layout="constrained")
        axes = figure.subplots()
        for (_, ms, ap), (number, label) in zip(found, enumerate(names, 1), strict=True):
            axes.plot(ms, ap, "o", label=label)
            axes.annotate(
                str(number), (ms, ap), (0, 5), textcoords="offset points", ha="center", fontsize=8
            )
        right, top = _limits(found)
        axes.set(xlabel="ms, all persons, median", xlim=(0, right), ylim=(0, top))
        axes.set_ylabel(textwrap.fill(shared_ap(content) or "", 40))
        axes.set_title(content["machine"]["processor"])
        figure.legend(loc="outside lower left", fontsize=8, labelspacing=0.3)
        figure.savefig(data, format="png", dpi=120)
    return data.getvalue()

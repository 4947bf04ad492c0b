"""The report of a backtest: one HTML file that needs nothing else, not even the network."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from streamdet import __version__
from streamdet.backtest.charts import (
    ROWS_A_CHART,
    ROWS_ALL_CHARTS,
    Chart,
    SeriesRows,
    curve_drawn,
    days_drawn,
)
from streamdet.backtest.evaluation import DELAY, GAP, Evaluation, Tally
from streamdet.backtest.findings import Findings
from streamdet.backtest.summary import SeriesSummary, Summary
from streamdet.config import Config
from streamdet.errors import ConfigError
from streamdet.serde.instant import format_instant

try:
    from plotly.offline import get_plotlyjs
except ImportError:
    raise ConfigError(
        "--report needs plotly, which is not installed: pip install 'streamdet[report]'"
    ) from None

CHARTS = 20
_LISTED = 2_000
"""Series in the table: about 1 MB of it."""
_SETTINGS_OPEN = 4
"""More settings than these wait for a click."""
_BUTTONS = 6
"""Incidents of a chart that have a button."""


def write_report(path: Path, found: Findings) -> None:
    """Write the report of `found` to `path`.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    try:
        path.write_text(report(found), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from None


def report(found: Findings) -> str:
    """Return the page. The same input and settings give the same page, byte for byte."""
    summary, evaluation = found.summary, found.evaluation
    drawn = [at for at in summary.strangest if summary.series[at].points][:CHARTS]
    rows = SeriesRows(found)
    most = min(ROWS_A_CHART, ROWS_ALL_CHARTS // max(len(drawn), 1))
    charts = [rows.chart(at, most) for at in drawn]
    listed = summary.strangest[:_LISTED]
    data = {
        "days": days_drawn(summary.days),
        "curve": curve_drawn(evaluation, _only_sensitivity(found)) if evaluation else None,
        "charts": [chart.drawn for chart in charts],
    }
    page = files("streamdet.backtest") / "page"
    texts = {
        "source": escape(found.source),
        "lead": _lead(summary),
        "facts": "\n".join(_facts(found)),
        "tiles": "\n".join(_tiles(summary)),
        "label_tiles": _label_tiles(evaluation) if evaluation else "",
        "evaluation": _evaluation(found, evaluation) if evaluation else "",
        "listed": _listed(len(listed), summary),
        "heads": "\n".join(_heads(labelled=evaluation is not None)),
        "rows": "\n".join(_row(found, at, drawn) for at in listed),
        "charted": _charted(len(drawn), len(summary.series)),
        "legend": '<li><i class="area segment"></i>labelled segment</li>' if evaluation else "",
        "charts": "\n".join(
            _figure(place, chart, summary.series[at])
            for place, (at, chart) in enumerate(zip(drawn, charts, strict=True))
        ),
        "version": __version__,
        "data": _json(data),
        "css": (page / "report.css").read_text(encoding="utf-8").strip(),
        "script": (page / "report.js").read_text(encoding="utf-8").strip(),
        "plotly": get_plotlyjs(),
    }
    return Template((page / "report.html").read_text(encoding="utf-8")).substitute(texts)


def _lead(summary: Summary) -> str:
    if not summary.points:
        return "No row."
    of = f"{_many(summary.points, 'point')} of {len(summary.series):,} series"
    return (
        f"{of}, {_date(summary.first_us)} to {_date(summary.last_us)}: "
        f"{_many(summary.incidents, 'incident')}, {_rate(summary.incidents_per_day)} a day."
    )


def _facts(found: Findings) -> Iterator[str]:
    summary, settings = found.summary, list(_settings(found.config))
    if summary.points:
        times = (format_instant(us) for us in (summary.first_us, summary.last_us))
        yield f"<dt>Time</dt><dd>{' to '.join(times)}</dd>"
    yield f"<dt>Detector</dt><dd>{escape(', '.join(found.judges.names))}</dd>"
    shown = "\n".join(f"<code>{escape(text)}</code>" for text in settings)
    if len(settings) > _SETTINGS_OPEN:
        count = f"{len(settings)} differ from the defaults"
        shown = f"<details><summary>{count}</summary>\n{shown}</details>"
    yield f"<dt>Settings</dt><dd>{shown or 'all at their defaults'}</dd>"
    yield f"<dt>Settings' id</dt><dd><code>{found.config.detection_hash}</code></dd>"
    if found.labels and found.labels.left_out:
        first = f"the first at {escape(found.labels.first_left_out)}"
        count = _many(found.labels.left_out, "label")
        yield f"<dt>Left out</dt><dd>{count} without any point of their series, {first}</dd>"
    if found.notes:
        yield f"<dt>Without a row</dt><dd>{escape('; '.join(found.notes))}</dd>"


def _settings(config: Config) -> Iterator[str]:
    """Yield what differs from the defaults among the settings that can change a verdict."""
    given = config.model_dump(
        mode="json",
        by_alias=True,
        exclude_defaults=True,
        include={"input": {"timestamp_unit"}, "limits": True, "detection": True, "rules": True},
    )
    rules = given.pop("rules", [])
    for section, values in given.items():
        yield from (f"{section}.{text}" for text in _texts(values))
    for index, rule in enumerate(rules):
        match = ", ".join(_texts(rule.get("match", {}))) or "every series"
        yield f"rules[{index}], {match}: {', '.join(_texts(rule['set']))}"


def _texts(values: Mapping[str, object]) -> Iterator[str]:
    for name, value in values.items():
        yield f"{name} {value if isinstance(value, str) else json.dumps(value)}"


def _tiles(summary: Summary) -> Iterator[str]:
    share = summary.anomalies / summary.points if summary.points else 0.0
    yield _tile(f"{summary.points:,}", "points", "rows of the verdicts")
    yield _tile(f"{len(summary.series):,}", "series", "metrics with their dimensions")
    yield _tile(f"{summary.anomalies:,}", "anomalies", f"{_percent(share)} of the points")
    yield _tile(f"{summary.incidents:,}", "incidents", "alerts that a person gets")
    yield _tile(_rate(summary.incidents_per_day), "incidents a day", "of all series together")
    yield _tile(_percent(summary.days.quiet_share), "quiet", "days of a series without incident")


def _label_tiles(evaluation: Evaluation) -> str:
    total, flags = evaluation.total, evaluation.false_flags
    share = flags / evaluation.normal_points if evaluation.normal_points else 0.0
    tiles = (
        _tile(_score(total.recall), "recall", f"{total.found} of {total.segments} segments found"),
        _tile(
            _score(total.precision), "precision", f"{total.right} of {total.alarms} alarms right"
        ),
        _tile(_score(total.f1), "F1", "harmonic mean of the two"),
        _tile(_percent(share), "flagged falsely", f"{flags:,} points outside of segments"),
    )
    return '<ul class="tiles">\n' + "\n".join(tiles) + "\n</ul>"


def _tile(figure: str, name: str, note: str) -> str:
    return f"<li><b>{figure}</b><span>{name}</span><small>{note}</small></li>"


def _evaluation(found: Findings, evaluation: Evaluation) -> str:
    best, chosen = evaluation.best, _only_sensitivity(found)
    now = (
        "Its rules give series different sensitivities."
        if chosen is None
        else (f"This run's is {chosen}.")
    )
    steps = sorted({*range(0, 100, 10), 99, best, *([] if chosen is None else [chosen])})
    rows = "\n".join(
        f"<tr{' class=chosen' if s == chosen else ''}><th scope=row>{s}</th>"
        + _cells(evaluation.curve[s])
        + "</tr>"
        for s in steps
    )
    heads = "".join(f"<th scope=col>{name}</th>" for name in ("sensitivity", *_RATES))
    return f"""<section aria-labelledby="labels-heading">
<h2 id="labels-heading">Against the labels, by sensitivity</h2>
<p class="note">F1 is highest at {best}, with {_score(evaluation.curve[best].f1)}. {now} A labelled
segment is found when one of its first {DELAY + 1} points is flagged; an alarm is a run of flags,
gaps of up to {GAP} points joined, and right when it touches a segment. The curve asks this run's
scores only: rules that look at more than the score can flag less.</p>
<div class="plot curve" id="curve" role="img"
 aria-label="Precision, recall and F1 over sensitivity; the table below has the numbers"></div>
<details><summary>As a table</summary>
<div class="scroll" tabindex="0" role="region" aria-label="Curve over sensitivity">
<table><thead class="plain"><tr>{heads}</tr></thead><tbody>
{rows}
</tbody></table></div></details>
</section>"""


_RATES = ("recall", "precision", "F1")


def _listed(n: int, summary: Summary) -> str:
    quiet = sum(1 for one in summary.series if not one.incidents)
    text = f"{quiet:,} of {len(summary.series):,} without an incident."
    if n < len(summary.series):
        text += f" The table has the {n:,} strangest; the verdicts have every one."
    return text


def _charted(n: int, of: int) -> str:
    which = f"The {n} strangest of {of:,}" if n < of else "All of them"
    return (
        f"{which}, the highest score first. A button with a time shows an incident, the strangest "
        'first. <span class="mouse">Drag to zoom, double-click for the whole.</span>'
    )


def _heads(*, labelled: bool) -> Iterator[str]:
    names = ["series", "points", "anomalies", "incidents", "a day", "max severity", "status"]
    if labelled:
        names[-1:-1] = _RATES
    for name in names:
        yield f'<th scope="col"><button type="button">{name}</button></th>'


def _row(found: Findings, at: int, drawn: Sequence[int]) -> str:
    one = found.summary.series[at]
    name = _name(one)
    if at in drawn:
        name = f'<a href="#chart-{drawn.index(at)}">{name}</a>'
    cells = [_count(number) for number in (one.points, one.anomalies, one.incidents)]
    cells.append(_cell(_rate(one.incidents_per_day), one.incidents_per_day))
    cells.append(_cell(f"{one.max_severity:.2f}", one.max_severity) if one.anomalies else _EMPTY)
    if found.evaluation:
        cells.append(_cells(found.evaluation.series[at]))
    cells.append(f'<td class="text">{escape(one.status)}</td>')
    return f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>'


_EMPTY = '<td data-sort="" class="zero">–</td>'


def _cells(tally: Tally) -> str:
    """Return the cells of `_RATES`."""
    counts = (f"{tally.found}/{tally.segments}", f"{tally.right}/{tally.alarms}", "")
    values = (tally.recall, tally.precision, tally.f1)
    return "".join(
        _EMPTY if math.isnan(value) else _cell(f"{value:.2f} <small>{count}</small>", value)
        for value, count in zip(values, counts, strict=True)
    )


def _count(number: int) -> str:
    return _cell(f"{number:,}", number)


def _cell(text: str, number: float) -> str:
    return f'<td data-sort="{number:.6g}"{"" if number else " class=zero"}>{text}</td>'


def _figure(place: int, chart: Chart, one: SeriesSummary) -> str:
    counts = [_many(one.incidents, "incident"), _many(one.anomalies, "anomaly", "anomalies")]
    if one.anomalies:
        counts.append(f"max severity {one.max_severity:.2f}")
    if chart.rows_drawn < chart.rows:
        kept = "all" if chart.anomalies_drawn == chart.anomalies else f"{chart.anomalies_drawn:,}"
        counts.append(
            f"thinned to {chart.rows_drawn:,} of {chart.rows:,} rows: {kept} anomalies, every row "
            "around the strangest incidents, elsewhere the highest and lowest of each stretch"
        )
    else:
        counts.append(_many(chart.rows, "row"))
    buttons = "\n".join(
        f'<button type="button" aria-pressed="false" data-begin="{first_us // 1000}" '
        f'data-end="{last_us // 1000}">{_minute(first_us)}</button>'
        for first_us, last_us in chart.incidents[:_BUTTONS]
    )
    moves = "".join(
        f'<button type="button" class="move" data-move="{move}" aria-label="{says}" '
        f'title="{says}">{sign}</button>'
        for move, sign, says in (
            ("earlier", "←", "earlier"), ("later", "→", "later"), ("closer", "+", "closer"),
            ("wider", "−", "wider"), ("whole", "whole", "the whole series"),
        )
    )  # fmt: skip
    name = _name(one)
    plain = escape(one.name)
    return f"""<article class="series" id="chart-{place}" aria-labelledby="name-{place}">
<h3 id="name-{place}">{name}</h3>
<p class="counts">{", ".join(counts)}</p>
<div class="controls">{buttons}<span class="moves">{moves}</span></div>
<div class="plot chart" data-chart="{place}" role="img"
 aria-label="Value and band of {plain}"></div>
</article>"""


def _name(one: SeriesSummary) -> str:
    return escape(one.name).replace(",", ",<wbr>").replace("{", "{<wbr>", 1)


def _only_sensitivity(found: Findings) -> int | None:
    """Return the sensitivity that every row was judged by; None where they differ."""
    given = found.verdicts.column("sensitivity").drop_null().unique().to_pylist()
    return int(given[0]) if len(given) == 1 else None


def _json(data: object) -> str:
    """Return `data` as JSON that cannot end the script element it stands in."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)  # ASCII only
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _many(n: int, one: str, more: str | None = None) -> str:
    return f"{n:,} {one if n == 1 else more or one + 's'}"


def _rate(a_day: float) -> str:
    return f"{a_day:,.0f}" if a_day >= 100 else f"{a_day:.2g}" if a_day else "0"


def _score(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.{2 if percent < 1 else 3}g} %"


def _date(time_us: int) -> str:
    return format_instant(time_us)[:10]


def _minute(time_us: int) -> str:
    time = datetime.fromtimestamp(time_us // 1_000_000, UTC)
    return f"{time.day} {time:%b %H:%M}"

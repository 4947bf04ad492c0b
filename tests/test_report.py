"""The report of a backtest: one page whose numbers are the verdicts', and nothing from outside."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from streamdet.backtest.charts import ROWS_A_CHART, SeriesRows
from streamdet.backtest.findings import Findings
from streamdet.backtest.history import History
from streamdet.backtest.labels import Labels
from streamdet.backtest.report import CHARTS, report
from streamdet.backtest.rows import STATUSES, Status, unjudged
from streamdet.backtest.summary import Incident, incidents, summarize
from streamdet.backtest.thinning import thinned
from streamdet.backtest.verdicts import result
from streamdet.cli import app
from streamdet.config import Config
from streamdet.types import IncidentState, SeriesId

START_US = 1_614_643_200_000_000  # 2021-03-02, midnight
MINUTE_US = 60_000_000
EVIL = str(SeriesId.of('<script>alert("&amp;")</script>', {"host": "</script><b>"}))
DOLLARS = str(SeriesId.of("$plotly $& ${x}", {}))


class Page(HTMLParser):
    """What a page holds: elements with their attributes, and the text of each."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), []))
        if tag not in ("meta", "link", "input", "br", "wbr", "img"):
            self._open.append(self.elements[-1])

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        for _, _, texts in self._open:
            texts.append(data)

    def all(self, tag, **wanted):
        """Return the texts of the elements `tag` that have the attributes `wanted`."""
        return [
            "".join(texts).strip()
            for name, attributes, texts in self.elements
            if name == tag and all(attributes.get(key) == of for key, of in wanted.items())
        ]

    def data(self):
        return json.loads(self.all("script", id="data")[0])

    def rows(self):
        """Return the rows of the table of series, as texts by column."""
        text = self.source.split('<table id="table">')[1].split("</table>")[0]
        table = Page(text)
        heads = table.all("button")
        cells = table.all("th", scope="row"), table.all("td")
        width = len(heads) - 1
        return [
            dict(zip(heads, [name, *cells[1][i * width : (i + 1) * width]], strict=True))
            for i, name in enumerate(cells[0])
        ]

    @classmethod
    def of(cls, text):
        page = cls(text)
        page.source = text
        return page


def findings(series, minutes=200, *, label=None, config=None, left_out=0):
    """Return findings of hand-made verdicts.

    series : identity text -> {minute: score} of its anomalies; each begins an incident of two rows
    """
    number = np.tile(np.arange(len(series)), minutes)
    minute = np.repeat(np.arange(minutes), len(series))
    value = 10.0 * number + np.sin(minute)
    for one, scores in enumerate(series.values()):
        value[np.array(list(scores), np.int64) * len(series) + one] += 50.0
    time_us = START_US + minute * MINUTE_US
    table = pa.table(
        {
            "metric": np.array(list(series))[number],
            "timestamp": pa.array(time_us, pa.timestamp("us", "UTC")),
            "value": value,
        }
    )
    history = History(table, [name.encode() for name in series], number, time_us, value)
    verdicts = unjudged(history, Status.OK)
    verdicts.expected_value[:] = 10.0 * number
    verdicts.upper_margin[:] = verdicts.lower_margin[:] = 2.0
    verdicts.score[:] = 1.0
    verdicts.sensitivity[:] = 75
    warming = minute < 5
    verdicts.expected_value[warming] = verdicts.score[warming] = np.nan
    verdicts.status[warming] = Status.WARMING
    for one, scores in enumerate(series.values()):
        for at, score in scores.items():
            row = at * len(series) + one
            verdicts.score[row], verdicts.severity[row] = score, 1 - np.exp(-score / 10)
            verdicts.is_anomaly[row] = True
            verdicts.state[row] = IncidentState.ONSET
            verdicts.state[row + len(series)] = IncidentState.RECOVERED
    labels = None if label is None else Labels(label, left_out, "labels.csv:7" if left_out else "")
    settings = config or Config()
    return Findings.of("points.csv", history, result(verdicts), settings, labels)


def page(*args, **kwargs):
    return Page.of(report(findings(*args, **kwargs)))


FLEET = {"calm": {}, "odd": {50: 8.0, 90: 9.0}, "wild": {60: 30.0}}


def test_the_tables_numbers_are_those_of_the_verdicts():
    rows = {row["series"]: row for row in page(FLEET).rows()}
    assert list(rows) == ["wild", "odd", "calm"]
    assert [rows["odd"][name] for name in ("points", "anomalies", "incidents", "a day")] == [
        "200", "2", "2", "2",
    ]  # fmt: skip
    assert rows["wild"]["max severity"] == "0.95"
    assert rows["calm"]["max severity"] == "–"
    assert {row["status"] for row in rows.values()} == {"ok"}


def test_the_tiles_sum_the_table_up():
    tiles = page(FLEET).all("b")[:6]
    assert tiles == ["600", "3", "3", "3", "3", "33.3 %"]


def test_days_are_counted_in_utc_and_quiet_where_a_series_has_no_incident():
    found = findings({"m": {10: 8.0, 1430: 9.0, 1450: 9.0}}, 1500).summary
    assert found.days.incidents.tolist() == found.days.anomalies.tolist() == [2, 1]
    assert found.days.first_us == START_US
    assert found.days.quiet_share == 0.0
    assert found.incidents_per_day == pytest.approx(3 / (1499 / 1440))


def test_the_page_needs_nothing_from_outside():
    found = page(FLEET, label=np.zeros(600, np.bool_))
    for tag, attributes, _ in found.elements:
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#"), (tag, attributes)
        assert tag not in ("link", "img", "iframe", "object", "base")
    policy = next(a["content"] for t, a, _ in found.elements if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'")
    styles = "".join(found.all("style"))
    assert "url(" not in styles
    assert "@import" not in styles


def test_plotlys_script_stands_in_it_once():
    text = report(findings(FLEET))
    assert text.count("plotly.js v") == 1
    scripts = [attributes for tag, attributes, _ in Page.of(text).elements if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "data"}, {}, {}]


def test_names_from_the_input_are_never_markup():
    found = page({EVIL: {50: 8.0}, DOLLARS: {}}, label=np.zeros(400, np.bool_))
    assert EVIL in [row["series"] for row in found.rows()]
    assert DOLLARS in [row["series"] for row in found.rows()]
    assert EVIL in found.all("h3")
    assert [tag for tag, _, _ in found.elements].count("script") == 3
    assert "alert(" not in "".join(found.all("script")[1:2])
    assert any(a.get("aria-label") == f"Value and band of {EVIL}" for _, a, _ in found.elements)


def test_the_source_and_settings_are_never_markup():
    config = Config(rules=[{"match": {"metric": "<i>*"}, "set": {"period": 20}}])
    found = findings(FLEET, config=config)
    text = report(Findings(**{**fields(found), "source": "<u>x</u>.csv"}))
    tags = {tag for tag, _, _ in Page.of(text).elements}
    assert tags.isdisjoint({"i>", "u"})
    assert "metric &lt;i&gt;*" in text


def fields(found):
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


def test_the_header_says_what_was_run():
    config = Config(
        detection={"sensitivity": 80},
        rules=[{"match": {"metric": "cpu*"}, "set": {"period": 288}}],
        kafka={"sasl_password": "secret"},
    )
    found = page(FLEET, config=config)
    facts = " ".join(found.all("dd"))
    assert "2021-03-02T00:00:00Z to 2021-03-02T03:19:00Z" in facts
    assert "forecast" in facts
    assert "detection.sensitivity 80" in facts
    assert "rules[0], metric cpu*: period 288" in facts
    assert config.detection_hash in facts
    assert "secret" not in found.source
    assert "all at their defaults" in page(FLEET).source


def test_a_rule_may_give_series_another_detector_with_a_threshold_of_its_own():
    rule = {"match": {"metric": "odd"}, "set": {"detector": "spectral_residual"}}
    found = page(FLEET, config=Config(rules=[rule]))
    assert "forecast, spectral_residual" in found.all("dd")
    assert [chart["threshold"] for chart in found.data()["charts"]] == [6.5, 3.5, 6.5]


def test_a_chart_draws_what_the_verdicts_say():
    chart = page(FLEET).data()["charts"][1]  # odd
    at = chart["anomalies"]
    times = [chart["begin_ms"] + chart["tick_ms"] * chart["t"][i] for i in at]
    assert times == [(START_US + m * MINUTE_US) / 1_000 for m in (50, 90)]
    assert chart["value"][at[0]] == pytest.approx(60 + np.sin(50), abs=0.01)
    assert [chart[name][at[0]] for name in ("expectedValue", "lowerBoundary", "upperBoundary")] == [
        10, 8, 12,
    ]  # fmt: skip
    assert [chart["score"][i] for i in at] == [8, 9]
    assert chart["severity"] == [0.551, 0.593]
    assert chart["threshold"] == 6.5
    assert chart["incidents"] == [[90, 91], [50, 51]]
    assert chart["expectedValue"][:5] == chart["upperBoundary"][:5] == [None] * 5


def test_without_labels_there_is_no_word_of_them():
    found = page(FLEET)
    assert found.data()["curve"] is None
    assert "segment" not in "".join(found.all("main"))
    assert "recall" not in found.rows()[0]


def labelled():
    label = np.zeros(600, np.bool_)
    label[50 * 3 + 1 : 60 * 3 + 1 : 3] = True  # odd, ten points from its first anomaly on
    label[150 * 3] = True  # calm: missed
    return label


def test_with_labels_it_tells_recall_precision_and_f1():
    found = page(FLEET, label=labelled())
    rows = {row["series"]: row for row in found.rows()}
    assert rows["odd"]["recall"] == "1.00 1/1"
    assert rows["odd"]["precision"] == "0.50 1/2"
    assert rows["odd"]["F1"] == "0.67"
    assert rows["calm"]["recall"] == "0.00 0/1"
    assert rows["wild"]["recall"] == rows["wild"]["F1"] == "–"
    assert found.all("b")[6:10] == ["0.500", "0.333", "0.400", "0.34 %"]
    assert found.data()["charts"][1]["segments"] == [[50, 59]]


def test_the_curve_marks_the_sensitivity_of_the_run():
    curve = page(FLEET, label=labelled()).data()["curve"]
    assert curve["chosen"] == 75
    assert (curve["recall"][75], curve["f1"][75]) == (0.5, 0.4)
    assert curve["alarms"][50:52] == [1, 2]
    assert curve["precision"][0] == 0
    assert [len(curve[name]) for name in ("recall", "precision", "f1")] == [100] * 3


def test_labels_that_were_left_out_are_told():
    found = page(FLEET, label=labelled(), left_out=3)
    assert "3 labels without any point of their series, the first at labels.csv:7" in found.source
    lines = list(findings(FLEET, label=labelled(), left_out=3).lines())
    assert any(line.startswith("3 labels hold no point") for line in lines)


def test_only_the_strangest_series_are_charted_and_the_others_are_listed():
    found = page({f"m{i:02}": {50: 8.0 + i} for i in range(CHARTS + 5)}, 100)
    assert found.all("h3") == [f"m{i:02}" for i in range(CHARTS + 4, 4, -1)]
    assert len(found.rows()) == CHARTS + 5
    links = [a["href"] for t, a, _ in found.elements if t == "a" and "chart" in a["href"]]
    assert links == [f"#chart-{i}" for i in range(CHARTS)]


def test_a_long_series_is_thinned_and_says_so():
    anomalies = {i: 7.0 + i / 1e5 for i in range(100, 90_000, 1_000)}
    found = findings({"m": anomalies}, 100_000)
    chart = SeriesRows(found).chart(0, ROWS_A_CHART)
    assert chart.rows == 100_000
    assert chart.rows_drawn < 1.1 * ROWS_A_CHART
    assert chart.anomalies_drawn == chart.anomalies == len(anomalies)
    text = report(found)
    assert f"thinned to {chart.rows_drawn:,} of 100,000 rows: all anomalies" in text
    assert len(text) < 6_000_000


def test_the_same_input_gives_the_same_page():
    assert report(findings(FLEET)) == report(findings(FLEET))


def test_an_input_without_rows_gives_a_page():
    found = page({}, 0)
    assert found.rows() == []
    assert found.data()["charts"] == []


def test_late_rows_are_not_drawn_and_a_silence_breaks_the_line():
    found = findings({"m": {50: 8.0}})
    status = found.verdicts.column("status").to_pylist()
    status[100] = "late"
    place = found.verdicts.column_names.index("status")
    names = pa.array([*status, *STATUSES]).dictionary_encode()[: -len(STATUSES)]
    late = found.verdicts.set_column(place, "status", names)
    time_us = found.history.time_us.copy()
    time_us[150:] += 60 * MINUTE_US
    history = History(late, found.history.keys, found.history.series, time_us, found.history.value)
    changed = Findings(**{**fields(found), "history": history, "verdicts": late})
    drawn = SeriesRows(changed).chart(0, 1_000).drawn
    assert len(drawn["t"]) == 199
    assert drawn["breaks"] == [149]
    assert summarize(history, late).series[0].status == "ok, 1 late"


def test_incidents_are_read_from_the_rows_states():
    states = [None, "onset", "ongoing", "recovered", None, "onset", "ongoing", "onset", "ongoing"]
    score = np.array([0, 7, 9, 1, 0, 8, 2, np.nan, 20])
    assert incidents(states, score) == [Incident(7, 8, 20), Incident(1, 3, 9), Incident(5, 6, 8)]


def test_thinning_keeps_the_extremes_of_every_stretch_and_what_is_strange():
    rng = np.random.default_rng(5)
    value = rng.normal(size=50_000)
    strange = np.array([25_000, 40_000])
    kept = thinned((value,), (value,), strange, [Incident(25_000, 25_010, 9.0)], 2_000)
    assert len(kept) <= 2_000
    assert {0, 49_999, 25_000, 40_000, *range(24_940, 25_071)} <= set(kept.tolist())
    for begin in range(100, 49_000, 500):
        near = value[kept[(kept >= begin - 100) & (kept < begin + 600)]]
        assert near.max() >= value[begin : begin + 500].max()
        assert near.min() <= value[begin : begin + 500].min()


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_numbers_are_short_but_exact_enough_at_every_scale(scale):
    found = findings({"m": {50: 8.0}})
    columns = {name: found.verdicts.column(name) for name in found.verdicts.column_names}
    for name in ("value", "expectedValue", "lowerBoundary", "upperBoundary"):
        columns[name] = pa.array(columns[name].to_numpy() * scale, from_pandas=True)
    scaled = Findings(**{**fields(found), "verdicts": pa.table(columns)})
    drawn = SeriesRows(scaled).chart(0, 1_000).drawn
    value = columns["value"].to_numpy()
    assert np.array(drawn["value"]) == pytest.approx(value, abs=4 * scale * 0.01)
    assert len(json.dumps(drawn["value"])) < 25 * len(value)


def write_points(tmp_path):
    rng = np.random.default_rng(7)
    lines = ["metric,host,timestamp,value"]
    for minute in range(400):
        for host in "ab":
            spike = 40 if (minute, host) == (300, "b") else 0
            stamp = f"2021-03-02T{minute // 60:02}:{minute % 60:02}:00Z"
            lines.append(f"cpu,{host},{stamp},{rng.normal(100, 1) + spike:.4f}")
    path = tmp_path / "points.csv"
    path.write_text("\n".join(lines))
    return path


def backtest(*arguments):
    return CliRunner().invoke(app, ["backtest", *map(str, arguments)])


def test_the_command_writes_the_report_and_tells_how_labels_were_met(tmp_path):
    path, labels = write_points(tmp_path), tmp_path / "labels.csv"
    labels.write_text("metric,host,start,end\ncpu,b,2021-03-02T05:00:00Z,2021-03-02T05:04:00Z\n")
    out, html = tmp_path / "verdicts.csv", tmp_path / "report.html"
    done = backtest(path, "--out", out, "--labels", labels, "--report", html)
    assert done.exit_code == 0, done.output
    assert "1 of 1 labelled segments found" in done.stdout
    assert f"report in {html}" in done.stdout
    found = Page.of(html.read_text(encoding="utf-8"))
    strangest = found.rows()[0]
    assert strangest["series"] == 'cpu{host="b"}'
    assert strangest["recall"] == "1.00 1/1"
    assert re.search(r'cpu\{host="b"\} +400 +\d+ +\d+ +\d\.\d\d', done.stdout)


def test_the_command_refuses_a_wrong_label_before_it_judges(tmp_path):
    path, labels = write_points(tmp_path), tmp_path / "labels.csv"
    labels.write_text("metric,host,start,end\ncpu,c,2021-03-02T05:00:00Z,2021-03-02T05:04:00Z\n")
    out = tmp_path / "verdicts.csv"
    done = backtest(path, "--out", out, "--labels", labels)
    assert done.exit_code == 2
    assert f'{labels}:2: series cpu{{host="c"}} is not in the input; did you mean' in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("report_name", "said"),
    [("report.txt", "must end in one of .html"), ("no/report.html", "no such directory")],
)
def test_the_command_refuses_a_report_it_cannot_write(tmp_path, report_name, said):
    path = write_points(tmp_path)
    done = backtest(path, "--out", tmp_path / "a.csv", "--report", tmp_path / report_name)
    assert done.exit_code == 2
    assert said in done.stderr

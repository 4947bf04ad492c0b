"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const coarse = matchMedia("(pointer: coarse)").matches;
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const times = (from, ticks) => ticks.map((tick) => from.begin_ms + from.tick_ms * tick);
  const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 7 });
  const said = (value) => (value === null ? "not known" : number.format(value));

  // ------------------------------------------------------------------ what all charts share
  const axis = (more) => ({
    gridcolor: color("grid"), linecolor: color("rule"), zerolinecolor: color("grid"),
    tickfont: { color: color("quiet"), size: 11 }, automargin: true, ...more,
  });
  const layout = (more) => ({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
    font: { family: getComputedStyle(document.body).fontFamily, color: color("ink"), size: 12 },
    margin: { l: 8, r: 8, t: 8, b: 8 },
    hoverlabel: { bgcolor: color("card"), bordercolor: color("rule"), align: "left",
      font: { color: color("ink"), family: getComputedStyle(document.body).fontFamily, size: 12 } },
    // A finger has to be able to scroll past; the buttons zoom.
    dragmode: coarse ? false : "zoom",
    ...more,
  });
  const config = { responsive: true, displayModeBar: false };
  const label = (text) => ({ text, font: { color: color("quiet"), size: 11 }, standoff: 6 });

  // ------------------------------------------------------------------ days, curve
  const drawDays = (place) => {
    const x = times(data.days, data.days.incidents.map((_, day) => day));
    const bar = (name, row, fill) => ({
      type: "bar", name, x, y: data.days[row], marker: { color: fill },
      xperiodalignment: "middle", hovertemplate: `%{y} ${name}<extra></extra>`,
    });
    return Plotly.react(place, [
      { ...bar("incidents", "incidents", color("anomaly")), yaxis: "y2" },
      bar("anomalies", "anomalies", color("value")),
    ], layout({
      bargap: 0.25, hovermode: "x unified",
      xaxis: axis({ type: "date", anchor: "y", hoverformat: "%a %-d %b %Y", showgrid: false }),
      yaxis: axis({ domain: [0, 0.44], title: label("anomalies"), rangemode: "tozero", nticks: 4, fixedrange: true }),
      yaxis2: axis({ domain: [0.56, 1], title: label("incidents"), rangemode: "tozero", nticks: 4, tickformat: "d", fixedrange: true }),
    }), config);
  };

  const drawCurve = (place) => {
    const curve = data.curve;
    const x = curve.f1.map((_, sensitivity) => sensitivity);
    const line = (name, row, style) => ({
      name, x, y: curve[row], mode: "lines", line: style,
      hovertemplate: `${name} %{y:.3f}<extra></extra>`,
    });
    const chosen = curve.chosen;
    return Plotly.react(place, [
      line("precision", "precision", { color: color("value"), width: 1.5 }),
      line("recall", "recall", { color: color("found"), width: 1.5 }),
      { ...line("F1", "f1", { color: color("ink"), width: 2.5 }),
        customdata: x.map((s) => [curve.found[s], curve.alarms[s]]),
        hovertemplate: `F1 %{y:.3f}<br>%{customdata[0]} of ${curve.segments} segments found, %{customdata[1]} alarms<extra></extra>` },
    ], layout({
      showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      hovermode: "x unified", dragmode: false,
      xaxis: axis({ title: label("sensitivity"), range: [0, 99], fixedrange: true, hoverformat: "d" }),
      yaxis: axis({ range: [0, 1.02], tickformat: ".1f", fixedrange: true }),
      shapes: chosen === null ? [] : [{ type: "line", x0: chosen, x1: chosen, yref: "paper", y0: 0, y1: 1,
        line: { color: color("anomaly"), width: 1.5, dash: "dash" } }],
      annotations: chosen === null ? [] : [{ x: chosen, y: 0.03, yref: "paper", yanchor: "bottom",
        xanchor: chosen > 60 ? "right" : "left", text: ` this run: ${chosen} `, showarrow: false,
        font: { color: color("anomaly"), size: 12 } }],
    }), config);
  };

  // ------------------------------------------------------------------ series
  // A line breaks where the series was silent: a null stands before the row that follows.
  const broken = (chart, row) => {
    const out = [];
    let next = 0;
    row.forEach((value, i) => {
      if (chart.breaks[next] === i) { out.push(null); next += 1; }
      out.push(value);
    });
    return out;
  };

  const bandOutline = (x, lower, upper) => {
    const outX = [], outY = [];
    for (let i = 0; i < x.length;) {
      while (i < x.length && (lower[i] === null || upper[i] === null)) i += 1;
      const begin = i;
      while (i < x.length && lower[i] !== null && upper[i] !== null) { outX.push(x[i]); outY.push(upper[i]); i += 1; }
      for (let j = i - 1; j >= begin; j -= 1) { outX.push(x[j]); outY.push(lower[j]); }
      if (i > begin) { outX.push(null); outY.push(null); }
    }
    return [outX, outY];
  };

  const spans = (chart, row, yaxis, fill, edge) => {
    const x = [], y = [];
    chart[row].forEach((span) => {
      const [begin, end] = times(chart, span);
      x.push(begin, begin, end, end, begin, null);
      y.push(0, 1, 1, 0, 0, null);
    });
    // Edges keep a short span visible from afar; of many they would be all that is seen.
    return { x, y, yaxis, mode: "lines", fill: "toself", fillcolor: fill,
      line: { color: edge, width: chart[row].length > 60 ? 0 : 1 }, hoverinfo: "skip" };
  };

  const wholeRange = (chart) => {
    const [begin, end] = times(chart, [chart.t[0], chart.t.at(-1)]);
    const margin = Math.max((end - begin) * 0.01, chart.step_ms);
    return [begin - margin, end + margin];
  };

  // The value axis fits what is in view: one spike would else flatten every other stretch. Of a
  // band much wider than the values, as much is shown again on either side as the values take.
  const valueRange = (chart, begin, end) => {
    const first = (begin - chart.begin_ms) / chart.tick_ms, last = (end - chart.begin_ms) / chart.tick_ms;
    const seen = (name) => chart[name].filter((y, i) => y !== null && chart.t[i] >= first && chart.t[i] <= last)
      .sort((a, b) => a - b);
    const values = seen("value"), lower = seen("lowerBoundary"), upper = seen("upperBoundary");
    const middle = (sorted) => sorted[Math.floor(sorted.length / 2)] ?? 0;
    if (!values.length) return null;
    const [low, high] = [values[0], values.at(-1)];
    const room = high - low || middle(upper) - middle(lower) || Math.abs(high) || 1;
    const bottom = Math.max(Math.min(lower[0] ?? low, low), low - room);
    const top = Math.min(Math.max(upper.at(-1) ?? high, high), high + room);
    const margin = (top - bottom) * 0.06 || room * 0.5;
    return [bottom - margin, top + margin];
  };

  const drawSeries = (place) => {
    const chart = data.charts[Number(place.dataset.chart)];
    const t = times(chart, chart.t);
    const x = broken(chart, t);
    const rows = Object.fromEntries(["value", "expectedValue", "lowerBoundary", "upperBoundary", "score"]
      .map((name) => [name, broken(chart, chart[name])]));
    const severity = new Map(chart.anomalies.map((at, i) => [at, chart.severity[i]]));
    const words = chart.t.map((_, i) => {
      const lines = [`<b>value ${said(chart.value[i])}</b>`, `expectedValue ${said(chart.expectedValue[i])}`];
      if (chart.lowerBoundary[i] !== null || chart.upperBoundary[i] !== null)
        lines.push(`boundaries ${said(chart.lowerBoundary[i])} to ${said(chart.upperBoundary[i])}`);
      lines.push(`score ${said(chart.score[i])}, threshold ${said(chart.threshold)}`);
      if (severity.has(i)) {
        const positive = chart.value[i] > chart.upperBoundary[i];
        lines.push(`<b>${positive ? "positive" : "negative"} anomaly</b>, severity ${severity.get(i)}`);
      }
      return lines.join("<br>");
    });
    const text = broken(chart, words);
    const [bandX, bandY] = bandOutline(x, rows.lowerBoundary, rows.upperBoundary);
    const at = chart.anomalies;
    const hover = { text, hovertemplate: "%{text}<extra></extra>" };
    const still = { hoverinfo: "skip" };
    const traces = [
      spans(chart, "segments", "y3", color("segment"), color("segment-edge")),
      spans(chart, "incidents", "y3", color("incident"), color("incident-edge")),
      { x: bandX, y: bandY, mode: "lines", line: { width: 0 }, fill: "toself", fillcolor: color("band"), ...still },
      { x, y: rows.expectedValue, mode: "lines", line: { color: color("expected"), width: 1, dash: "dot" }, ...still },
      { x, y: rows.value, mode: "lines", line: { color: color("value"), width: 1.3 }, ...hover },
      { x: at.map((i) => t[i]), y: at.map((i) => chart.value[i]), mode: "markers",
        marker: { color: color("anomaly"), size: at.length > 200 ? 4 : 6,
          line: { color: color("card"), width: at.length > 200 ? 0 : 1 } }, ...still },
      { x, y: rows.score, yaxis: "y2", mode: "lines", line: { color: color("score"), width: 1 }, ...hover },
    ];
    const shapes = chart.threshold === null ? [] : [{ type: "line", xref: "paper", x0: 0, x1: 1, yref: "y2",
      y0: chart.threshold, y1: chart.threshold, line: { color: color("anomaly"), width: 1, dash: "dash" } }];
    return Plotly.react(place, traces, layout({
      hovermode: "x", shapes, uirevision: "kept",
      xaxis: axis({ type: "date", anchor: "y2", range: wholeRange(chart), hoverformat: "%a %-d %b %Y %H:%M:%S", showgrid: false }),
      // Over the spans' axis, so that they lie behind the lines.
      yaxis: axis({ domain: [0.3, 1], range: valueRange(chart, ...wholeRange(chart)), nticks: 6, zeroline: false, overlaying: "y3", side: "left", tickmode: "auto" }),
      yaxis2: axis({ domain: [0, 0.24], title: label("score"), rangemode: "tozero", nticks: 4, fixedrange: true }),
      yaxis3: { domain: [0.3, 1], range: [0, 1], visible: false, fixedrange: true },
    }), config);
  };

  const fit = (place, begin, end) => {
    const chart = data.charts[Number(place.dataset.chart)];
    return Plotly.relayout(place, { "xaxis.range": [begin, end], "yaxis.range": valueRange(chart, begin, end) });
  };

  const whole = (place) => fit(place, ...wholeRange(data.charts[Number(place.dataset.chart)]));

  const move = (place, how) => {
    const [begin, end] = place._fullLayout.xaxis.range.map((side) =>
      (typeof side === "number" ? side : +new Date(`${side.replace(" ", "T")}Z`)));
    const width = end - begin, middle = (begin + end) / 2;
    const [shift, scale] = { earlier: [-0.5, 1], later: [0.5, 1], closer: [0, 0.5], wider: [0, 2] }[how];
    return fit(place, middle + shift * width - scale * width / 2, middle + shift * width + scale * width / 2);
  };

  // ------------------------------------------------------------------ draw what comes into view
  const draw = (place) => {
    const drawing = place.id === "days" ? drawDays : place.id === "curve" ? drawCurve : drawSeries;
    place.dataset.drawn = "yes";
    return drawing(place);
  };
  const places = [...document.querySelectorAll(".plot")];
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting && !entry.target.dataset.drawn) draw(entry.target);
    }
  }, { rootMargin: "600px" });
  places.forEach((place) => seen.observe(place));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    places.filter((place) => place.dataset.drawn).forEach(draw);
  });
  addEventListener("beforeprint", () => places.filter((place) => !place.dataset.drawn).forEach(draw));

  document.querySelectorAll(".controls").forEach((controls) => {
    controls.addEventListener("click", async (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const place = controls.parentElement.querySelector(".plot");
      if (!place.dataset.drawn) await draw(place);
      controls.querySelectorAll("[aria-pressed]").forEach((one) => one.setAttribute("aria-pressed", one === button));
      if (button.dataset.begin) {
        const begin = Number(button.dataset.begin), end = Number(button.dataset.end);
        const chart = data.charts[Number(place.dataset.chart)];
        const around = Math.max(end - begin, 40 * chart.step_ms);
        await fit(place, begin - around, end + around);
      } else if (button.dataset.move === "whole") {
        await whole(place);
      } else {
        await move(place, button.dataset.move);
      }
    });
  });

  // ------------------------------------------------------------------ table
  const body = document.querySelector("#table tbody");
  const rows = [...body.rows];
  const filter = document.getElementById("filter");
  const filtered = document.getElementById("filtered");
  filter.addEventListener("input", () => {
    const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const name = row.cells[0].textContent.toLowerCase();
      row.hidden = !wanted.every((word) => name.includes(word));
      shown += !row.hidden;
    }
    filtered.textContent = wanted.length ? `${shown} of ${rows.length}` : "";
  });
  document.querySelectorAll("#table thead th").forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const order = head.getAttribute("aria-sort");
      const falling = order === null ? column > 0 : order === "ascending";
      document.querySelectorAll("#table thead th").forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
      const collate = new Intl.Collator("en", { numeric: true }).compare;
      rows.sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        const both = x !== "" && y !== "" && !isNaN(x) && !isNaN(y);
        if (!both && (x === "" || y === "")) return (x === "") - (y === "");
        const apart = both ? x - y : collate(x, y);
        return falling ? -apart : apart;
      });
      body.append(...rows);
    });
  });
})();

// <traffic-chart data-from="id of the JSON" data-legend="id of the table">: a timeline, in above and out below the
// axis. The server has drawn it as SVG already; this draws it again with a cursor, zoom by dragging, and keys. The cursor
// is one for all charts of the page: each legend then shows its own values at that time.
"use strict";

(() => {
  const HEIGHT = 330;
  const LEFT = 44;
  const BELOW = 30;

  class TrafficChart extends HTMLElement {
    connectedCallback() {
      this.scheme = matchMedia("(prefers-color-scheme: dark)");
      this.onScheme = () => this.draw();
      this.onSwap = () => this.update();
      this.scheme.addEventListener("change", this.onScheme);
      document.addEventListener("htmx:after:swap", this.onSwap);
      this.sized = new ResizeObserver(() => {
        if (this.plot && this.clientWidth && this.clientWidth !== this.plot.width) {
          this.plot.setSize({width: this.clientWidth, height: HEIGHT});
        }
      });
      this.sized.observe(this);
      this.tabIndex = 0;
      this.setAttribute("role", "group");
      this.setAttribute("aria-label", "Timeline. Arrow keys move the cursor, Shift and arrows select, Enter zooms, Escape clears.");
      this.addEventListener("keydown", (event) => this.key(event));
      this.addEventListener("pointerleave", () => this.update());
      this.draw();
    }

    disconnectedCallback() {
      this.scheme.removeEventListener("change", this.onScheme);
      document.removeEventListener("htmx:after:swap", this.onSwap);
      this.sized.disconnect();
      this.plot?.destroy();
      this.plot = null;
    }

    // New figures have come with a swap. While someone points at the chart it stands still.
    update() {
      const text = document.getElementById(this.dataset.from).textContent;
      const read = this.matches(":hover") || this.from != null;
      if (text !== this.text && !read) this.draw();
      else this.legend(this.plot?.cursor.idx);
    }

    colour(mark) {
      const sample = document.createElement("i");
      sample.className = `sw ${mark}`;
      sample.hidden = false;
      this.append(sample);
      const found = getComputedStyle(sample).backgroundColor;
      sample.remove();
      return found;
    }

    draw() {
      this.text = document.getElementById(this.dataset.from).textContent;
      const chart = JSON.parse(this.text);
      this.chart = chart;
      this.plot?.destroy();
      this.plot = null;
      this.replaceChildren();
      if (!chart.times.length) return;
      const font = `11px ${getComputedStyle(document.body).fontFamily}`;
      const c = {};
      for (const mark of ["paper", "ink", "soft", "edge", "line"]) c[mark] = this.colour(`m-${mark}`);
      this.c = c;

      const times = [...chart.times, chart.end];
      const series = [{}];
      // Where steps are narrow, hairlines between bands would hide the bands; the outline of the whole stays.
      const dense = (this.clientWidth || 600) / chart.times.length < 5;
      const data = [times];
      // Stacked from the axis outward, painted from the outermost inward.
      const stacks = {in: [], out: []};
      for (const way of ["in", "out"]) {
        let under = chart.times.map(() => 0);
        for (const band of chart.bands) {
          under = under.map((low, at) => (chart.known[at] ? low + (band[way][at] ?? 0) : null));
          stacks[way].push(under);
        }
      }
      for (let at = chart.bands.length - 1; at >= 0; at -= 1) {
        const mark = chart.bands[at].mark;
        for (const way of ["in", "out"]) {
          const values = stacks[way][at].map((value) => (value == null ? null : way === "in" ? value : -value));
          data.push([...values, values.at(-1)]);
          series.push({
            fill: this.colour(mark === "flat" ? way : mark),
            stroke: mark === "bare" || mark === "c0" ? c.edge : c.paper,
            width: dense && at < chart.bands.length - 1 ? 0 : 0.5,
            spanGaps: false,
            points: {show: false},
            paths: uPlot.paths.stepped({align: 1}),
          });
        }
      }

      const top = chart.top;
      const axis = {stroke: c.soft, font, ticks: {show: false}, gap: 6};
      this.plot = new uPlot({
        width: this.clientWidth || 600,
        height: HEIGHT,
        padding: [8, 0, 0, 0],
        legend: {show: false},
        scales: {x: {time: true, range: [times[0], chart.end]}, y: {range: [-top, top]}},
        series,
        axes: [
          {...axis, size: BELOW, gap: 14, grid: {show: false}, splits: () => chart.ticks.map((tick) => tick[0]),
            values: () => chart.ticks.map((tick) => tick[1])},
          {...axis, size: LEFT, grid: {stroke: c.line, width: 1}, splits: () => [-top, -top / 2, 0, top / 2, top],
            values: (_, splits) => splits.map((value) => String(Number(Math.abs(value).toPrecision(12))))},
        ],
        cursor: {
          y: false,
          points: {show: false},
          drag: {x: true, y: false, setScale: false},
          bind: {dblclick: () => () => this.wider()},
          // By time, since charts may differ in length and width of their steps. What is selected stays each one's own.
          sync: {key: "page", scales: ["x", null], filters: {pub: (type) => type === "mousemove" || type === "mouseleave"}},
        },
        hooks: {
          drawAxes: [(plot) => this.words(plot)],
          draw: [(plot) => this.marks(plot)],
          setCursor: [(plot) => this.legend(plot.cursor.idx)],
          setSelect: [(plot) => { if (!this.keyed && plot.select.width > 4) this.zoom(); }],
        },
      }, data, this);
      this.legend(null);
    }

    // "in" and "out" beside the axis.
    words(plot) {
      const {ctx} = plot;
      const ratio = devicePixelRatio;
      ctx.save();
      ctx.font = `600 ${11 * ratio}px ${getComputedStyle(document.body).fontFamily}`;
      ctx.fillStyle = this.c.ink;
      ctx.textAlign = "left";
      const middle = plot.valToPos(0, "y", true);
      ctx.fillText("in", 0, middle - 10 * ratio);
      ctx.fillText("out", 0, middle + 18 * ratio);
      ctx.restore();
    }

    // Axis, gaps with their reason, what is not complete yet, and the coverage lane.
    marks(plot) {
      const {ctx, bbox} = plot;
      const ratio = devicePixelRatio;
      const {paper, ink, soft, edge} = this.c;
      const x = (time) => Math.min(Math.max(plot.valToPos(time, "x", true), bbox.left), bbox.left + bbox.width);
      const family = getComputedStyle(document.body).fontFamily;
      ctx.save();
      const hatch = (left, y, width, height) => {
        ctx.save();
        ctx.beginPath();
        ctx.rect(left, y, width, height);
        ctx.clip();
        ctx.strokeStyle = edge;
        ctx.lineWidth = ratio;
        ctx.beginPath();
        for (let at = left - height - ((left - height) % (6 * ratio)); at < left + width; at += 6 * ratio) {
          ctx.moveTo(at, y + height);
          ctx.lineTo(at + height, y);
        }
        ctx.stroke();
        ctx.restore();
      };
      const write = (text, left, y, colour, weight, align) => {
        ctx.font = `${weight} ${11 * ratio}px ${family}`;
        ctx.textAlign = align;
        ctx.lineWidth = 5 * ratio;
        ctx.lineJoin = "round";
        ctx.strokeStyle = paper;
        ctx.strokeText(text, left, y);
        ctx.fillStyle = colour;
        ctx.fillText(text, left, y);
      };
      const rule = (left, y, right, below, dash) => {
        ctx.setLineDash(dash.map((each) => each * ratio));
        ctx.strokeStyle = ink;
        ctx.lineWidth = ratio;
        ctx.beginPath();
        ctx.moveTo(left, y);
        ctx.lineTo(right, below);
        ctx.stroke();
        ctx.setLineDash([]);
      };

      for (const [from, to, lines] of this.chart.gaps) {
        const left = x(from);
        const width = Math.max(x(to) - left, ratio);
        hatch(left, bbox.top, width, bbox.height);
        ctx.font = `600 ${11 * ratio}px ${family}`;
        const wide = Math.max(...lines.map((line) => ctx.measureText(line).width)) + 12 * ratio;
        const beside = x(to) + 6 * ratio + wide < bbox.left + bbox.width;
        if (width < wide && !(beside && width > 12 * ratio)) continue;
        const at = width >= wide ? left + 6 * ratio : x(to) + 6 * ratio;
        lines.forEach((line, row) => {
          write(line, at, bbox.top + (20 + 14 * row) * ratio, row ? soft : ink, row ? 400 : 600, "left");
        });
      }
      if (this.chart.until) {
        const [time, words] = this.chart.until;
        const left = x(time);
        ctx.globalAlpha = 0.6;
        ctx.fillStyle = paper;
        ctx.fillRect(left, bbox.top, bbox.left + bbox.width - left, bbox.height);
        ctx.globalAlpha = 1;
        rule(left, bbox.top, left, bbox.top + bbox.height, [1, 3]);
        write(words, left - 6 * ratio, bbox.top + 12 * ratio, soft, 400, "right");
      }
      const middle = plot.valToPos(0, "y", true);
      rule(bbox.left, middle, bbox.left + bbox.width, middle, []);
      const lane = bbox.top + bbox.height + 5 * ratio;
      for (const [from, to, kind] of this.chart.coverage) {
        const left = x(from);
        const width = x(to) - left;
        if (kind === "some") hatch(left, lane, width, 4 * ratio);
        else if (kind === "all") {
          ctx.fillStyle = soft;
          ctx.fillRect(left, lane, width, 4 * ratio);
        } else {
          ctx.strokeStyle = edge;
          ctx.lineWidth = ratio;
          ctx.strokeRect(left + ratio / 2, lane + ratio / 2, Math.max(width - ratio, 0), 3 * ratio);
        }
      }
      ctx.restore();
    }

    number(value) {
      if (value == null) return "–";
      const least = 10 ** -this.chart.decimals;
      const [thousands, point] = this.chart.marks;
      if (value > 0 && value < least / 2) return `<${String(least).replace(".", point)}`;
      const [whole, part] = value.toFixed(this.chart.decimals).split(".");
      return whole.replace(/\B(?=(\d{3})+$)/g, thousands) + (part ? point + part : "");
    }

    // The table beside the chart: the values at the cursor, the means of the range when there is none.
    legend(at) {
      const table = document.getElementById(this.dataset.legend);
      if (!table || !this.chart) return;
      const head = table.querySelector("[data-time]");
      const known = at != null && at < this.chart.times.length;
      const write = (cell, text) => { if (cell.textContent !== text) cell.textContent = text; };
      if (!known) {
        for (const cell of table.querySelectorAll("[data-mean]")) write(cell, cell.dataset.mean);
        return;
      }
      const from = new Date(this.chart.times[at] * 1000);
      const clock = this.chart.bucket >= 86400
        ? {day: "numeric", month: "short"}
        : {weekday: "short", hour: "2-digit", minute: "2-digit", ...(this.chart.bucket < 60 ? {second: "2-digit"} : {})};
      write(head, from.toLocaleString(this.chart.locale, {...clock, timeZone: this.chart.zone}));
      const totals = [0, 0];
      const rows = table.tBodies[0].rows;
      this.chart.bands.forEach((band, row) => {
        ["in", "out"].forEach((way, column) => {
          const value = this.chart.known[at] ? band[way][at] ?? 0 : null;
          totals[column] += value ?? 0;
          if (rows[row]) write(rows[row].cells[column + 1], this.number(value));
        });
      });
      const foot = table.tFoot.rows[0].cells;
      [1, 2].forEach((column) => write(foot[column], this.chart.known[at] ? this.number(totals[column - 1]) : "–"));
    }

    // To whole buckets, and into the URL, so that Back undoes it.
    zoom() {
      const {plot, chart} = this;
      const bucket = chart.bucket;
      const value = (position) => plot.posToVal(position, "x");
      const nearest = (time) => chart.times.reduce((best, each) => (each <= time + 1 ? each : best), chart.times[0]);
      const from = nearest(value(plot.select.left));
      const to = nearest(value(plot.select.left + plot.select.width)) + bucket;
      if (to - from < 60) return this.clear();
      const write = (time) => new Date(time * 1000).toISOString().replace(/(:00)?\.000Z$/, "Z");
      // The page's other parameters stay, a filter for one; a page of a list counts from its start again.
      const kept = new URLSearchParams(location.search);
      for (const name of ["range", "from", "to", "tz", "page"]) kept.delete(name);
      const rest = kept.toString();
      const url = new URL(location.href);
      url.search = `?from=${write(from)}&to=${write(Math.min(to, chart.end))}${rest && `&${rest}`}`;
      location.assign(url);
    }

    wider() {
      document.querySelector("[data-wider]")?.click();
    }

    clear() {
      this.keyed = true;
      this.from = null;
      this.plot.setSelect({left: 0, width: 0, top: 0, height: 0}, false);
      this.plot.setCursor({left: -10, top: -10});
      this.keyed = false;
    }

    key(event) {
      const {plot, chart} = this;
      if (!plot) return;
      const move = {ArrowLeft: -1, ArrowRight: 1}[event.key];
      const x = (at) => plot.valToPos(at < chart.times.length ? chart.times[at] : chart.end, "x");
      if (move) {
        event.preventDefault();
        const before = plot.cursor.idx ?? (move > 0 ? -1 : chart.times.length);
        const at = Math.min(Math.max(before + move, 0), chart.times.length - 1);
        if (event.shiftKey) {
          this.from ??= Math.max(before, 0);
          const [low, high] = [Math.min(this.from, at), Math.max(this.from, at)];
          this.keyed = true;
          plot.setSelect({left: x(low), width: x(high + 1) - x(low), top: 0, height: plot.over.clientHeight}, false);
          this.keyed = false;
        } else {
          this.from = null;
        }
        plot.setCursor({left: x(at), top: plot.over.clientHeight / 2});
      } else if (event.key === "Enter" && plot.select.width > 0) {
        this.zoom();
      } else if (event.key === "Escape") {
        this.clear();
      }
    }
  }

  customElements.define("traffic-chart", TrafficChart);
})();

"use strict";
(() => {
  const HEIGHT = 190, PRINTED = { width: 340, height: 92 };
  const root = document.documentElement;
  const ink = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const span = (seconds) => {
    const whole = Math.round(seconds);
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return whole % 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole / 60} min`;
    return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  };
  const clock = (seconds) => {
    const whole = Math.round(seconds), two = (n) => String(n).padStart(2, "0");
    const minutes = Math.floor(whole / 60);
    if (minutes < 60) return `${minutes}:${two(whole % 60)}`;
    return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
  };
  const figure = (value) => (value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3))));

  function markLines(marks) {
    return (u) => {
      const { ctx, bbox } = u;
      ctx.save();
      ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.fillStyle = ctx.strokeStyle = ink("faint");
      ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
      let free = -Infinity;
      for (const mark of marks) {
        const x = Math.round(u.valToPos(mark.at_seconds, "x", true));
        if (x < bbox.left || x > bbox.left + bbox.width) continue;
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        if (x >= free) {
          ctx.fillText(mark.text, x, bbox.top - 4 * devicePixelRatio);
          free = x + ctx.measureText(mark.text).width + 8 * devicePixelRatio;
        }
      }
      ctx.restore();
    };
  }

  function draw(place) {
    const { chart, marks, seconds } = JSON.parse(place.dataset.chart);
    const plot = place.querySelector(".plot"), output = place.querySelector("output");
    const tables = chart.series.map((one) => [one.points.map((p) => p[0]), one.points.map((p) => p[1])]);
    const data = uPlot.join(tables, tables.map(() => [1, 1]));
    const series = chart.series.map((one) => ({
      label: one.name,
      stroke: () => ink(one.ink),
      width: one.wide ? 6 : one.role === "limit" ? 1.5 : 2,
      alpha: one.wide ? 0.45 : 1,
      dash: one.dashed ? [6, 4] : undefined,
      paths: one.stepped ? uPlot.paths.stepped({ align: 1 }) : one.scattered ? () => null : undefined,
      points: { show: one.scattered || (one.role !== "limit" && one.points.length < 3), size: 8, fill: () => ink(one.ink) },
    }));
    const axis = { stroke: () => ink("faint"), grid: { stroke: () => ink("edge"), width: 1 }, ticks: { show: false },
      font: "12px system-ui, sans-serif" };
    const u = new uPlot({
      width: plot.clientWidth, height: HEIGHT, padding: [18, 12, 0, 0],
      scales: {
        x: { time: false, range: [0, seconds] },
        y: { range: (_, low, high) => [0, chart.top ?? Math.max(high ?? 0, low ?? 0, 1e-6) * 1.15] },
      },
      axes: [
        { ...axis, size: 28, values: (_, ticks) => ticks.map(clock), space: 60 },
        { ...axis, size: 46, values: (_, ticks) => ticks.map(figure) },
      ],
      series: [{}, ...series],
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false } },
      hooks: {
        drawClear: [markLines(marks)],
        setCursor: [(v) => {
          const at = v.cursor.idx;
          if (at === null || at === undefined) { output.textContent = ""; return; }
          const seen = chart.series.flatMap((one, i) => {
            const value = data[i + 1][at];
            return value === null || value === undefined ? [] : [`${one.name} ${figure(value)} ${chart.unit}`];
          });
          output.textContent = `${span(data[0][at])}: ${seen.join(", ") || "no data"}`;
        }],
      },
    }, data, plot);
    let place_ = 0;
    plot.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
      if (event.key === "Home") place_ = 0;
      else if (event.key === "End") place_ = data[0].length - 1;
      else if (move) place_ = Math.min(data[0].length - 1, Math.max(0, place_ + move));
      else return;
      event.preventDefault();
      u.setCursor({ left: u.valToPos(data[0][place_], "x"), top: 0 });
    });
    return { u, fit: () => u.setSize({ width: plot.clientWidth, height: HEIGHT }) };
  }

  const drawn = [...document.querySelectorAll("figure[data-chart]")].map(draw);
  const fit = () => drawn.forEach((one) => one.fit());
  let width = root.clientWidth;
  addEventListener("resize", () => {
    if (root.clientWidth !== width) { width = root.clientWidth; fit(); }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach((one) => one.u.redraw(false)));
  const print = matchMedia("print");
  print.addEventListener("change", () => (print.matches ? drawn.forEach((one) => one.u.setSize(PRINTED)) : fit()));
})();

"use strict";
(() => {
  const COLORS = ["blue", "green"];
  const get = (id) => document.getElementById(id);
  const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.round(seconds) % 60).padStart(2, "0")}`;
  const frames = JSON.parse(get("frames").textContent);
  const seen = { x: [], rate: [[], []], ttft: [[], []] };

  function chart(id) {
    const place = get(id);
    const axis = { stroke: () => ink("faint"), grid: { stroke: () => ink("edge"), width: 1 }, ticks: { show: false } };
    const u = new uPlot({
      width: place.clientWidth, height: 170,
      scales: { x: { time: false }, y: { range: (_, low, high) => [0, Math.max(high ?? 0, 0.01) * 1.15] } },
      axes: [{ ...axis, size: 28, values: (_, ticks) => ticks.map(clock), space: 60 }, { ...axis, size: 46 }],
      series: [{}, ...COLORS.map((color) => ({ label: color, stroke: () => ink(color), width: 2, points: { show: false } }))],
      legend: { show: false }, cursor: { show: false },
    }, [[], [], []], place);
    addEventListener("resize", () => u.setSize({ width: place.clientWidth, height: 170 }));
    return u;
  }
  const plots = { rate: chart("rate"), ttft: chart("ttft") };

  const text = (tag, value, name) => {
    const node = document.createElement(tag);
    node.textContent = value;
    if (name) node.className = name;
    return node;
  };

  // Requests as dots: each second's requests leave the clients over that second.
  const canvas = get("flow"), context = canvas.getContext("2d");
  let dots = [], owed = { blue: 0, green: 0 }, last = performance.now(), current = null;
  function flow(now) {
    const seconds = Math.min(0.1, (now - last) / 1000);
    last = now;
    const scale = devicePixelRatio, width = canvas.clientWidth * scale, height = canvas.clientHeight * scale;
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    context.clearRect(0, 0, width, height);
    if (current) {
      for (const color of COLORS) {
        owed[color] += current.colors[color].rate * seconds;
        while (owed[color] >= 1) {
          owed[color] -= 1;
          dots.push({ color, at: 0, drift: (Math.random() - 0.5) * 0.3, speed: 0.7 + Math.random() * 0.3 });
        }
      }
    }
    dots = dots.filter((dot) => (dot.at += dot.speed * seconds) < 1);
    for (const dot of dots) {
      const bend = dot.at * dot.at * (3 - 2 * dot.at), goal = dot.color === "blue" ? 0.25 : 0.75;
      context.fillStyle = ink(dot.color);
      context.beginPath();
      context.arc(dot.at * width, (0.5 + (goal - 0.5) * bend + dot.drift * (1 - Math.abs(2 * dot.at - 1)) * 0.4) * height, 3.2 * scale, 0, 7);
      context.fill();
    }
    requestAnimationFrame(flow);
  }
  if (!still) requestAnimationFrame(flow);

  function show(frame, redraw) {
    current = frame;
    seen.x.push(frame.seconds);
    COLORS.forEach((color, i) => {
      const one = frame.colors[color];
      seen.rate[i].push(one.rate);
      seen.ttft[i].push(one.ttft_p95_seconds);
    });
    for (const line of frame.lines) {
      const item = document.createElement("li"), body = text("span", "", line.detail ? "detail" : "");
      body.append(text("span", line.head, line.tone), line.text);
      item.append(text("time", line.at), body);
      get("lines").prepend(item);
    }
    if (frame.gates) {
      get("gates").replaceChildren(...Object.entries(frame.gates).map(([name, gate]) => {
        const row = document.createElement("tr"), meter = text("td", "", "name");
        if (gate.share !== null) {
          const bar = text("span", "", "meter"), fill = document.createElement("i");
          fill.style.width = `${100 * gate.share}%`;
          bar.append(fill);
          meter.append(bar, `${Math.round(100 * gate.share)} %`);
        }
        const tone = { pass: "good", fail: "bad" }[gate.verdict] || "warning";
        row.append(text("td", name, "name"), text("td", gate.verdict, tone), meter, text("td", gate.reason, "reason"));
        return row;
      }));
    }
    if (!redraw) return;
    get("scene").textContent = `${clock(frame.seconds)}  ${frame.scene}`;
    get("finished").textContent = frame.finished.toLocaleString("en");
    get("failed").textContent = frame.failed.toLocaleString("en");
    get("open").textContent = frame.open_streams;
    for (const color of COLORS) {
      const one = frame.colors[color], pool = get(color), pods = pool.querySelector(".pods");
      pool.querySelector(".weight").textContent = `${one.weight} %`;
      pool.querySelector(".bar i").style.width = `${one.weight}%`;
      pods.replaceChildren(...one.pods.map((state) => text("i", "", state)));
      pods.setAttribute("aria-label", one.pods.length ? `pods: ${one.pods.join(", ")}` : "no pods");
      const first = one.ttft_p95_seconds === null ? "" : `, first token ${(1000 * one.ttft_p95_seconds).toFixed(0)} ms`;
      pool.querySelector(".figures").textContent = `${one.nodes} nodes, ${one.rate.toFixed(1)} requests/s${first}`;
    }
    plots.rate.setData([seen.x, ...seen.rate]);
    plots.ttft.setData([seen.x, ...seen.ttft]);
  }

  if (frames === null) {
    const source = new EventSource("frames");
    let waiting = [];
    source.onmessage = (event) => {
      waiting.push(JSON.parse(event.data));
      if (waiting.length > 1) return;
      requestAnimationFrame(() => {
        waiting.forEach((frame, i) => show(frame, i === waiting.length - 1));
        waiting = [];
      });
    };
    source.addEventListener("end", () => {
      source.close();
      current = null;
      get("scene").textContent += " · the rehearsal is over";
    });
    return;
  }

  const seek = get("seek"), play = get("play"), speed = get("speed");
  let place = 0, playing = true, due = 0;
  seek.max = frames.length - 1;
  function clear() {
    seen.x.length = 0;
    for (const lines of [seen.rate, seen.ttft]) lines.forEach((one) => { one.length = 0; });
    get("lines").replaceChildren();
    get("gates").replaceChildren();
  }
  function go(to) {
    if (to < place) { clear(); place = 0; }
    for (; place <= to && place < frames.length; place += 1) show(frames[place], place === to || place === frames.length - 1);
    seek.value = place - 1;
  }
  seek.addEventListener("input", () => go(Number(seek.value)));
  play.addEventListener("click", () => {
    playing = !playing;
    if (playing && place >= frames.length) { clear(); place = 0; }
    play.textContent = playing ? "Pause" : "Play";
  });
  setInterval(() => {
    if (!playing) return;
    due += Number(speed.value) * 0.1;
    const steps = Math.floor(due);
    due -= steps;
    if (steps) go(Math.min(frames.length - 1, place + steps - 1));
    if (place >= frames.length) { playing = false; play.textContent = "Play again"; current = null; }
  }, 100);
  go(0);
})();

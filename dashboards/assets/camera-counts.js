/* What was in view of one camera over the day: a bar for each step, stacked by class; where nobody looked there is none. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  IOC.camera = IOC.camera || {};
  const t = (message, values) => IOC.t(message, values);
  const SVG = "http://www.w3.org/2000/svg", HOURS = 3, LINES = 4;
  let day, watch = null, watched = null;

  function element(tag, attributes, text) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }
  /** The first of 1, 2, 5, 10 … that reaches the value in so many lines. */
  function stride(value) {
    const size = 10 ** Math.floor(Math.log10(value / LINES));
    return [1, 2, 5, 10].map((one) => one * size).find((one) => one * LINES >= value);
  }
  const name = (label) => IOC.words.classes[label] || label;
  function said([time, parts]) {
    const rows = parts.filter(([, , most]) => most).map(([label, mean, most]) => `${name(label)} ${IOC.number(mean, 1)} (${t("most {n}", { n: IOC.number(most) })})`);
    return [`${IOC.hour(time)} – ${IOC.hour(time + day.step)}`, ...(rows.length ? rows : [t("nothing in view")])].join("\n");
  }
  function draw() {
    const box = document.getElementById("camera-counts"), page = document.querySelector("[data-colours]");
    if (!box || !page || day === undefined) return;
    if (watched !== box) { watch?.disconnect(); watch = new ResizeObserver(draw); watch.observe(watched = box); }
    if (!day?.steps) return box.replaceChildren(...(day ? [IOC.el("p", "muted chart-empty", t("Nobody has looked at this camera in the last 24 hours"))] : []));
    const colours = JSON.parse(page.dataset.colours), rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const w = box.clientWidth, h = box.clientHeight, left = 2.4 * rem, foot = 1.5 * rem, top = 0.6 * rem, wide = w - left - 0.5 * rem, high = h - foot - top;
    if (wide <= 0 || high <= 0) return;
    const total = (parts) => parts.reduce((sum, [, mean]) => sum + mean, 0), by = stride(Math.max(1, ...day.steps.map(([, parts]) => total(parts))));
    const lines = Math.max(1, Math.ceil(Math.max(...day.steps.map(([, parts]) => total(parts))) / by)), most = lines * by;
    const x = (time) => left + ((time - day.since) / (day.until - day.since)) * wide, y = (value) => top + high - (value / most) * high;
    const svg = element("svg", { width: w, height: h, role: "img", class: "day-bars", "aria-label": t("In view over the last 24 h, mean by class") });
    for (let line = 0; line <= lines; line++) {
      svg.append(element("line", { x1: left, x2: left + wide, y1: y(line * by), y2: y(line * by) }),
        element("text", { x: left - 0.5 * rem, y: y(line * by), class: "day-value" }, IOC.number(line * by, by < 1 ? 1 : 0)));
    }
    // Hours that would touch on a phone are every other one.
    const every = HOURS * 3600 * (wide < 24 * rem ? 2 : 1), ahead = 7 * 3600;
    for (let time = Math.ceil((day.since + ahead) / every) * every - ahead; time < day.until; time += every) {
      if (x(time) > left + rem && x(time) < left + wide - rem) svg.append(element("text", { x: x(time), y: h - 0.35 * rem, class: "day-hour" }, IOC.hour(time)));
    }
    const bar = (day.step / (day.until - day.since)) * wide;
    for (const step of day.steps) {
      const [time, parts] = step, group = element("g", { class: "count-bar" }), from = Math.max(left, x(time));
      let sum = 0;
      for (const label of Object.keys(colours)) {
        const mean = parts.find(([one]) => one === label)?.[1] || 0;
        if (mean) group.append(element("rect", { x: from + bar * 0.08, width: Math.max(0.5, bar * 0.84), y: y(sum + mean), height: y(sum) - y(sum + mean), fill: colours[label] }));
        sum += mean;
      }
      group.append(element("rect", { x: from, width: bar, y: top, height: high, class: "day-reach" }), element("title", {}, said(step)));
      svg.append(group);
    }
    box.replaceChildren(svg);
  }
  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.cameraCounts = {
    draw(given) {
      day = given;
      draw();
      return window.dash_clientside.no_update;
    },
  };
})();

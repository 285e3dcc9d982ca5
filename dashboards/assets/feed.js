/* The page's side of the live feed: one EventSource, the city as it is now, ages, and the watch over itself.
 *
 * A page's script registers itself, whichever file loads first:
 *   (window.IOC ||= {}).pages ||= []; IOC.pages.push({ name: "wall", mount(root) {}, update(what, city) {}, tick(now) {}, unmount() {} });
 * `mount` runs when an element [data-page=name] appears, `update` after every event (`what` names what changed: whole, devices,
 * health, alarms, incidents, scenes, kpis, links, commands), `tick` once a second.
 */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  // Looked at four times a second, so that a dead feed is on the screen within three seconds.
  const LATE_S = 2.5, FROZEN_S = 10, RELOAD_S = 60;
  const HEALTH = ["unknown", "online", "late", "silent", "offline", "maintenance", "retired", "untrue", "quiet"];

  // --- words and figures ---------------------------------------------------------------------------------------------
  const words = (IOC.words = JSON.parse(document.getElementById("ioc-words").textContent));
  const locale = (IOC.locale = words.language === "en" ? "en-GB" : "vi-VN");
  IOC.t = function (message, values) {
    const found = words.messages[message] || message;
    return values ? found.replace(/\{(\w+)\}/g, (all, name) => (name in values ? values[name] : all)) : found;
  };
  const t = IOC.t;
  const formats = new Map();
  IOC.number = function (value, decimals = 0) {
    if (!formats.has(decimals)) {
      formats.set(decimals, new Intl.NumberFormat(locale, { minimumFractionDigits: decimals, maximumFractionDigits: decimals }));
    }
    return formats.get(decimals).format(value);
  };
  IOC.since = function (seconds) {
    const s = Math.max(0, Math.floor(seconds));
    if (s < 60) return t("{n} s", { n: s });
    if (s < 3600) return t("{n} min", { n: Math.floor(s / 60) });
    if (s < 86400) return t("{n} h", { n: Math.floor(s / 3600) });
    return t("{n} d", { n: Math.floor(s / 86400) });
  };
  const zone = "Asia/Ho_Chi_Minh";
  const clockFormat = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const shortFormat = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit" });
  const dayFormat = new Intl.DateTimeFormat(locale, { timeZone: zone, weekday: "long", day: "numeric", month: "long", year: "numeric" });
  IOC.clock = (seconds) => clockFormat.format(new Date(seconds * 1000));
  IOC.hour = (seconds) => shortFormat.format(new Date(seconds * 1000));
  IOC.day = (seconds) => dayFormat.format(new Date(seconds * 1000));
  /** A value of a measure as people read it: figure and unit, or the name of its state. */
  IOC.reading = function (measure, value) {
    const row = words.measures[measure];
    if (value === null || value === undefined) return { figure: "–", unit: "" };
    if (!row) return { figure: IOC.number(value, 2), unit: "" };
    if (row.states.length) return { figure: row.states[value] || String(value), unit: "" };
    if (row.unit === "1") return { figure: IOC.number(value * 100, 0), unit: "%" };
    return { figure: IOC.number(value, row.decimals), unit: row.unit };
  };

  // --- small DOM -------------------------------------------------------------------------------------------------------
  IOC.el = function (tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  IOC.text = function (element, text) {
    if (element && element.textContent !== text) element.textContent = text;
  };
  const SHAPES = { 1: "M12 2.5 22.5 21.500H1.500Z", 2: "M12 1 23 12 12 23 1 12Z", 3: "M3 3H21V21H3Z" };
  /** A priority as shape, number and colour; `look` is "", "seen" (outline) or "quiet" (grey). */
  IOC.prio = function (priority, look = "") {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("class", `prio p${priority} ${look}`);
    svg.innerHTML = `<path d="${SHAPES[priority]}"/><text x="12" y="${priority === 1 ? 18.6 : 16.7}">${priority}</text>`;
    return svg;
  };

  // --- the city --------------------------------------------------------------------------------------------------------
  const city = (IOC.city = {
    epoch: "", id: [], kind: [], name: [], lat: [], lon: [], ward: [], parent: [], footage: [], period: [], pictured: [], health: [], value: [], time: [],
    number: new Map(), alarms: new Map(), incidents: new Map(), scenes: new Map(), kpis: [], links: [], recent: 0, newest: 0, rejected: 0, simulated: 0,
  });
  const COLUMNS = ["id", "kind", "name", "lat", "lon", "ward", "parent", "footage", "period", "pictured"];
  /** Seconds between signs of life of a healthy device, and between its readings of a measure: `period_of`, `pace_of` of the catalogue. */
  IOC.periodOf = (at) => city.period[at] || (IOC.words.kinds[city.kind[at]] ? IOC.words.kinds[city.kind[at]].period : 60);
  IOC.paceOf = (at, measure) => Math.max(city.period[at] || 0, IOC.words.measures[measure] ? IOC.words.measures[measure].period : 60);
  IOC.health = (at) => HEALTH[city.health[at]] || "unknown";
  IOC.device = (id) => city.number.get(id);
  /** Why the picture of a camera cannot be trusted, in words; "" where it can. */
  IOC.untrue = function (camera) {
    const at = IOC.device(camera);
    return at !== undefined && city.kind[at] === "camera" && city.value[at] ? IOC.reading("pictureState", city.value[at]).figure : "";
  };

  const alarmOf = (r) => ({ id: r[0], incident: r[1], rule: r[2], device: r[3], measure: r[4], ward: r[5], cause: r[6], priority: r[7],
    state: r[8], value: r[9], limit: r[10], opened: r[11], by: r[12] });
  const incidentOf = (r) => ({ id: r[0], cause: r[1], ward: r[2], priority: r[3], state: r[4], opened: r[5], alarms: r[6], active: r[7] });
  const sceneOf = (r) => ({ time: r[0], counts: r[1], inferred: r[2], latency: r[3] });
  IOC.unseen = (alarm) => alarm.state === "unacknowledged" || alarm.state === "returned_unacknowledged";

  function takeWhole(body) {
    for (const name of COLUMNS) city[name] = body.columns[name];
    city.health = Array.from(body.health, Number);
    city.value = body.value;
    city.time = body.time;
    city.number = new Map(city.id.map((id, at) => [id, at]));
    city.alarms = new Map(body.alarms.map((row) => [row[0], alarmOf(row)]));
    city.incidents = new Map(body.incidents.map((row) => [row[0], incidentOf(row)]));
    city.scenes = new Map(Object.entries(body.scenes).map(([camera, row]) => [camera, sceneOf(row)]));
    city.epoch = body.epoch;
    takeHead(body);
    return { whole: true, devices: true, health: true, alarms: true, incidents: true, scenes: true, kpis: true, links: true };
  }
  function takeDelta(body) {
    const what = { links: true };
    for (const row of body.devices || []) {
      what.devices = true;
      COLUMNS.forEach((name, column) => (city[name][row[0]] = row[column + 1]));
      city.number.set(row[1], row[0]);
    }
    for (const row of body.d || []) {
      what.health = true;
      city.health[row[0]] = row[1];
      city.value[row[0]] = row[2];
      city.time[row[0]] = row[3];
    }
    if (body.d) what.changed = body.d.map((row) => row[0]);
    for (const row of body.alarms || []) {
      what.alarms = true;
      if (row[8] === "normal") city.alarms.delete(row[0]);
      else city.alarms.set(row[0], alarmOf(row));
    }
    for (const row of body.incidents || []) {
      what.incidents = true;
      if (row[4] === "closed") city.incidents.delete(row[0]);
      else city.incidents.set(row[0], incidentOf(row));
    }
    for (const [camera, row] of Object.entries(body.scenes || {})) {
      what.scenes = true;
      city.scenes.set(camera, sceneOf(row));
    }
    if (body.commands) what.commands = body.commands;
    if (body.kpis) what.kpis = true;
    takeHead(body);
    return what;
  }
  function takeHead(body) {
    city.links = body.links.map((row) => ({ key: row[0], state: row[1], time: row[2], reason: row[3], figures: row[4] }));
    city.newest = body.newest;
    city.recent = body.recent;
    city.rejected = body.rejected;
    city.simulated = body.simulated;
    if (body.kpis) city.kpis = body.kpis;
    server = body.now;
    heard = performance.now();
  }

  // --- time: the server's, carried on by this machine's steady clock when the feed is silent ---------------------------
  let server = Date.now() / 1000;
  let heard = performance.now();
  let everHeard = false;
  IOC.now = () => server + (performance.now() - heard) / 1000;
  IOC.silence = () => (performance.now() - heard) / 1000;

  // --- pages -----------------------------------------------------------------------------------------------------------
  const waiting = IOC.pages || [];
  const pages = [];
  IOC.pages = { push: (page) => { pages.push(page); look(); } };
  let root = null, here = [];
  function look() {
    for (const mark of document.querySelectorAll("[data-prio]:empty")) mark.append(IOC.prio(...mark.dataset.prio.split(" ")));
    const found = document.querySelector("[data-page]");
    if (found !== root) {
      for (const page of here) page.unmount && page.unmount();
      root = found;
      here = [];
    }
    if (!root) return;
    for (const page of pages) {
      if (page.name === root.dataset.page && !here.includes(page)) {
        here.push(page);
        page.mount(root);
        if (everHeard && page.update) page.update({ whole: true, devices: true, health: true, alarms: true, incidents: true, scenes: true, kpis: true, links: true }, city);
      }
    }
  }
  for (const page of waiting) IOC.pages.push(page);
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
  const update = (what) => { for (const page of here) page.update && page.update(what, city); };

  // --- the feed --------------------------------------------------------------------------------------------------------
  let source = null;
  function connect() {
    if (source) source.close();
    source = new EventSource("/feed");
    source.addEventListener("snapshot", (event) => { const what = takeWhole(JSON.parse(event.data)); everHeard = true; settle(); update(what); });
    source.addEventListener("delta", (event) => {
      if (!everHeard) return;
      const what = takeDelta(JSON.parse(event.data));
      settle();
      update(what);
    });
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1000); };
  }

  // --- ages: decided here, each second, so that figures grow old also when the feed is dead -----------------------------
  /** Put a figure with its time on the page. `element` holds .figure, and .age where the age is to be read. */
  IOC.put = function (element, figure, time, period) {
    element.dataset.time = time || 0;
    element.dataset.period = period;
    element.dataset.figure = figure;
    grow(element, IOC.now());
  };
  function grow(element, now) {
    const time = Number(element.dataset.time), period = Number(element.dataset.period);
    const age = now - time;
    const state = !time || age > 5 * period ? "gone" : age > 2 * period ? "late" : "fresh";
    if (element.dataset.age !== state) element.dataset.age = state;
    IOC.text(element.querySelector(".figure"), state === "gone" ? t("NO DATA") : element.dataset.figure);
    IOC.text(element.querySelector(".age"), time ? IOC.since(age) : "");
  }
  IOC.ageOf = (time, period) => { const age = IOC.now() - time; return !time || age > 5 * period ? "gone" : age > 2 * period ? "late" : "fresh"; };

  // --- the watch over itself -------------------------------------------------------------------------------------------
  let reloading = false;
  function settle() {
    if (document.documentElement.classList.contains("cut")) watch();
  }
  function watch() {
    const silence = IOC.silence(), html = document.documentElement, banner = document.getElementById("banner");
    const cut = silence > LATE_S, frozen = silence > FROZEN_S;
    html.classList.toggle("cut", cut);
    html.classList.toggle("frozen", frozen);
    if (frozen) html.dataset.frozen = t("FROZEN");
    if (banner) {
      banner.classList.toggle("shown", cut);
      if (cut) IOC.text(banner, `${t("CONNECTION LOST")} · ${t("nothing new for {age}", { age: IOC.since(silence) })}`);
    }
    if (silence > RELOAD_S && !reloading) {
      reloading = true;
      // Only a server that answers can give the page again; a dead page is better than the browser's error page.
      fetch("/healthz", { cache: "no-store" }).then(() => location.reload()).catch(() => { setTimeout(() => { reloading = false; }, 5000); });
    }
  }
  setInterval(watch, 250);
  setInterval(() => {
    const now = IOC.now();
    for (const element of document.querySelectorAll("[data-time]")) grow(element, now);
    for (const page of here) page.tick && page.tick(now);
    for (const each of IOC.tickers) each(now);
  }, 1000);
  IOC.tickers = IOC.tickers || [];

  // --- acts ------------------------------------------------------------------------------------------------------------
  /** POST /actions/<what>; resolves with the answer's JSON, rejects with a message for people, and with what is wrong with fields of a form. */
  IOC.act = async function (what, body) {
    let answer;
    try {
      answer = await fetch(`/actions/${what}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    } catch {
      throw new Error(t("The server does not answer"));
    }
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw Object.assign(new Error(said.error || t("The server refused ({code})", { code: answer.status })), { faults: said.faults || {} });
    return said;
  };
  IOC.toast = function (text, bad) {
    document.querySelectorAll(".toast").forEach((old) => old.remove());
    const shown = IOC.el("div", bad ? "toast bad" : "toast", text);
    shown.setAttribute("role", "status");
    document.body.append(shown);
    setTimeout(() => shown.remove(), 4000);
  };

  connect();
})();

/* The wall's header, figures and incident list, its keys and its sound. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  IOC.pages = IOC.pages || [];
  let root = null, chosen = 0, nightly = 0;
  const $ = (id) => document.getElementById(id);

  // --- header -----------------------------------------------------------------------------------------------------------
  const open = (incident) => incident.state !== "closed" && incident.state !== "cleared" && incident.active > 0;
  function stage(city) {
    let worst = 9;
    for (const incident of city.incidents.values()) if (open(incident)) worst = Math.min(worst, incident.priority);
    const name = worst === 1 ? "emergency" : worst === 2 ? "alert" : "normal";
    $("stage").dataset.stage = name;
    IOC.text($("stage-name"), IOC.t(`stage:${name}`));
  }
  function unseen(city) {
    const counts = { 1: 0, 2: 0, 3: 0 };
    for (const alarm of city.alarms.values()) if (IOC.unseen(alarm)) counts[alarm.priority]++;
    const key = Object.values(counts).join();
    if ($("unseen").dataset.key !== key) {
      $("unseen").dataset.key = key;
      $("unseen").replaceChildren(...[1, 2, 3].map((priority) => {
        const pair = IOC.el("span", counts[priority] ? "" : "none");
        pair.append(IOC.prio(priority, counts[priority] ? "" : "quiet"), IOC.number(counts[priority]));
        return pair;
      }));
    }
    return counts;
  }
  function rate(city) {
    const target = IOC.words.alarm_target, flood = IOC.words.alarm_flood;
    $("rate").dataset.rate = city.recent >= flood ? "flood" : city.recent > target ? "over" : "";
    IOC.text($("rate-now"), IOC.number(city.recent));
    IOC.text($("rate-target"), IOC.t("target ≤ {n}", { n: target }));
    IOC.text($("flood"), city.recent >= flood ? IOC.t("FLOOD {n}", { n: IOC.number(city.recent) }) : "");
  }
  const MARK = { ok: "h-online", degraded: "h-degraded", lost: "h-lost", unknown: "h-unknown" };
  function links(city, now) {
    const box = $("links");
    if (box.childElementCount !== city.links.length) {
      box.replaceChildren(...city.links.map(() => {
        const row = IOC.el("div", "link");
        row.append(IOC.el("i", "health"), IOC.el("b"), IOC.el("span"));
        return row;
      }));
    }
    let scene = 0;
    for (const each of city.scenes.values()) scene = Math.max(scene, each.time);
    city.links.forEach((link, at) => {
      const row = box.children[at], [mark, name, said] = row.children;
      mark.className = `health ${MARK[link.state]}`;
      row.dataset.state = link.state;
      row.title = link.reason;
      IOC.text(name, IOC.linkName(link.key));
      // The age that matters is that of what the link brought, not that of its own pulse.
      const time = link.key === "ingest" ? city.newest : link.key === "vision" && scene ? scene : link.time;
      // Seconds that come and go on a good link would only flicker.
      const age = !time ? "" : link.state === "ok" && now - time < 3 ? IOC.t("live") : IOC.since(now - time);
      const dropped = link.figures.dropped;
      if (dropped) IOC.text(said, IOC.t("{n} messages dropped", { n: IOC.number(dropped) }));
      else IOC.text(said, link.state === "ok" ? age : link.state === "unknown" ? IOC.linkState("unknown") : [IOC.linkState(link.state), age].filter(Boolean).join(" "));
    });
  }

  // --- KPI tiles --------------------------------------------------------------------------------------------------------
  const PERIOD_S = 60; // each is computed every ten seconds, from readings that are at most a minute apart
  function kpis(city) {
    for (const row of city.kpis) {
      for (const value of root.querySelectorAll(`[data-value="${row.key}"]`)) {
        const tile = value.closest(".panel");
        tile.dataset.band = row.band;
        if (row.value === null) {
          // Nothing to tell (no lamp is to be lit by day) is not the same as something lost.
          delete value.dataset.time;
          value.dataset.age = "none";
          IOC.text(value.querySelector(".figure"), "–");
          IOC.text(value.querySelector(".age"), "");
        } else IOC.put(value, IOC.number(row.value, Number(value.dataset.decimals)), row.time, PERIOD_S);
        const trend = tile.querySelector(".kpi-trend");
        if (trend) line(trend, row.trend);
      }
    }
  }
  function line(canvas, points) {
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth * ratio, height = canvas.clientHeight * ratio;
    if (!width) return;
    canvas.width = width;
    canvas.height = height;
    if (points.length < 2) return;
    const pen = canvas.getContext("2d"), pad = height * .16;
    const from = points[0][0], to = points[points.length - 1][0], values = points.map((point) => point[1]);
    let low = Math.min(...values), high = Math.max(...values);
    // A still figure is a level line in the middle, not noise blown up to the height of the tile.
    const least = Math.abs(high) * .04 || 1;
    if (high - low < least) { const middle = (high + low) / 2; low = middle - least / 2; high = middle + least / 2; }
    const at = ([time, value]) => [(time - from) / (to - from || 1) * (width - 2 * pad) + pad, height - pad - (value - low) / (high - low) * (height - 2 * pad)];
    pen.strokeStyle = getComputedStyle(canvas).getPropertyValue("--calm");
    pen.lineWidth = Math.max(1.5, height * .09);
    pen.lineJoin = pen.lineCap = "round";
    pen.beginPath();
    points.forEach((point, index) => pen[index ? "lineTo" : "moveTo"](...at(point)));
    pen.stroke();
    pen.beginPath();
    pen.arc(...at(points[points.length - 1]), height * .14, 0, 7);
    pen.fillStyle = pen.strokeStyle;
    pen.fill();
  }

  // --- incidents --------------------------------------------------------------------------------------------------------
  const stands = (alarm) => alarm.state === "unacknowledged" || alarm.state === "acknowledged";
  function ordered(city) {
    const byIncident = new Map();
    for (const alarm of city.alarms.values()) {
      if (!byIncident.has(alarm.incident)) byIncident.set(alarm.incident, []);
      byIncident.get(alarm.incident).push(alarm);
    }
    const rows = [];
    for (const incident of city.incidents.values()) {
      if (incident.state === "closed") continue;
      const alarms = (byIncident.get(incident.id) || []).filter((alarm) => !["shelved", "suppressed", "out_of_service"].includes(alarm.state));
      if (!alarms.length && incident.state !== "cleared") continue;
      alarms.sort((a, b) => stands(b) - stands(a) || a.priority - b.priority || IOC.unseen(b) - IOC.unseen(a) || b.opened - a.opened);
      rows.push({ incident, alarms, unseen: alarms.some(IOC.unseen), active: incident.active > 0 && incident.state !== "cleared" });
    }
    rows.sort((a, b) => rank(a) - rank(b) || b.incident.opened - a.incident.opened);
    return rows;
  }
  /** A P1 stays on top for as long as it stands; then what nobody has seen, by priority; then the rest; then what is over. */
  function rank(row) {
    const priority = row.incident.priority;
    if (!row.active) return row.unseen ? 8 : 9;
    if (priority === 1) return row.unseen ? 0 : 1;
    return row.unseen ? priority : priority + 2.5;
  }
  let rows = [];
  function incidents(city) {
    rows = ordered(city);
    if (!rows.some((row) => row.incident.id === chosen)) chosen = rows.length ? rows[0].incident.id : 0;
    const list = $("incidents"), room = capacity(list), at = rows.findIndex((row) => row.incident.id === chosen);
    // The list shows the page that holds the chosen one.
    const first = Math.max(0, Math.min(rows.length - room, at - room + 1)), shown = rows.slice(first, first + room);
    if (!rows.length) {
      const note = IOC.el("li", "quiet-note");
      note.append(IOC.el("strong", "", IOC.t("No open incident")), IOC.el("span", "", IOC.t("Alarms appear here by themselves")));
      list.replaceChildren(note);
    } else {
      const kept = new Map([...list.children].map((item) => [item.dataset.id, item]));
      list.replaceChildren(...shown.map((row) => card(row, kept.get(String(row.incident.id)))));
    }
    const rest = rows.length - shown.length;
    const cleared = rows.filter((row) => !row.active).length;
    IOC.text($("incidents-more"), [rest > 0 ? IOC.t("and {n} more", { n: IOC.number(rest) }) : "", cleared ? IOC.t("{n} over, waiting to be closed", { n: IOC.number(cleared) }) : ""].filter(Boolean).join(" · "));
  }
  const small = matchMedia("(max-width: 900px)");
  function capacity(list) {
    // A phone scrolls: as many as somebody reads there.
    if (small.matches) return 8;
    const u = Math.min(innerWidth / 100, innerHeight / 100 * 1.7778);
    return Math.max(1, Math.floor((list.clientHeight + .4 * u) / (4.2 * u)));
  }
  function card(row, made) {
    const { incident, alarms } = row, priority = incident.priority;
    const item = made || IOC.el("li");
    if (!made) {
      item.dataset.id = incident.id;
      item.append(IOC.el("div", "incident-mark"), IOC.el("div", "incident-title"), IOC.el("div", "incident-age"), IOC.el("div", "incident-detail"), IOC.el("div", "incident-state"));
      item.addEventListener("click", () => { chosen = incident.id; small.matches ? file() : incidents(IOC.city); });
      item.addEventListener("dblclick", file);
    }
    const className = ["incident", `p${priority}`, row.unseen ? `unseen-${priority}` : "seen", row.active ? "" : "cleared", incident.id === chosen ? "chosen" : ""].filter(Boolean).join(" ");
    if (item.className !== className) item.className = className;
    const look = row.unseen ? "" : "seen", mark = `${priority}${look}`;
    if (item.dataset.mark !== mark) {
      item.dataset.mark = mark;
      item.children[0].replaceChildren(IOC.prio(priority, look));
    }
    const [, title, age, detail, state] = item.children;
    IOC.text(title, IOC.words.causes[incident.cause] || incident.cause);
    describe(detail, alarms, incident);
    age.dataset.opened = incident.opened;
    IOC.text(age, IOC.since(IOC.now() - incident.opened));
    IOC.text(state, !row.active ? IOC.t("over") : row.unseen ? "" : `✓ ${alarms.length && alarms[0].by ? alarms[0].by : IOC.t("seen")}`);
    return item;
  }
  function describe(element, alarms, incident) {
    const first = alarms[0], ward = IOC.words.wards[incident.ward], place = ward ? ward.name : IOC.t("outside the wards");
    let said = IOC.t("Everything is back to normal");
    if (first) {
      const at = IOC.device(first.device), count = new Set(alarms.map((alarm) => alarm.device)).size;
      const value = first.value !== null && first.measure ? IOC.reading(first.measure, first.value) : null;
      const states = first.measure && IOC.words.measures[first.measure].states.length;
      const figure = value ? `${states ? " · " : " "}${value.figure} ${value.unit}`.trimEnd() : "";
      const rule = IOC.words.rules[first.rule] || first.rule;
      said = count > 1 ? `${rule}${figure} · ${IOC.t("{n} devices", { n: IOC.number(count) })}` : `${rule}${figure} · ${at === undefined ? first.device : IOC.city.name[at]}`;
    }
    const text = `${place}|${said}`;
    if (element.dataset.text === text) return;
    element.dataset.text = text;
    element.replaceChildren(IOC.el("b", "", place), ` · ${said}`);
  }

  // --- acts and keys ----------------------------------------------------------------------------------------------------
  async function acknowledge() {
    const row = rows.find((each) => each.incident.id === chosen);
    if (!row || !row.unseen) return IOC.toast(IOC.t("Nothing to acknowledge here"));
    if (!IOC.operator()) return;
    await act("acknowledge", { incidents: [row.incident.id] }, IOC.t("Acknowledged"));
    const next = rows.find((each) => each.unseen && each.incident.id !== row.incident.id);
    if (next) chosen = next.incident.id;
  }
  async function shelve() {
    const row = rows.find((each) => each.incident.id === chosen);
    if (!row || !row.alarms.length || !IOC.operator()) return;
    const reason = (window.prompt(IOC.t("Shelve for 30 minutes: why?")) || "").trim();
    if (reason) await act("shelve", { alarms: row.alarms.map((alarm) => alarm.id), minutes: 30, reason }, IOC.t("Shelved for 30 minutes"));
  }
  async function act(what, body, done) {
    try {
      await IOC.act(what, body);
      IOC.toast(done);
    } catch (error) {
      IOC.toast(error.message, true);
    }
  }
  function move(by) {
    const at = rows.findIndex((row) => row.incident.id === chosen), to = rows[Math.max(0, Math.min(rows.length - 1, at + by))];
    if (to) { chosen = to.incident.id; incidents(IOC.city); }
  }
  const file = () => { if (chosen) location.assign(`/incidents?id=${chosen}`); };
  const keys = {
    enter: file, a: acknowledge, s: shelve, j: () => move(1), k: () => move(-1), arrowdown: () => move(1), arrowup: () => move(-1),
    m: () => { muted = !muted; try { localStorage.setItem("muted", muted ? "1" : ""); } catch { /* a private window keeps nothing */ } sound(); showSound(); },
    l: () => location.assign("/"),
  };

  // --- sound: one short tone per priority; again only while a P1 waits ---------------------------------------------------
  let audio = null, muted = false, toned = 0, known = null;
  try { muted = localStorage.getItem("muted") === "1"; } catch { muted = false; }
  const PITCH = { 1: [880, 660, 880], 2: [660, 660], 3: [523] };
  function sound() {
    if (!audio && window.AudioContext) audio = new AudioContext();
    if (audio && audio.state === "suspended") audio.resume().then(showSound, showSound);
  }
  function tone(priority) {
    if (muted) return;
    sound();
    if (!audio || audio.state !== "running") return showSound();
    toned = performance.now();
    PITCH[priority].forEach((pitch, index) => {
      const start = audio.currentTime + index * .22, oscillator = audio.createOscillator(), gain = audio.createGain();
      oscillator.frequency.value = pitch;
      gain.gain.setValueAtTime(0, start);
      gain.gain.linearRampToValueAtTime(.18, start + .015);
      gain.gain.setValueAtTime(.18, start + .13);
      gain.gain.linearRampToValueAtTime(0, start + .18);
      oscillator.connect(gain).connect(audio.destination);
      oscillator.start(start);
      oscillator.stop(start + .2);
    });
  }
  function listen(city, counts) {
    const now = new Map();
    for (const alarm of city.alarms.values()) if (alarm.state === "unacknowledged") now.set(alarm.id, alarm.priority);
    if (known) {
      // Many at once are one sound: the worst's.
      let worst = 9;
      for (const [id, priority] of now) if (!known.has(id)) worst = Math.min(worst, priority);
      if (worst < 9) tone(worst);
    }
    known = now;
    if (counts[1] && performance.now() - toned > 10000) tone(1);
  }
  function showSound() {
    const button = $("sound");
    if (!button) return;
    const blocked = !muted && (!audio || audio.state !== "running");
    button.dataset.sound = muted ? "off" : blocked ? "blocked" : "on";
    IOC.text(button, IOC.t(muted ? "Sound off" : blocked ? "Click for sound" : "Sound on"));
  }
  document.addEventListener("click", (event) => {
    if (!root) return;
    const own = event.target.closest("[data-wall=sound]");
    if (own && !muted && audio && audio.state === "running") keys.m();
    else if (own && muted) keys.m();
    else sound();
    showSound();
  });

  // --- the page ---------------------------------------------------------------------------------------------------------
  IOC.pages.push({
    name: "wall",
    mount(element) {
      root = element;
      Object.assign(IOC.keys, keys);
      sound();
      showSound();
      nightly = performance.now();
    },
    unmount() {
      root = null;
      for (const key of Object.keys(keys)) delete IOC.keys[key];
    },
    update(what, city) {
      if (what.alarms || what.incidents || what.whole) {
        stage(city);
        listen(city, unseen(city));
        incidents(city);
      } else if (what.devices) incidents(city);
      if (what.kpis) kpis(city);
      rate(city);
      const all = city.id.length;
      IOC.text($("provenance"), [
        IOC.t("{n} devices", { n: IOC.number(all) }),
        city.simulated ? IOC.t("{n} of them simulated", { n: IOC.number(city.simulated) }) : "",
        city.rejected ? IOC.t("{n} messages in quarantine since the page's server began", { n: IOC.number(city.rejected) }) : "",
      ].filter(Boolean).join(" · "));
      links(city, IOC.now());
    },
    tick(now) {
      IOC.text($("clock"), IOC.clock(now));
      IOC.text($("day"), IOC.day(now));
      links(IOC.city, now);
      for (const age of root.querySelectorAll(".incident-age")) IOC.text(age, IOC.since(now - Number(age.dataset.opened)));
      let urgent = false;
      for (const alarm of IOC.city.alarms.values()) urgent = urgent || (alarm.priority === 1 && IOC.unseen(alarm));
      if (urgent && performance.now() - toned > 10000) tone(1);
      showSound();
      // A wall runs for weeks: once a night, when nothing urgent is open, it loads itself again.
      if (IOC.clock(now).startsWith("03:30") && performance.now() - nightly > 3600e3 && !urgent && IOC.silence() < 3) location.reload();
    },
  });
  addEventListener("resize", () => { if (root) { incidents(IOC.city); kpis(IOC.city); } });
})();

/* The cameras page: every camera as a tile, in sections by what it needs; only tiles on the screen are given pictures. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  const t = (message, values) => IOC.t(message, values);
  const SECTIONS = [["shown", () => t("With a picture")], ["lost", () => t("No picture")]];
  const ASK_S = 5, HOLD_MS = 4000, LOOK_MS = 200;
  const byName = new Intl.Collator("vi", { numeric: true });
  const wanted = { states: new Set(), words: [], ward: "" };
  let root = null, facts = {}, tiles = new Map(), folded = new Map(), seen = null, looking = 0, asked = 0, waits = 0, moved = 0, drawn = "";

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.cameras = {
    facts(of) {
      facts = of || {};
      draw();
      return window.dash_clientside.no_update;
    },
    filter(text, ward) {
      wanted.words = IOC.desk.fold(text || "").split(/\s+/).filter(Boolean);
      wanted.ward = ward || "";
      address("text", text || "");
      address("ward", ward || "");
      draw(true);
      return window.dash_clientside.no_update;
    },
  };
  /** The address says what is filtered, so that a screen can be set up with it. */
  function address(name, value) {
    if (!root) return;
    const here = new URL(location.href);
    if (value) here.searchParams.set(name, value);
    else here.searchParams.delete(name);
    if (here.href !== location.href) history.replaceState(history.state, "", here);
  }

  // --- tiles -------------------------------------------------------------------------------------------------------------
  function make(id) {
    const tile = IOC.el("a", "cam"), view = IOC.el("div", "cam-view"), words = IOC.el("div", "cam-words");
    tile.href = `/cameras/${encodeURIComponent(id)}`;
    tile.dataset.camera = id;
    const parts = { tile, view, state: IOC.el("span", "cam-state"), alarm: IOC.el("span", "cam-alarm"), recorded: IOC.el("span", "cam-recorded"),
      name: IOC.el("strong", "cam-name"), ward: IOC.el("span", "cam-ward"), counts: IOC.el("span", "cam-counts"), age: IOC.el("span", "cam-age"), marks: "", alarms: "" };
    view.append(parts.state, parts.alarm, parts.recorded);
    words.append(parts.name, parts.counts, parts.ward, parts.age);
    tile.append(view, words);
    tiles.set(id, parts);
    view.dataset.camera = id;
    seen?.observe(view);
    return parts;
  }
  function fill(parts, one) {
    const { tile, view } = parts, { at, id, state } = one, city = IOC.city, scene = city.scenes.get(id);
    const age = IOC.camera.age(view, IOC.periodOf(at)), alarm = one.alarms[0];
    if (tile.dataset.state !== state) tile.dataset.state = state;
    tile.classList.toggle("compact", one.section === "lost");
    const unseen = alarm && IOC.unseen(alarm) && alarm.priority < 3 ? `unseen-${alarm.priority}` : "";
    for (const name of ["unseen-1", "unseen-2"]) tile.classList.toggle(name, name === unseen);
    tile.classList.toggle("p1", alarm?.priority === 1);
    tile.classList.toggle("p2", alarm?.priority === 2);
    IOC.text(parts.name, city.name[at]);
    IOC.text(parts.ward, IOC.words.wards[city.ward[at]]?.name || t("Not placed yet"));
    IOC.text(parts.counts, age !== "gone" && scene && state !== "unwatched" ? IOC.camera.counts(scene.counts) : "");
    const taken = Number(view.dataset.taken || 0) || one.newest;
    IOC.text(parts.age, taken ? IOC.since(IOC.now() - taken) : "");
    const name = IOC.camera.stateName(state, id);
    if (parts.marks !== name) {
      parts.marks = name;
      parts.state.replaceChildren(IOC.el("i", `health h-${IOC.camera.MARKS[state]}`), name);
    }
    const said = alarm ? `${alarm.priority} ${IOC.unseen(alarm)} ${alarm.rule} ${one.alarms.length}` : "";
    if (parts.alarms !== said) {
      parts.alarms = said;
      parts.alarm.replaceChildren(...(alarm ? [IOC.prio(alarm.priority, IOC.unseen(alarm) ? "" : "seen"), IOC.words.rules[alarm.rule] || alarm.rule, one.alarms.length > 1 ? ` +${IOC.number(one.alarms.length - 1)}` : ""] : []));
    }
    parts.recorded.hidden = !city.footage[at];
    IOC.text(parts.recorded, city.footage[at] ? t("recorded footage") : "");
    parts.recorded.title = city.footage[at] || "";
    parts.one = one;
  }

  // --- which, and in what order ----------------------------------------------------------------------------------------------
  function every() {
    const found = [], city = IOC.city;
    for (let at = 0; at < city.id.length; at++) {
      if (city.kind[at] !== "camera" || IOC.health(at) === "retired") continue;
      const id = city.id[at], frame = facts[id]?.[0], state = IOC.camera.stateOf(at, frame), alarms = IOC.camera.alarmsOf(id);
      const urgent = alarms.length && IOC.unseen(alarms[0]) && alarms[0].priority < 3 ? alarms[0].priority : 9;
      const pictured = ["fault", "late", "unwatched", "live"].includes(state) || IOC.ageOf(IOC.camera.newest(id, frame), IOC.periodOf(at)) !== "gone";
      const needs = urgent < 9 || ["fault", "late", "unwatched", "offline"].includes(state);
      found.push({ at, id, state, alarms, urgent, needs, section: pictured ? "shown" : "lost", newest: IOC.camera.newest(id, frame), name: city.name[at], ward: city.ward[at] });
    }
    return found;
  }
  function passes(one, besides) {
    if (besides !== "states" && wanted.states.size && !wanted.states.has(one.state)) return false;
    if (wanted.ward && one.ward !== wanted.ward) return false;
    if (!wanted.words.length) return true;
    const key = `${one.name}|${one.id}|${IOC.words.wards[one.ward]?.name || ""}`;
    if (!folded.has(key)) folded.set(key, IOC.desk.fold(key));
    return wanted.words.every((word) => folded.get(key).includes(word));
  }
  const worst = (one, other) => one.urgent - other.urgent || Number(other.needs) - Number(one.needs) || IOC.camera.STATES.indexOf(one.state) - IOC.camera.STATES.indexOf(other.state)
    || (one.alarms[0]?.priority || 9) - (other.alarms[0]?.priority || 9) || byName.compare(one.name, other.name) || (one.id < other.id ? -1 : 1);

  function section(key, title) {
    let box = root.querySelector(`[data-section="${key}"]`);
    if (!box) {
      box = IOC.el("section", "camera-section");
      box.dataset.section = key;
      const head = IOC.el("h3");
      head.append(IOC.el("span", "", title()), IOC.el("b", "count"), IOC.el("span", "needing"));
      box.append(head, IOC.el("div", "tiles"));
      root.querySelector(key === "lost" ? "#cameras-lost" : "#cameras-grid").append(box);
    }
    return box;
  }
  function draw(asked = false) {
    if (!root || !IOC.city.epoch) return;
    const list = every(), shown = list.filter((one) => passes(one));
    count(list, shown);
    // Nothing moves away under somebody's hand.
    const order = shown.sort(worst), signature = order.map((one) => `${one.section}${one.id}`).join(" ");
    if (signature !== drawn && (asked || drawn === "" || performance.now() - moved > HOLD_MS)) { drawn = signature; arrange(order); }
    for (const one of list) { const parts = tiles.get(one.id); if (parts?.tile.isConnected) fill(parts, parts.one && drawn !== signature ? { ...one, section: parts.one.section } : one); }
    say(list, shown);
  }
  function arrange(order) {
    for (const [key, title] of SECTIONS) {
      const box = section(key, title), mine = order.filter((one) => one.section === key), place = box.querySelector(".tiles");
      box.hidden = !mine.length;
      const needing = key === "shown" ? mine.filter((one) => one.needs).length : 0;
      IOC.text(box.querySelector(".count"), IOC.number(mine.length));
      IOC.text(box.querySelector(".needing"), needing ? t("{n} need a look", { n: IOC.number(needing) }) : "");
      const wantedTiles = mine.map((one) => { const parts = tiles.get(one.id) || make(one.id); fill(parts, one); return parts.tile; });
      const keep = new Set(wantedTiles);
      for (const old of [...place.children]) if (!keep.has(old)) old.remove();
      wantedTiles.forEach((tile, at) => { if (place.children[at] !== tile) place.insertBefore(tile, place.children[at] || null); });
    }
  }
  function count(list, shown) {
    const cameras = IOC.number(list.length);
    IOC.text(document.getElementById("camera-count"), shown.length === list.length ? t("{n} cameras", { n: cameras }) : t("{shown} of {total} cameras", { shown: IOC.number(shown.length), total: cameras }));
    const states = {};
    for (const one of list) if (passes(one, "states")) states[one.state] = (states[one.state] || 0) + 1;
    const box = root.querySelector("#camera-states"), now = JSON.stringify([states, [...wanted.states]]);
    if (box.dataset.now === now) return;
    box.dataset.now = now;
    const focus = document.activeElement?.dataset?.chip;
    box.replaceChildren(...IOC.camera.STATES.filter((state) => states[state] || wanted.states.has(state) || state === "live").map((state) => {
      const on = wanted.states.has(state), made = IOC.el("button", `chip${on ? " on" : ""}${states[state] ? "" : " none"}`);
      made.type = "button";
      made.dataset.chip = state;
      made.setAttribute("aria-pressed", String(on));
      made.append(IOC.el("i", `health h-${IOC.camera.MARKS[state]}`), IOC.el("span", "", IOC.camera.stateName(state)), IOC.el("strong", "", IOC.number(states[state] || 0)));
      return made;
    }));
    if (focus) box.querySelector(`[data-chip="${CSS.escape(focus)}"]`)?.focus();
  }
  /** What stands in the way of pictures, or that there is nothing to show. */
  function say(list, shown) {
    const lost = (key) => IOC.city.links.some((link) => link.key === key && link.state === "lost");
    const why = lost("redis") ? t("Redis does not answer: no pictures come. Those that grow old are taken away.") : !list.length ? t("There is no camera yet. One appears here as soon as it announces itself.")
      : !shown.length ? t("No camera matches what was asked for") : lost("vision") ? t("Vision does not run: nobody looks at the pictures.") : "";
    const place = document.getElementById("cameras-away");
    IOC.text(place, why);
    place.className = why ? (lost("redis") || (list.length && shown.length) ? "away" : "empty") : "";
  }

  // --- pictures ------------------------------------------------------------------------------------------------------------
  /** The tiles on the screen that have waited longest for a newer picture. */
  function look() {
    if (!root || document.hidden || IOC.silence() > 3 || IOC.city.links.some((link) => link.key === "redis" && link.state === "lost")) return;
    const now = performance.now(), due = [];
    let visible = 0;
    for (const { tile, view, one } of tiles.values()) {
      if (!tile.isConnected || view.dataset.seen !== "1" || !one) continue;
      visible++;
      const newest = IOC.camera.newest(one.id, facts[one.id]?.[0]);
      if (IOC.ageOf(newest, IOC.periodOf(one.at)) !== "gone" && String(newest) !== view.dataset.wanted) due.push({ view, id: one.id, newest, last: Number(view.dataset.at || 0) });
    }
    // Forty pictures a second are what a desk can draw without a stutter.
    const pause = Math.max(900, visible * 25);
    due.sort((one, other) => one.last - other.last);
    for (const { view, id, newest, last } of due) {
      if (now - last < pause) break;
      if (!IOC.camera.load(view, id, newest)) { if (view.dataset.asking) continue; break; }
      view.dataset.wanted = newest;
      view.dataset.at = now;
    }
  }

  function click(event) {
    const chip = event.target.closest("[data-chip]"), button = event.target.closest("[data-cameras]"), size = event.target.closest("[data-size-of]");
    if (chip) {
      if (!wanted.states.delete(chip.dataset.chip)) wanted.states.add(chip.dataset.chip);
      address("state", [...wanted.states].join(" "));
      draw(true);
    } else if (size) {
      resize(size.dataset.sizeOf);
      address("size", size.dataset.sizeOf === "medium" ? "" : size.dataset.sizeOf);
    } else if (button?.dataset.cameras === "clear") {
      wanted.states.clear();
      address("state", "");
      IOC.desk.set("camera-text", { value: "" });
      IOC.desk.set("camera-ward", { value: "" });
      draw(true);
    }
  }
  function resize(size) {
    root.dataset.size = size;
    for (const tab of root.querySelectorAll("[data-size-of]")) {
      tab.classList.toggle("on", tab.dataset.sizeOf === size);
      tab.setAttribute("aria-pressed", String(tab.dataset.sizeOf === size));
    }
  }
  const touched = () => { moved = performance.now(); };
  const ask = () => { waits = 0; IOC.desk.set("cameras-asked", { data: ++asked }); };

  IOC.pages = IOC.pages || [];
  IOC.pages.push({
    name: "cameras",
    mount(page) {
      root = page;
      tiles = new Map();
      drawn = "";
      moved = 0;
      asked = Date.now();
      wanted.states = new Set((page.dataset.state || "").split(/\s+/).filter((state) => IOC.camera.STATES.includes(state)));
      seen = new IntersectionObserver((entries) => { for (const entry of entries) entry.target.dataset.seen = entry.isIntersecting ? "1" : ""; }, { root: page.querySelector("#cameras-grid"), rootMargin: "200px" });
      resize(page.dataset.size);
      page.addEventListener("click", click);
      page.querySelector("#cameras-grid").addEventListener("pointermove", touched);
      looking = setInterval(look, LOOK_MS);
      draw();
    },
    update(what) {
      if (what.alarms) IOC.camera.alarmsChanged();
      if (what.whole || what.devices || what.health || what.alarms || what.scenes) draw();
      if (what.whole) ask();
    },
    tick() {
      draw();
      if (!document.hidden && ++waits >= ASK_S) ask();
    },
    unmount() {
      clearInterval(looking);
      seen.disconnect();
      root.removeEventListener("click", click);
      for (const { view } of tiles.values()) IOC.camera.empty(view);
      tiles = new Map();
      root = null;
    },
  });
})();

/* The devices page: the table's rows from the feed, its filters, and which device is chosen. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  const STATES = ["online", "late", "untrue", "silent", "offline", "unknown", "quiet", "maintenance"];
  /** Worst first: what needs a technician comes to the top of the table. */
  const RANK = { silent: 7, offline: 6, untrue: 5, late: 4, unknown: 3, quiet: 3, maintenance: 2, online: 1, retired: 0 };
  const byName = new Intl.Collator("vi", { numeric: true });
  const FACTS_S = 30, PANEL_S = 30;
  const wanted = { states: new Set(), kinds: new Set(), words: [], ward: "", fresh: false };
  let root = null, grid = null, chosen = "", rounds = 0, panelRounds = 0, lightRounds = 0, factsAge = 0, panelAge = 0;
  let facts = {}, shares = {}, folded = new Map(), dirty = new Set(), filled = false, bellPanel = null, bellFacts = null, bellLight = null;

  const t = (message, values) => IOC.t(message, values);
  const kindName = (kind) => (IOC.words.kinds[kind] ? IOC.words.kinds[kind].label : t("Device not announced yet"));
  const wardName = (code) => (IOC.words.wards[code] ? IOC.words.wards[code].name || IOC.words.wards[code] : "–");

  // --- rows ------------------------------------------------------------------------------------------------------------
  function row(at) {
    const city = IOC.city, id = city.id[at], known = facts[id] || [], state = IOC.health(at);
    return {
      id, at, name: city.name[at], kind: kindName(city.kind[at]), kindKey: city.kind[at], ward: wardName(city.ward[at]), wardKey: city.ward[at],
      state: RANK[state], stateKey: state, value: city.value[at], time: city.time[at],
      link: known[0] || "", seen: Math.max(known[1] || 0, city.time[at] || 0, city.scenes.get(id)?.time || 0), quality: known[2] || "", skew: known[3] === undefined ? null : known[3],
      firmware: known[4] || "", standing: known[5] || "", dialect: known[6] || "", availability: shares[id] === undefined ? null : shares[id],
    };
  }
  /** How long ago a device was heard of, in words, and whether that is late; the server's finding wins over a fact that is half a minute old. */
  function heard(data) {
    const bound = 2 * IOC.periodOf(data.at), age = IOC.now() - data.seen;
    if (data.stateKey === "online" && age > bound) return { text: `< ${IOC.desk.span(bound)}`, state: "fresh" };
    return { text: IOC.desk.span(age), state: data.stateKey === "late" ? "late" : data.stateKey === "silent" || data.stateKey === "offline" ? "gone" : "fresh" };
  }
  const alive = (at) => IOC.health(at) !== "retired";
  function fill() {
    if (!grid || !IOC.city.id.length) return;
    const rows = [];
    for (let at = 0; at < IOC.city.id.length; at++) if (alive(at)) rows.push(row(at));
    // The grid keeps this order among equals.
    rows.sort((one, other) => byName.compare(one.name, other.name));
    const first = !filled;
    grid.setGridOption("rowData", rows);
    filled = true;
    dirty.clear();
    count();
    if (first) show(true);
  }
  function flush() {
    if (!grid || !filled || !dirty.size) return;
    const update = [], add = [], remove = [];
    for (const at of dirty) {
      const id = IOC.city.id[at], there = grid.getRowNode(id);
      if (!alive(at)) { if (there) remove.push({ id }); }
      else (there ? update : add).push(row(at));
    }
    dirty.clear();
    grid.applyTransaction({ update, add, remove });
    count();
  }

  // --- filters -----------------------------------------------------------------------------------------------------------
  function foldedOf(data) {
    const key = `${data.name}|${data.id}|${data.kind}|${data.ward}|${data.dialect}`;
    if (!folded.has(key)) folded.set(key, IOC.desk.fold(key));
    return folded.get(key);
  }
  function passes(data, besides = "") {
    if (besides !== "states" && wanted.states.size && !wanted.states.has(data.stateKey)) return false;
    if (besides !== "kinds" && wanted.kinds.size && !wanted.kinds.has(data.kindKey)) return false;
    if (besides !== "fresh" && wanted.fresh && data.standing !== "new") return false;
    if (wanted.ward && data.wardKey !== wanted.ward) return false;
    if (!wanted.words.length) return true;
    const text = foldedOf(data);
    return wanted.words.every((word) => text.includes(word));
  }
  function refilter() {
    if (!grid) return;
    grid.onFilterChanged();
    count();
  }
  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.devices = {
    filter(text, ward) {
      wanted.words = IOC.desk.fold(text || "").split(/\s+/).filter(Boolean);
      wanted.ward = ward || "";
      refilter();
      return window.dash_clientside.no_update;
    },
    facts(of, known) {
      facts = of || {};
      shares = known || {};
      fill();
      // The grid draws a cell again when its own value changes; a badge is none.
      if (grid && filled) grid.refreshCells({ columns: ["name"], force: true });
      return window.dash_clientside.no_update;
    },
  };

  // --- counts, which are filters -------------------------------------------------------------------------------------------
  function chip(text, number, on, bad, press, mark) {
    const made = IOC.el("button", "chip" + (on ? " on" : "") + (number ? "" : " none"));
    made.type = "button";
    made.setAttribute("aria-pressed", String(on));
    if (mark) made.append(mark);
    made.append(IOC.el("span", "chip-name", text), IOC.el("strong", "", IOC.number(number)));
    if (bad) made.append(IOC.el("span", "chip-bad", IOC.number(bad)));
    made.onclick = press;
    return made;
  }
  function toggle(set, key) {
    if (set.has(key)) set.delete(key);
    else set.add(key);
    refilter();
  }
  let counted = "";
  function count() {
    if (!root || !filled) return;
    const states = {}, kinds = {}, bad = {};
    let shown = 0, total = 0, fresh = 0;
    grid.forEachNode((node) => {
      const data = node.data;
      total += 1;
      if (passes(data)) shown += 1;
      if (data.standing === "new" && passes(data, "fresh")) fresh += 1;
      if (passes(data, "states")) states[data.stateKey] = (states[data.stateKey] || 0) + 1;
      if (passes(data, "kinds")) {
        kinds[data.kindKey] = (kinds[data.kindKey] || 0) + 1;
        if (["silent", "offline", "untrue"].includes(data.stateKey)) bad[data.kindKey] = (bad[data.kindKey] || 0) + 1;
      }
    });
    IOC.text(document.getElementById("device-count"), shown === total ? t("{n} devices", { n: IOC.number(total) }) : t("{shown} of {total} devices", { shown: IOC.number(shown), total: IOC.number(total) }));
    const now = JSON.stringify([states, kinds, bad, fresh, wanted.fresh, [...wanted.states], [...wanted.kinds]]);
    if (now === counted) return;
    counted = now;
    const focus = document.activeElement?.dataset?.chip;
    const one = (key, made) => { made.dataset.chip = key; return made; };
    root.querySelector("#device-states").replaceChildren(...STATES.map((state) =>
      one(state, chip(t(`health:${state}`), states[state] || 0, wanted.states.has(state), 0, () => toggle(wanted.states, state), IOC.el("i", `health h-${state}`)))),
      // Those that wait for somebody to say what they are; where there are none, nobody need know of it.
      ...(fresh || wanted.fresh ? [one("new", chip(t("New"), fresh, wanted.fresh, 0, () => { wanted.fresh = !wanted.fresh; refilter(); }, IOC.el("i", "mark-new")))] : []));
    const keys = [...Object.keys(IOC.words.kinds), ...Object.keys(kinds).filter((kind) => !IOC.words.kinds[kind])];
    root.querySelector("#device-kinds").replaceChildren(...keys.map((kind) =>
      one(`k-${kind}`, chip(kindName(kind), kinds[kind] || 0, wanted.kinds.has(kind), bad[kind] || 0, () => toggle(wanted.kinds, kind)))));
    if (focus) root.querySelector(`[data-chip="${CSS.escape(focus)}"]`)?.focus();
  }
  function clear() {
    wanted.fresh = false;
    wanted.states.clear();
    wanted.kinds.clear();
    IOC.desk.set("device-text", { value: "" });
    IOC.desk.set("device-ward", { value: "" });
    refilter();
  }

  // --- cells -------------------------------------------------------------------------------------------------------------
  const h = (...parts) => window.React.createElement(...parts);
  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  cells.DeviceState = ({ data }) => h("span", { className: "cell-state", title: t(`health:${data.stateKey}`) }, h("i", { className: `health h-${data.stateKey}` }), h("span", {}, t(`health:${data.stateKey}`)));
  cells.DeviceName = ({ data }) => h("span", { className: "cell-name" }, h("span", { title: data.name }, data.name),
    data.standing === "new" ? h("b", { className: "badge waiting" }, `${t("new")} · ${data.dialect}`) : data.standing === "young" ? h("b", { className: "badge" }, t("added lately")) : null);
  cells.DeviceValue = ({ data }) => {
    const kind = IOC.words.kinds[data.kindKey], measure = kind && kind.headline;
    if (!measure || data.value === null || data.value === undefined || !data.time) return h("span", { className: "muted" }, "–");
    // A lamp that says what it said before is no news to the feed, so its age is that of the last word of it.
    const own = { text: IOC.since(IOC.now() - data.time), state: IOC.ageOf(data.time, IOC.paceOf(data.at, measure)) };
    const age = data.kindKey === "streetlight" ? heard(data) : own, said = IOC.reading(measure, data.value);
    const figure = age.state === "gone" ? t("NO DATA") : `${said.figure} ${said.unit}`;
    return h("span", { className: "cell-value", "data-age": age.state }, h("span", { className: "figure" }, figure), h("small", null, age.text));
  };
  cells.DeviceLink = ({ value }) => h("span", { className: value === "online" ? "" : value === "offline" ? "cell-bad" : "muted" }, value ? t(`link:${value}`) : "–");
  cells.DeviceAge = ({ value, data }) => {
    if (!value) return h("span", { className: "muted" }, "–");
    const age = heard(data);
    return h("span", { className: "cell-age", "data-age": age.state }, age.text);
  };
  cells.DeviceQuality = ({ value }) => h("span", { className: value === "good" ? "" : value === "clock" ? "cell-bad" : "muted", title: value ? t(`quality:${value}`) : "" }, value ? t(`quality:${value}`) : "–");
  cells.DeviceSkew = ({ value }) => h("span", { className: value !== null && Math.abs(value) >= 2 ? "cell-bad" : "muted" }, value === null ? "–" : `${IOC.number(Math.abs(value) < 0.05 ? 0 : value, 1)} s`);
  cells.DeviceShare = ({ value }) => h("span", { className: value !== null && value < 0.95 ? "cell-bad" : "" }, value === null ? "–" : `${IOC.number(value * 100, 1)} %`);

  // --- choosing ----------------------------------------------------------------------------------------------------------
  function choose(id) {
    chosen = id;
    for (const other of IOC.desk.parts) other.chosen(id);
    IOC.desk.set("device-measure", { data: "" });
    IOC.desk.set("device-chosen", { data: id });
    IOC.desk.address(id);
    show();
  }
  function show(reveal = false) {
    if (!root) return;
    root.dataset.chosen = chosen;
    if (!grid || !filled) return;
    // Beside the panel there is less room, and the panel says these itself.
    grid.setColumnsVisible(["quality", "skew", "availability", "firmware"], !chosen);
    grid.redrawRows();
    const node = reveal && chosen && grid.getRowNode(chosen);
    if (node && node.displayed) grid.ensureNodeVisible(node, "middle");
  }
  function click(event) {
    const measure = event.target.closest("[data-measure]"), span = event.target.closest("[data-span]");
    const device = event.target.closest("a[data-device]"), button = event.target.closest("[data-devices]");
    if (measure) IOC.desk.set("device-measure", { data: measure.dataset.measure });
    else if (span) { IOC.desk.set("device-span", { data: span.dataset.span }); tabs(span.dataset.span); }
    else if (device && !event.ctrlKey && !event.metaKey) { event.preventDefault(); choose(device.dataset.device); root.querySelector(".device-pane").scrollTop = 0; }
    else if (button) (button.dataset.devices === "shut" ? () => choose("") : clear)();
  }
  function tabs(span) {
    for (const tab of root.querySelectorAll("[data-span]")) {
      tab.classList.toggle("on", tab.dataset.span === span);
      tab.setAttribute("aria-pressed", String(tab.dataset.span === span));
    }
  }
  function freshPanel() { panelAge = 0; if (chosen) IOC.desk.set("device-changed", { data: ++panelRounds }); }
  function freshLight() { if (chosen) IOC.desk.set("device-commanded", { data: ++lightRounds }); }
  function freshFacts() { factsAge = 0; IOC.desk.set("devices-changed", { data: ++rounds }); }

  async function attach() {
    const mine = root;
    const api = await window.dash_ag_grid.getApiAsync("devices-grid");
    if (root !== mine) return;
    grid = api;
    grid.setGridOption("isExternalFilterPresent", () => wanted.states.size + wanted.kinds.size + wanted.words.length > 0 || wanted.fresh || Boolean(wanted.ward));
    grid.setGridOption("doesExternalFilterPass", (node) => passes(node.data));
    grid.setGridOption("rowClassRules", { here: ({ data }) => data.id === chosen });
    grid.addEventListener("rowClicked", (event) => choose(event.data.id));
    grid.addEventListener("cellKeyDown", (event) => { if (event.event.key === "Enter") choose(event.data.id); });
    fill();
  }

  /** After an act on the chosen device: what the panel and the table say of it is old. */
  IOC.desk.acted = () => { freshPanel(); freshLight(); freshFacts(); };

  IOC.pages = IOC.pages || [];
  IOC.pages.push({
    name: "devices",
    mount(page) {
      root = page;
      chosen = page.dataset.chosen || "";
      grid = null;
      filled = false;
      counted = "";
      rounds = panelRounds = lightRounds = Date.now();
      bellPanel = IOC.desk.bell(3000, freshPanel);
      bellFacts = IOC.desk.bell(5000, freshFacts);
      bellLight = IOC.desk.bell(500, freshLight);
      for (const other of IOC.desk.parts) other.mount(root, chosen);
      root.addEventListener("click", click);
      tabs("1 h");
      attach();
    },
    update(what, city) {
      if (what.whole) { fill(); bellLight(); }
      for (const at of what.changed || []) dirty.add(at);
      if (what.devices && !what.whole) { for (let at = 0; at < city.id.length; at++) if (filled && grid && !grid.getRowNode(city.id[at])) dirty.add(at); bellFacts(); }
      const at = IOC.device(chosen);
      if (chosen && ((what.changed && what.changed.includes(at)) || what.alarms)) bellPanel();
      if (chosen && (what.commands || []).some((at) => city.id[at] === chosen || city.parent[at] === chosen)) bellLight();
      if (what.scenes) IOC.desk.pictures(root, city);
    },
    tick() {
      flush();
      IOC.desk.count(root);
      IOC.desk.pictures(root, IOC.city);
      if (document.hidden) return;
      if (grid && filled) grid.refreshCells({ columns: ["seen", "value"], force: true });
      if (++factsAge >= FACTS_S) freshFacts();
      if (++panelAge >= PANEL_S) freshPanel();
    },
    unmount() {
      root.removeEventListener("click", click);
      bellPanel.stop();
      bellFacts.stop();
      bellLight.stop();
      root = grid = null;
      filled = false;
    },
  });
})();

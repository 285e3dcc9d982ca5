/* The mapping editor: the values of a payload, each with its measure; tried on messages in quarantine while one types. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  const WAIT_MS = 300, IGNORE = "ignore", SHOWN = 60;
  let root = null, box = null, units = {}, forms = {}, state = null, asked = 0, waiting = 0, popup = null;

  const t = (message, values) => IOC.t(message, values);
  const el = (tag, className, text) => IOC.el(tag, className, text);
  const label = (key) => (IOC.words.measures[key] ? IOC.words.measures[key].label : key);

  // --- what is edited --------------------------------------------------------------------------------------------------
  /** The mapping as it stands in the form. */
  function mapping() {
    const items = state.rows.filter((row) => row.measure).map(({ path, measure, scale, offset, unit }) =>
      measure === IGNORE ? { path, measure } : { path, measure, scale, offset, unit });
    if (state.rest) items.push({ path: "$", measure: IGNORE });
    const { id, version, name, filter, device, kind, time_path, time_format, enabled } = state;
    return { id, version, name, filter, device, kind, time_path: time_format === "none" ? "" : time_path, time_format, enabled, items };
  }
  function take(given) {
    state = { rows: [], rest: false, message: state.message, leaves: [], ...given };
    state.rows = (given.items || []).filter((item) => item.path !== "$" || item.measure !== IGNORE).map((item) => ({ scale: 1, offset: 0, unit: "", ...item }));
    state.rest = (given.items || []).some((item) => item.path === "$" && item.measure === IGNORE);
    delete state.items;
  }
  /** Values of the message that the mapping does not name yet: left out, unless a dialect has them anyway. */
  function join(leaves, supplements) {
    const known = new Map(state.rows.map((row) => [row.path, row]));
    const spoken = new Set([state.time_format === "none" ? "" : state.time_path, ...Array.from(state.device.matchAll(/\{([^}]*)\}/g), (found) => found[1])]);
    const rows = [];
    for (const leaf of leaves) {
      const row = known.get(leaf.path) || { path: leaf.path, measure: supplements || state.rest ? "" : IGNORE, scale: 1, offset: 0, unit: "" };
      if (!known.has(leaf.path) && spoken.has(leaf.path)) continue;
      known.delete(leaf.path);
      rows.push(Object.assign(row, { sample: leaf.sample, refused: leaf.refused }));
    }
    state.rows = [...rows, ...Array.from(known.values(), (row) => Object.assign(row, { sample: null }))];
  }

  // --- trying it -------------------------------------------------------------------------------------------------------
  async function ask(body) {
    const answer = await fetch("/quarantine/preview", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(said.error || t("The server refused ({code})", { code: answer.status }));
    return said;
  }
  function changed() {
    clearTimeout(waiting);
    waiting = setTimeout(attempt, WAIT_MS);
  }
  async function attempt() {
    const mine = ++asked, tried = mapping();
    try {
      const said = await ask({ mapping: tried, message: state.message });
      if (mine === asked && state) show(said, tried);
    } catch (error) {
      if (mine === asked && state) IOC.text(box.querySelector(".editor-error"), error.message);
    }
  }
  function show(said, tried) {
    IOC.text(box.querySelector(".editor-error"), "");
    const before = state.rows.length, known = new Set(state.rows.map((row) => row.path));
    state.topic = said.topic || state.topic;
    if (said.leaves.length && said.leaves.some((leaf) => !known.has(leaf.path))) join(said.leaves, said.supplements);
    if (state.supplements !== said.supplements || state.rows.length !== before || !state.drawn) {
      state.supplements = said.supplements;
      state.leaves = said.leaves;
      draw();
    }
    faults(said.faults, tried);
    results(said.results);
    trials(said.tried);
  }
  function faults(found, tried) {
    for (const mark of box.querySelectorAll("[data-fault]")) IOC.text(mark, "");
    const at = (name) => box.querySelector(`[data-fault="${name}"]`);
    // Items are numbered as they were sent, rows as they are drawn.
    const rows = state.rows.filter((row) => row.measure);
    for (const [field, text] of found) {
      const number = field.startsWith("items.") ? Number(field.slice(6)) : -1;
      const row = number >= 0 && rows[number] ? box.querySelector(`[data-row="${CSS.escape(rows[number].path)}"] [data-fault]`) : null;
      const mark = row || at(field) || at("items");
      IOC.text(mark, mark.textContent ? `${mark.textContent} ${text}` : text);
    }
    const wrong = found.length > 0;
    for (const button of box.querySelectorAll("[data-save]")) button.disabled = button.dataset.save === "listen" ? found.some(([field]) => ["name", "filter"].includes(field)) : wrong || !tried.items.length;
  }
  function results(found) {
    for (const cell of box.querySelectorAll("[data-result]")) {
      const result = found[cell.dataset.result];
      IOC.text(cell, result ? result.text : "");
      cell.classList.toggle("bad", Boolean(result && result.bad));
    }
  }
  function trials(tried) {
    const place = box.querySelector(".trials");
    place.replaceChildren();
    IOC.text(box.querySelector(".trials-title"), tried.length ? t("Tried on the last {n} messages like this", { n: new Set(tried.map((one) => one.key)).size }) : t("No message in quarantine matches the filter yet"));
    if (!tried.length) return;
    const table = el("table", "table"), head = el("tr");
    for (const name of [t("Received"), t("Device"), t("Stored at"), t("Would be stored"), t("Would not")]) head.append(el("th", "", name));
    table.append(head);
    for (const one of tried) {
      const row = el("tr"), device = el("td", "where"), values = el("td"), wrong = el("td", "bad");
      if (one.device) {
        device.append(el("span", "mono", one.device), el("small", one.name ? "muted" : "badge", one.name || t("new")));
      } else device.append(el("span", "muted", state.supplements ? t("as {dialect} says", { dialect: state.supplements }) : "–"));
      for (const value of one.values) values.append(el("div", "", value));
      for (const fault of one.faults) wrong.append(el("div", "", fault));
      const received = el("td", "when", one.received);
      received.title = one.topic;
      row.append(received, device, el("td", "when", one.time || (one.values.length ? t("its receive time") : "")), values, wrong);
      table.append(row);
    }
    place.append(table);
  }

  // --- the form --------------------------------------------------------------------------------------------------------
  function field(name, input, ...more) {
    const made = el("label", `editor-field field-${name}`), fault = el("small", "fault");
    fault.dataset.fault = name;
    made.append(el("span", "", FIELDS()[name]), input, ...more, fault);
    return made;
  }
  const FIELDS = () => ({ name: t("Name"), filter: t("Topic filter"), kind: t("Kind"), device: t("Device"), time: t("Time") });
  function input(value, put, attributes = {}) {
    const made = el("input", "input");
    Object.assign(made, { value, autocomplete: "off", spellcheck: false }, attributes);
    made.addEventListener("input", () => { put(made.value); changed(); });
    return made;
  }
  function select(options, value, put) {
    const made = el("select", "input");
    for (const [key, name] of options) made.append(new Option(name, key, false, key === value));
    made.value = value;
    made.addEventListener("change", () => { put(made.value); changed(); });
    return made;
  }
  function draw() {
    state.drawn = true;
    const focus = document.activeElement && box.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
    const form = el("form", "editor");
    form.addEventListener("submit", (event) => { event.preventDefault(); save("all"); });
    const head = el("header", "editor-head"), shut = el("button", "shut", "×");
    shut.type = "button";
    shut.title = t("Close");
    shut.onclick = close;
    head.append(el("h2", "", state.id ? t("Mapping {name}", { name: state.saved }) : t("New mapping")), shut);
    form.append(head, el("p", "editor-error bad"), fields(), values(), buttons());
    const trial = el("section", "panel card");
    trial.append(el("h3", "trials-title"), el("div", "trials"));
    form.append(trial);
    box.replaceChildren(form);
    if (focus) box.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus();
  }
  function named(made, name) { made.dataset.focus = name; return made; }
  function fields() {
    const grid = el("div", "panel card editor-fields");
    const kinds = [["", t("not known yet")], ...Object.entries(IOC.words.kinds).map(([key, kind]) => [key, kind.label])];
    const role = el("small", "muted", state.supplements ? t("Within dialect {dialect}: what is named here is read as it says here, the rest as the dialect does.", { dialect: state.supplements }) : t("+ is any one level, # all that follow"));
    const filter = named(input(state.filter, (value) => { state.filter = value; }, { maxLength: 300 }), "filter");
    filter.classList.add("mono");
    grid.append(
      field("name", named(input(state.name, (value) => { state.name = value; }, { maxLength: 80 }), "name")),
      field("filter", filter, role),
    );
    if (state.supplements) return grid;
    const device = named(input(state.device, (value) => { state.device = value; }, { maxLength: 200 }), "device");
    device.classList.add("mono");
    const pick = (text) => () => { state.device = text; device.value = text; changed(); };
    const chips = el("span", "device-chips");
    const chip = (text, title, value) => { const made = el("button", "chip", text); made.type = "button"; made.title = title; made.onclick = pick(value); chips.append(made); };
    (state.topic || "").split("/").forEach((level, at) => level && chip(level, t("level {n} of the topic", { n: at + 1 }), `{${at + 1}}`));
    for (const leaf of state.leaves.filter((one) => one.kind === "text").slice(0, 6)) chip(`${leaf.path}: ${leaf.sample}`, t("a value of the payload"), `{${leaf.path}}`);
    const times = [["", "–"], ...state.leaves.filter((one) => one.kind !== "none" && one.kind !== "flag").map((one) => [one.path, `${one.path}: ${one.sample}`])];
    if (state.time_path && !times.some(([path]) => path === state.time_path)) times.push([state.time_path, state.time_path]);
    const time = el("span", "time-pair");
    const where = select(times, state.time_path, (value) => { state.time_path = value; if (value && state.time_format === "none") { state.time_format = form.value = "epoch_s"; } });
    const form = select(Object.entries(forms), state.time_format, (value) => { state.time_format = value; });
    time.append(form, where);
    grid.append(
      field("device", device, chips),
      field("kind", select(kinds, state.kind, (value) => { state.kind = value; })),
      field("time", time),
    );
    return grid;
  }
  function values() {
    const part = el("section", "panel card editor-values"), fault = el("small", "fault");
    fault.dataset.fault = "items";
    part.append(el("h3", "", t("Values of the payload")), fault);
    if (state.rows.length) {
      const table = el("table", "table"), head = el("tr");
      for (const name of [t("Path"), t("Measure"), t("× scale"), t("+ offset"), t("Unit"), t("Is stored as")]) head.append(el("th", "", name));
      table.append(head);
      state.rows.forEach((row) => table.append(valueRow(row)));
      part.append(table);
    } else part.append(el("p", "muted", t("What comes on this topic is kept in quarantine, until values are named. Then build the mapping from one of the messages.")));
    const more = el("div", "editor-more"), rest = el("label", "check"), box = el("input"), add = el("button", "tab", t("Add a path"));
    box.type = "checkbox";
    box.checked = state.rest;
    box.onchange = () => { state.rest = box.checked; changed(); };
    rest.append(box, el("span", "", t("Leave out whatever else may come; else it goes to quarantine")));
    add.type = "button";
    add.onclick = async () => {
      const said = await IOC.desk.ask(t("Add a path"), [{ name: "path", label: t("Such as a.b, a[0].c or list[*].value"), kind: "text", required: true }], t("Add"));
      if (said && !state.rows.some((row) => row.path === said.path)) { state.rows.push({ path: said.path, measure: IGNORE, scale: 1, offset: 0, unit: "", sample: null }); draw(); changed(); }
    };
    more.append(rest, add);
    part.append(more);
    return part;
  }
  function valueRow(row) {
    const made = el("tr", row.measure && row.measure !== IGNORE ? "" : "out"), path = el("td", "where"), measure = el("td"), unit = el("td");
    made.dataset.row = row.path;
    const fault = el("small", "fault");
    fault.dataset.fault = "item";
    path.append(el("span", "mono", row.path), el("small", "mono muted", row.sample === null ? t("not in this message") : row.sample), fault);
    if (row.refused) path.append(el("small", "badge", t("refused")));
    const scale = numeric(row, "scale", 1), offset = numeric(row, "offset", 0);
    const units = el("span");
    const refresh = () => {
      const measured = row.measure && row.measure !== IGNORE;
      made.classList.toggle("out", !measured);
      scale.hidden = offset.hidden = !measured;
      units.replaceChildren();
      const known = (measured && unitsOf(row.measure)) || [];
      if (known.length) units.append(select([["", known[0] ? shown(known[0]) : t("none")], ...known.slice(1).map((one) => [one, shown(one)])], known.includes(row.unit) && row.unit !== known[0] ? row.unit : "", (value) => { row.unit = value; }));
    };
    measure.append(combo(row, refresh));
    refresh();
    unit.append(units);
    const result = el("td", "result");
    result.dataset.result = row.path;
    const cell = (inner) => { const td = el("td"); td.append(inner); return td; };
    made.append(path, measure, cell(scale), cell(offset), unit, result);
    return made;
  }
  const unitsOf = (measure) => units[measure];
  const shown = (unit) => (unit === "1" ? t("share 0–1") : t(unit));
  function numeric(row, name, otherwise) {
    const made = input(row[name] === otherwise ? "" : row[name], (value) => { row[name] = value === "" ? otherwise : Number(value); }, { type: "number", step: "any", placeholder: String(otherwise) });
    made.classList.add("numeric");
    made.setAttribute("aria-label", `${row.path} ${name}`);
    return named(made, `${row.path} ${name}`);
  }
  function buttons() {
    const part = el("div", "acts editor-acts");
    const button = (what, text, primary) => { const made = el("button", `button ${primary ? "primary" : ""}`, text); made.type = "button"; made.dataset.save = what; made.onclick = () => save(what); part.append(made); return made; };
    button("all", t("Save"), true);
    if (!state.supplements) button("listen", t("Only listen for now"), false).title = t("What comes is kept in quarantine as samples");
    const cancel = el("button", "button", t("Cancel"));
    cancel.type = "button";
    cancel.onclick = close;
    part.append(cancel);
    return part;
  }

  // --- choosing a measure: by name, without diacritics, or by key ---------------------------------------------------------
  function combo(row, then) {
    const made = el("button", "combo input");
    made.type = "button";
    made.setAttribute("aria-haspopup", "listbox");
    made.setAttribute("aria-label", t("Measure of {path}", { path: row.path }));
    named(made, `${row.path} measure`);
    const name = () => IOC.text(made, row.measure === IGNORE ? t("left out") : row.measure ? label(row.measure) : t("as the dialect does"));
    name();
    made.onclick = () => list(made, row.measure, (key) => { row.measure = key; row.unit = ""; name(); then(); changed(); });
    return made;
  }
  function list(anchor, value, pick) {
    if (popup) popup.remove();
    const own = [[IGNORE, t("left out")]];
    if (state.supplements) own.unshift(["", t("as the dialect does")]);
    const measures = Object.entries(IOC.words.measures).map(([key, one]) => [key, one.label, one.unit]).sort((a, b) => a[1].localeCompare(b[1], "vi"));
    const choices = [...own.map(([key, name]) => ({ key, name, more: "", text: IOC.desk.fold(name) })), ...measures.map(([key, name, unit]) => ({ key, name, more: `${key} ${unit === "1" ? "" : unit}`.trim(), text: IOC.desk.fold(`${name} ${key} ${unit}`) }))];
    popup = el("div", "combo-list");
    const search = el("input", "input"), listed = el("div", "combo-choices");
    search.placeholder = t("Search (diacritics may be left out)");
    listed.setAttribute("role", "listbox");
    let at = 0, found = [];
    const mark = () => {
      listed.querySelectorAll("[role=option]").forEach((one, place) => one.classList.toggle("here", place === at));
      listed.children[at]?.scrollIntoView({ block: "nearest" });
    };
    const fill = () => {
      const words = IOC.desk.fold(search.value).split(/\s+/).filter(Boolean);
      found = choices.filter((one) => words.every((word) => one.text.includes(word))).slice(0, SHOWN);
      at = Math.max(0, search.value ? 0 : found.findIndex((one) => one.key === value));
      listed.replaceChildren(...found.map((one, place) => {
        const option = el("button", "combo-choice");
        option.type = "button";
        option.setAttribute("role", "option");
        option.setAttribute("aria-selected", String(one.key === value));
        option.append(el("span", "", one.name), el("small", "muted", one.more));
        option.onclick = () => choose(place);
        return option;
      }));
      if (!found.length) listed.append(el("p", "muted", t("No measure is called so")));
      mark();
    };
    const shut = () => { if (!popup) return; popup.remove(); popup = null; document.removeEventListener("pointerdown", outside, true); };
    const choose = (place) => { if (found[place]) pick(found[place].key); shut(); anchor.focus(); };
    const outside = (event) => { if (popup && !popup.contains(event.target)) shut(); };
    search.addEventListener("input", fill);
    search.addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
      if (by) { event.preventDefault(); at = Math.min(found.length - 1, Math.max(0, at + by)); mark(); }
      else if (event.key === "Enter") { event.preventDefault(); choose(at); }
      else if (event.key === "Escape") { event.stopPropagation(); shut(); anchor.focus(); }
      else if (event.key === "Tab") shut();
    });
    popup.append(search, listed);
    document.body.append(popup);
    const place = anchor.getBoundingClientRect(), below = innerHeight - place.bottom > popup.offsetHeight + 8;
    popup.style.left = `${Math.min(place.left, innerWidth - popup.offsetWidth - 8)}px`;
    popup.style.top = `${below ? place.bottom + 4 : Math.max(8, place.top - popup.offsetHeight - 4)}px`;
    document.addEventListener("pointerdown", outside, true);
    fill();
    search.focus();
  }

  // --- opening, saving, closing ------------------------------------------------------------------------------------------
  const EMPTY = { id: 0, version: 0, name: "", filter: "", device: "", kind: "", time_path: "", time_format: "none", enabled: true, items: [] };
  async function open(given, message) {
    state = { message };
    take({ ...EMPTY, ...given });
    state.saved = state.name;
    IOC.desk.set("mapping-open", { data: state.id });
    IOC.quarantine.mode("edit");
    box.replaceChildren(el("p", "muted", t("Loading…")));
    const mine = ++asked;
    try {
      const body = given || !message ? { mapping: mapping(), message } : { mapping: null, message };
      const said = await ask(body);
      if (mine !== asked || !state) return;
      if (!given && message) {
        take({ ...EMPTY, ...said.mapping });
        state.saved = state.name;
        IOC.desk.set("mapping-open", { data: state.id });
      }
      state.topic = said.topic;
      join(said.leaves, said.supplements);
      show(said, mapping());
      if (!given && message) attempt();
    } catch (error) {
      box.replaceChildren(el("p", "bad", error.message));
    }
  }
  async function save(what) {
    if (!state || !IOC.operator()) return;
    const wish = mapping();
    if (what === "listen") wish.items = [];
    for (const button of box.querySelectorAll("[data-save]")) button.disabled = true;
    try {
      await IOC.act("mapping", { mapping: wish });
      IOC.toast(t("Saved. New messages follow it at once; those in quarantine can be replayed."));
      close();
      IOC.quarantine.acted();
    } catch (error) {
      IOC.text(box.querySelector(".editor-error"), error.message);
      IOC.toast(error.message, true);
      attempt();
    }
  }
  function close() {
    clearTimeout(waiting);
    asked += 1;
    state = null;
    if (popup) popup.remove();
    popup = null;
    box.replaceChildren();
    IOC.desk.set("mapping-open", { data: 0 });
    IOC.quarantine.mode(IOC.quarantine.chosen() ? "message" : "list");
  }
  /** Try it on another message. */
  function sample(key) {
    if (!state) return;
    state.message = key;
    attempt();
  }
  IOC.mapping = {
    open,
    sample,
    mount(page) {
      root = page;
      box = root.querySelector("#mapping-editor");
      units = JSON.parse(box.dataset.units);
      forms = JSON.parse(box.dataset.forms);
    },
    unmount() {
      clearTimeout(waiting);
      state = root = box = null;
      if (popup) popup.remove();
      popup = null;
    },
  };
})();

/* The quarantine page: filters, choosing a message, acting, and asking for fresh figures when the feed says that something came. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  const FRESH_MS = 3000, SLOW_S = 30, AWAY_S = 5, RUNNING_S = 2;
  let root = null, chosen = "", rounds = 0, slow = 0, wanted = null, page = {}, rejected = 0, ran = false, ring = null;

  const t = (message, values) => IOC.t(message, values);
  const set = (id, data) => IOC.desk.set(id, { data });
  const rows = () => Array.from(root.querySelectorAll("[data-message]"));

  function mode(name) {
    root.dataset.mode = name;
    for (const tab of root.querySelectorAll("[data-mode-of]")) {
      const on = tab.dataset.modeOf === name;
      tab.classList.toggle("on", on);
      tab.setAttribute("aria-pressed", String(on));
    }
  }
  function choose(key, address = true) {
    // With the editor open, another message is another sample.
    if (root.dataset.mode === "edit") return IOC.mapping.sample(key);
    chosen = key;
    mark();
    set("quarantine-view", "");
    set("quarantine-chosen", key);
    mode("message");
    if (address) IOC.desk.address(key);
  }
  function mark() {
    for (const row of rows()) {
      const here = row.dataset.message === chosen;
      row.classList.toggle("here", here);
      row.setAttribute("aria-current", String(here));
    }
  }
  function step(by) {
    const all = rows(), here = all.findIndex((row) => row.dataset.message === chosen);
    const next = all[Math.min(all.length - 1, Math.max(0, here + by))];
    if (!next) return;
    choose(next.dataset.message);
    next.scrollIntoView({ block: "nearest" });
  }
  function spans(name) {
    for (const tab of root.querySelectorAll("[data-span]")) {
      tab.classList.toggle("on", tab.dataset.span === name);
      tab.setAttribute("aria-pressed", String(tab.dataset.span === name));
    }
  }

  // --- what the callbacks are asked ------------------------------------------------------------------------------------
  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.quarantine = {
    wanted(text, dialect, status, span, reason) {
      wanted = { text: text || "", dialect: dialect || "", status: status || "open", span, reason: reason || "" };
      if (root) {
        spans(span);
        root.querySelector("#quarantine-rows").scrollTop = 0;
      }
      return wanted;
    },
    /** What Dash brought; each part is drawn when it is another. */
    draw(figures, now, shown, mappings) {
      Object.assign(brought, { figures, page: now, shown, mappings });
      drawAll();
      return window.dash_clientside.no_update;
    },
  };

  // --- drawing -----------------------------------------------------------------------------------------------------------
  const brought = { figures: null, page: null, shown: null, mappings: null };
  let drawn = {};
  const drawers = { figures: drawFigures, page: drawRows, shown: drawPayload, mappings: drawMappings };
  function drawAll() {
    if (!root) return;
    for (const [name, drawer] of Object.entries(drawers)) {
      if (brought[name] === undefined || brought[name] === null || drawn[name] === brought[name]) continue;
      drawn[name] = brought[name];
      drawer(brought[name]);
    }
  }
  const at = (selector) => root.querySelector(selector);
  function el(tag, className, ...inner) {
    const made = IOC.el(tag, className);
    made.append(...inner.filter((part) => part !== null && part !== ""));
    return made;
  }
  function button(className, data, ...inner) {
    const made = el("button", className, ...inner);
    made.type = "button";
    Object.assign(made.dataset, data);
    return made;
  }
  function drawFigures(figures) {
    at("#quarantine-reasons").replaceChildren(...(figures.reasons || []).map((one) => {
      const bars = el("span", "bars", ...one.bars.map((height) => { const bar = el("i"); bar.style.height = `${height}%`; return bar; }));
      bars.setAttribute("aria-hidden", "true");
      const made = button(`reason${one.on ? " on" : ""}`, { reason: one.key }, el("span", "reason-name", one.name), el("strong", "figure", one.count), bars);
      made.title = one.title;
      made.setAttribute("aria-pressed", String(one.on));
      return made;
    }), ...(figures.none ? [el("div", "reasons-none muted", figures.none)] : []));
    at("#quarantine-places").replaceChildren(...(figures.places || []).map((one) => {
      const share = el("i");
      share.style.width = `${one.share}%`;
      const made = button(`place${one.on ? " on" : ""}`, { place: one.place }, el("span", "place-name", one.name), el("span", "place-count figure", one.count), share);
      made.title = one.name;
      made.setAttribute("aria-pressed", String(one.on));
      return made;
    }));
  }
  function drawRows(now) {
    page = now;
    at("[data-quarantine=first]").disabled = now.first !== false;
    at("[data-quarantine=older]").disabled = !now.more;
    const place = at("#quarantine-rows");
    at("[data-quarantine=all]").disabled = !(now.rows && now.rows.length);
    if (!now.rows) return place.replaceChildren();
    if (!now.rows.length) {
      return place.replaceChildren(el("div", "empty", el("div", "empty-mark", "✓"), el("p", "", t("Nothing lies in quarantine for what was asked")), el("p", "muted", t("A longer span or fewer filters may show more."))));
    }
    const head = el("tr", "", ...[t("Received"), t("Reason"), t("Device or topic"), t("What was wrong"), ""].map((name) => el("th", "", name)));
    const body = el("tbody", "", ...now.rows.map((one) => {
      const where = el("td", "where", el("span", "mono", one.place), one.name ? el("small", "muted", one.name) : null);
      where.title = one.topic;
      const detail = el("td", "detail", el("span", "", one.detail));
      detail.title = one.raw;
      const row = el("tr", "", el("td", "when", one.time), el("td", "", one.reason), where, detail, el("td", "end", one.state ? el("span", `pill outcome-${one.state}`, t(`outcome:${one.state}`)) : null));
      row.dataset.message = one.key;
      row.tabIndex = 0;
      return row;
    }));
    place.replaceChildren(el("table", "table messages", el("thead", "", head), body));
    mark();
  }
  function drawPayload(shown) {
    const place = at("#quarantine-payload"), name = `${shown.key} ${shown.view}`;
    // It stays where it was scrolled to: a payload never changes.
    if (place.dataset.shown === name && place.firstChild) return;
    place.dataset.shown = name;
    if (!shown.view) return place.replaceChildren();
    const views = [["json", "JSON"], ["text", t("Text")], ["hex", t("Hexadecimal")]].map(([view, name]) => {
      const tab = button(`tab${shown.view === view ? " on" : ""}`, { view }, name);
      tab.disabled = view === "json" && !shown.json;
      tab.setAttribute("aria-pressed", String(shown.view === view));
      return tab;
    });
    const load = el("a", "tab", t("Download"));
    load.href = `/quarantine/payload/${shown.key}`;
    load.download = `quarantine-${shown.id}.bin`;
    const tabs = el("div", "payload-tabs", el("div", "tabs", ...views), button("tab", { quarantine: "copy" }, t("Copy")), load);
    let payload;
    if (shown.view === "empty") payload = el("p", "muted payload-empty", t("The payload is empty"));
    else if (shown.view === "json") payload = el("div", "payload payload-json", ...shown.lines.map(line));
    else payload = el("pre", `payload payload-${shown.view}`, shown.text);
    if (shown.more) payload.append(el("div", "muted payload-more", t("… more: download it to see all")));
    payload.tabIndex = 0;
    place.replaceChildren(tabs, payload);
  }
  function line([depth, key, text, marked]) {
    const made = el("div", `json-line${marked ? " marked" : ""}`, key ? el("span", "json-key", key) : null, key ? ": " : null, text);
    made.style.paddingLeft = `${0.6 + depth * 1.1}rem`;
    return made;
  }
  function drawMappings(mappings) {
    const place = at("#mapping-list");
    if (!mappings.length) return place.replaceChildren(el("div", "empty small", el("p", "", t("There are no mappings yet")), el("p", "muted", t("Choose a message and build one from it, or listen to a topic to see what comes there."))));
    place.replaceChildren(el("div", "mappings", ...mappings.map((one) => {
      const { id, enabled } = one.mapping;
      const made = el("div", `mapping${enabled ? "" : " off"}`,
        el("div", "mapping-name", el("strong", "", one.name), one.supplements ? el("span", "pill", t("adds to {dialect}", { dialect: one.supplements })) : null, enabled ? null : el("span", "pill", t("disabled"))),
        el("code", "mono", one.filter), el("div", "mapping-what", one.what), el("div", "muted small", one.changed),
        el("div", "mapping-acts", button("button", { edit: id }, t("Edit")), button("button", { switch: id, enabled: enabled ? "" : "1" }, enabled ? t("Disable") : t("Enable"))));
      return made;
    })));
  }

  function fresh() {
    slow = 0;
    set("quarantine-changed", ++rounds);
  }
  function acted() {
    set("quarantine-acted", ++rounds);
    fresh();
  }
  IOC.quarantine = {
    acted,
    mode,
    chosen: () => chosen,
  };

  // --- acts ------------------------------------------------------------------------------------------------------------
  async function act(what, wish, said) {
    try {
      if (!IOC.operator()) return;
      await IOC.act(what, wish);
      IOC.toast(said);
    } catch (error) {
      IOC.toast(error.message, true);
    }
    acted();
  }
  const acts = {
    first: () => set("quarantine-after", {}),
    older: () => page.more && (set("quarantine-after", { of: wanted, key: page.more }), (root.querySelector("#quarantine-rows").scrollTop = 0)),
    replay: () => chosen && act("replay", { messages: [chosen] }, t("It is decoded again")),
    all: async () => {
      const count = root.querySelector("#quarantine-count").textContent;
      const sure = await IOC.desk.ask(t("Replay {what}?", { what: count }), [], t("Replay"), t("They are decoded again with today's dialects and mappings, at the times they came. What cannot be stored stays here. At most 100,000 at once."));
      if (sure) act("replay", { filter: wanted }, t("They are decoded again in the background"));
    },
    map: () => chosen && IOC.mapping.open(null, chosen),
    listen: () => IOC.mapping.open(null, ""),
    copy: async () => {
      const shown = root.querySelector("#quarantine-payload .payload");
      if (!shown) return;
      const text = shown.classList.contains("payload-json") ? Array.from(shown.querySelectorAll(".json-line"), (one) => one.textContent).join("\n") : shown.textContent;
      try {
        await copy(text);
        IOC.toast(t("Copied"));
      } catch {
        IOC.toast(t("The browser does not let us copy"), true);
      }
    },
  };
  async function copy(text) {
    // Without TLS browsers have no clipboard for scripts; the old way still works there.
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const field = IOC.el("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    if (!done) throw new Error();
  }

  function click(event) {
    const near = (selector) => event.target.closest(selector);
    const row = near("[data-message]"), reason = near("[data-reason]"), place = near("[data-place]"), span = near("[data-span]");
    const pressed = near("[data-quarantine]"), tab = near("[data-mode-of]"), view = near("[data-view]");
    const edit = near("[data-edit]"), change = near("[data-switch]"), stop = near("[data-stop]");
    if (row) choose(row.dataset.message);
    else if (reason) set("quarantine-reason", wanted && wanted.reason === reason.dataset.reason ? "" : reason.dataset.reason);
    else if (place) IOC.desk.set("quarantine-text", { value: wanted && wanted.text === place.dataset.place ? "" : place.dataset.place });
    else if (span) set("quarantine-span", span.dataset.span);
    else if (tab) mode(tab.dataset.modeOf);
    else if (view) set("quarantine-view", view.dataset.view);
    else if (edit) IOC.mapping.open(brought.mappings.find((one) => one.mapping.id === Number(edit.dataset.edit)).mapping, "");
    else if (change) act("mapping_switch", { mapping: Number(change.dataset.switch), enabled: change.dataset.enabled === "1" }, t("Written to the log"));
    else if (stop) act("replay_stop", { replay: Number(stop.dataset.stop) }, t("Written to the log"));
    else if (pressed && acts[pressed.dataset.quarantine]) acts[pressed.dataset.quarantine]();
  }
  function press(event) {
    if (event.key === "Enter" && event.target.matches("[data-message]")) choose(event.target.dataset.message);
  }

  IOC.pages = IOC.pages || [];
  IOC.pages.push({
    name: "quarantine",
    mount(made) {
      root = made;
      chosen = made.dataset.chosen || "";
      rounds = Date.now();
      rejected = IOC.city.rejected;
      ran = false;
      ring = IOC.desk.bell(FRESH_MS, fresh);
      root.addEventListener("click", click);
      root.addEventListener("keydown", press);
      IOC.keys = IOC.keys || {};
      Object.assign(IOC.keys, { j: () => step(1), k: () => step(-1) });
      mode(made.dataset.mode);
      spans(wanted ? wanted.span : "24 h");
      IOC.mapping.mount(made);
      drawn = {};
      drawAll();
    },
    update(what, city) {
      if (city.rejected !== rejected) {
        rejected = city.rejected;
        ring();
      }
    },
    tick() {
      if (document.hidden) return;
      slow += 1;
      const runs = Boolean(root.querySelector(".replay[data-running='1']"));
      if (runs && slow % RUNNING_S === 0) set("quarantine-replayed", ++rounds);
      // When the last one has ended, what lies here is another.
      if (ran && !runs) acted();
      ran = runs;
      const away = root.querySelector(".away");
      if (slow >= (away ? AWAY_S : SLOW_S)) (away ? acted : fresh)();
    },
    unmount() {
      root.removeEventListener("click", click);
      root.removeEventListener("keydown", press);
      ring.stop();
      for (const key of "jk") delete IOC.keys[key];
      IOC.mapping.unmount();
      root = null;
    },
  });
})();

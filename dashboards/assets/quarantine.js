/* The quarantine page: filters, choosing a message, acting, and asking for fresh figures when the feed says that something came. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  const FRESH_MS = 3000, SLOW_S = 30, RUNNING_S = 2;
  let root = null, chosen = "", rounds = 0, slow = 0, wanted = null, page = {}, rejected = 0, ran = false, ring = null, observer = null;

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
    const all = rows(), at = all.findIndex((row) => row.dataset.message === chosen);
    const next = all[Math.min(all.length - 1, Math.max(0, at + by))];
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
    paged(now) {
      page = now || {};
      if (root) {
        root.querySelector("[data-quarantine=first]").disabled = page.first !== false;
        root.querySelector("[data-quarantine=older]").disabled = !page.more;
        mark();
      }
      return window.dash_clientside.no_update;
    },
  };
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
      const text = shown.classList.contains("payload-json") ? Array.from(shown.querySelectorAll(".json-line"), (line) => line.textContent).join("\n") : shown.textContent;
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
    const at = (selector) => event.target.closest(selector);
    const row = at("[data-message]"), reason = at("[data-reason]"), place = at("[data-place]"), span = at("[data-span]");
    const button = at("[data-quarantine]"), tab = at("[data-mode-of]"), view = at("[data-view]");
    const edit = at("[data-edit]"), change = at("[data-switch]"), stop = at("[data-stop]");
    if (row) choose(row.dataset.message);
    else if (reason) set("quarantine-reason", wanted && wanted.reason === reason.dataset.reason ? "" : reason.dataset.reason);
    else if (place) IOC.desk.set("quarantine-text", { value: wanted && wanted.text === place.dataset.place ? "" : place.dataset.place });
    else if (span) set("quarantine-span", span.dataset.span);
    else if (tab) mode(tab.dataset.modeOf);
    else if (view) set("quarantine-view", view.dataset.view);
    else if (edit) IOC.mapping.open(JSON.parse(edit.closest("[data-mapping]").dataset.mapping), "");
    else if (change) act("mapping_switch", { mapping: Number(change.dataset.switch), enabled: change.dataset.enabled === "1" }, t("Written to the log"));
    else if (stop) act("replay_stop", { replay: Number(stop.dataset.stop) }, t("Written to the log"));
    else if (button && acts[button.dataset.quarantine]) acts[button.dataset.quarantine]();
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
      observer = new MutationObserver(mark);
      observer.observe(root.querySelector("#quarantine-rows"), { childList: true });
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
      if (slow >= SLOW_S) fresh();
    },
    unmount() {
      root.removeEventListener("click", click);
      root.removeEventListener("keydown", press);
      observer.disconnect();
      ring.stop();
      for (const key of "jk") delete IOC.keys[key];
      IOC.mapping.unmount();
      root = null;
    },
  });
})();

/* The incidents page: choosing, acting, and asking for fresh rows when the feed says that something changed. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  const FRESH_MS = 1000, SLOW_S = 30;
  let root = null, chosen = 0, byHand = false, rounds = 0, slow = 0, observer = null, ring = null;

  const t = (message, values) => IOC.t(message, values);
  const rows = () => Array.from(root.querySelectorAll(".incident-row"));
  const facts = () => {
    const pane = root.querySelector("#incident-file");
    return pane ? pane.dataset.state : "none";
  };

  function choose(id, address = true) {
    chosen = id;
    mark();
    IOC.desk.set("incident-alarm", { data: 0 });
    IOC.desk.set("incident-chosen", { data: id });
    if (address) { byHand = true; IOC.desk.address(id); }
  }
  function mark() {
    for (const row of rows()) {
      const here = Number(row.dataset.incident) === chosen;
      row.classList.toggle("here", here);
      row.setAttribute("aria-current", here ? "true" : "false");
    }
  }
  /** After the list was drawn: keep what is chosen; with nothing chosen, show the most urgent. */
  function settle() {
    if (!chosen) {
      const first = rows()[0];
      if (first && matchMedia("(min-width: 900px)").matches) choose(Number(first.dataset.incident), false);
    } else mark();
    IOC.desk.count(root);
  }
  function step(by) {
    const all = rows(), at = all.findIndex((row) => Number(row.dataset.incident) === chosen);
    const next = all[Math.min(all.length - 1, Math.max(0, at + by))];
    if (!next) return;
    choose(Number(next.dataset.incident));
    next.scrollIntoView({ block: "nearest" });
  }

  /** The alarms of the chosen incident that are alive, as the feed knows them. */
  const alive = () => Array.from(IOC.city.alarms.values()).filter((alarm) => alarm.incident === chosen && alarm.state !== "suppressed").map((alarm) => alarm.id);

  const acts = {
    acknowledge: async () => ({ incidents: [chosen] }),
    note: async () => {
      const said = await IOC.desk.ask(t("Note for incident #{id}", { id: chosen }), [{ name: "text", label: t("Note"), kind: "area", required: true }], t("Write to the log"));
      return said && { incident: chosen, text: said.text };
    },
    assign: async () => {
      const said = await IOC.desk.ask(t("Assign incident #{id}", { id: chosen }), [{ name: "text", label: t("To whom (person or unit)"), kind: "text", required: true }], t("Assign"));
      return said && { incident: chosen, text: said.text };
    },
    shelve: async () => {
      const alarms = alive();
      if (!alarms.length) throw new Error(t("This incident has no alarm to shelve"));
      const said = await IOC.desk.ask(t("Shelve {n} alarms of incident #{id}", { n: alarms.length, id: chosen }), [
        { name: "minutes", label: t("For how long"), kind: "choice", options: [[15, t("{n} min", { n: 15 })], [30, t("{n} min", { n: 30 })], [60, t("{n} h", { n: 1 })], [240, t("{n} h", { n: 4 })], [480, t("{n} h", { n: 8 })]] },
        { name: "reason", label: t("Reason"), kind: "text", required: true },
      ], t("Shelve"));
      return said && { alarms, minutes: Number(said.minutes), reason: said.reason };
    },
    close: async () => {
      const cleared = facts() === "cleared";
      const said = await IOC.desk.ask(t("Close incident #{id}", { id: chosen }), [
        { name: "reason", label: cleared ? t("Remark (may be left out)") : t("Its condition is not gone. Why close it?"), kind: "area", required: !cleared },
      ], t("Close incident"));
      return said && { incident: chosen, reason: said.reason };
    },
  };
  async function act(what) {
    if (!chosen || !acts[what] || document.querySelector("dialog[open]")) return;
    try {
      if (!IOC.operator()) return;
      const wish = await acts[what]();
      if (!wish) return;
      const said = await IOC.act(what, wish);
      IOC.toast(said.changed ? t("Written to the log") : t("Nothing was left to do"));
    } catch (error) {
      IOC.toast(error.message, true);
    }
    fresh();
  }
  function fresh() {
    slow = 0;
    IOC.desk.set("incidents-changed", { data: ++rounds });
  }
  function click(event) {
    const row = event.target.closest("[data-incident]"), button = event.target.closest("[data-act]"), alarm = event.target.closest("[data-alarm]");
    const original = event.target.closest("[data-original]"), destroy = event.target.closest("[data-destroy]");
    if (row) {
      choose(Number(row.dataset.incident));
      // On a phone the file lies below the list.
      if (matchMedia("(max-width: 900px)").matches) root.querySelector("#incident-file").scrollIntoView();
    }
    else if (button) act(button.dataset.act);
    else if (original) IOC.originals.open(Number(original.dataset.original), fresh);
    else if (destroy) IOC.originals.destroy(Number(destroy.dataset.destroy), fresh);
    else if (alarm) IOC.desk.set("incident-alarm", { data: Number(alarm.dataset.alarm) });
  }

  IOC.pages = IOC.pages || [];
  IOC.pages.push({
    name: "incidents",
    mount(page) {
      root = page;
      chosen = Number(new URL(location.href).searchParams.get("id")) || 0;
      byHand = chosen > 0;
      rounds = Date.now();
      ring = IOC.desk.bell(FRESH_MS, fresh);
      root.addEventListener("click", click);
      IOC.keys = IOC.keys || {};
      Object.assign(IOC.keys, { a: () => act("acknowledge"), s: () => act("shelve"), j: () => step(1), k: () => step(-1) });
      observer = new MutationObserver(settle);
      observer.observe(root.querySelector("#incident-list"), { childList: true, subtree: true });
      settle();
    },
    update(what, city) {
      if (what.incidents || what.alarms) ring();
      if (what.scenes) IOC.desk.pictures(root, city);
    },
    tick() {
      IOC.desk.count(root);
      IOC.desk.pictures(root, IOC.city);
      // Values in the alarm table grow older; a look at them again twice a minute is enough.
      if (++slow >= SLOW_S && !document.hidden) fresh();
    },
    unmount() {
      root.removeEventListener("click", click);
      observer.disconnect();
      ring.stop();
      for (const key of "asjk") delete IOC.keys[key];
      root = null;
    },
  });
})();

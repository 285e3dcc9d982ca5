/* One camera: its picture as it comes, with its age; what is in view; and the bells that have the server look again. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  IOC.camera = IOC.camera || {};
  const t = (message, values) => IOC.t(message, values);
  const LOOK_MS = 150, FILE_S = 5, FIGURES_S = 3, COUNTS_S = 60;
  let root = null, id = "", view = null, looking = 0, rounds = 0, bell = null, waits = {}, colours = {}, said = "";

  const every = { file: [FILE_S, "camera-changed"], figures: [FIGURES_S, "camera-measured"], counts: [COUNTS_S, "camera-counted"] };
  function ask(which) {
    waits[which] = 0;
    IOC.desk.set(every[which][1], { data: ++rounds });
  }
  /** After an act on this camera: what the server says of it is old. */
  IOC.camera.acted = () => ask("file");

  const redis = () => IOC.city.links.some((link) => link.key === "redis" && link.state === "lost");
  const at = () => IOC.device(id);

  /** The picture is renewed when vision has looked at a newer one; where nobody looks, now and then. */
  function look() {
    // What the server has just put in must not stand without its age until the next second.
    if (root) IOC.desk.count(root);
    if (!root || document.hidden || !id || at() === undefined || IOC.silence() > 3 || redis()) return;
    const scene = IOC.city.scenes.get(id), period = IOC.periodOf(at());
    const fresh = scene && IOC.ageOf(scene.time, period) !== "gone";
    const newest = fresh ? scene.time : root.querySelector("#camera-file").dataset.frames ? Math.floor(IOC.now() / 2) * 2 : 0;
    if (newest && String(newest) !== view.dataset.wanted && IOC.camera.load(view, id, newest)) view.dataset.wanted = newest;
  }
  function shown(event) {
    const picture = event.detail;
    root.querySelector(".camera-stage").style.setProperty("--ratio", (picture.naturalWidth / picture.naturalHeight || 16 / 9).toFixed(4));
  }

  function draw() {
    const number = at();
    if (!root || number === undefined) return;
    const city = IOC.city, period = IOC.periodOf(number), scene = city.scenes.get(id);
    const age = IOC.camera.age(view, period), taken = Number(view.dataset.taken || 0);
    const state = IOC.camera.stateOf(number, taken), stage = root.querySelector(".camera-stage");
    stage.dataset.state = state;
    stage.dataset.age = age;
    IOC.text(root.querySelector(".stage-none"), age === "gone" ? (redis() ? t("Redis does not answer: no pictures come. Those that grow old are taken away.") : IOC.health(number) === "offline" ? t("The camera is offline") : t("No picture")) : "");
    now(number, state, taken);
    const counts = age !== "gone" && scene && IOC.ageOf(scene.time, period) !== "gone" ? scene.counts : null;
    const key = JSON.stringify(counts);
    if (key !== said) { said = key; inView(counts); }
  }
  let marks = "";
  function now(number, state, taken) {
    const box = root.querySelector("#camera-now"), alarms = IOC.camera.alarmsOf(id), name = IOC.camera.stateName(state, id), key = JSON.stringify([name, alarms.map((alarm) => [alarm.id, alarm.state])]);
    if (key !== marks) {
      marks = key;
      const line = IOC.el("div", "now-state"), list = IOC.el("div", "now-alarms");
      line.append(IOC.el("i", `health h-${IOC.camera.MARKS[state]}`), IOC.el("strong", "", name), IOC.el("span", "now-age muted"));
      for (const alarm of alarms.slice(0, 4)) {
        const link = IOC.el("a", `now-alarm${IOC.unseen(alarm) && alarm.priority < 3 ? ` unseen-${alarm.priority}` : ""} p${alarm.priority}`);
        link.href = `/incidents?id=${encodeURIComponent(alarm.incident)}`;
        link.append(IOC.prio(alarm.priority, IOC.unseen(alarm) ? "" : "seen"), IOC.words.rules[alarm.rule] || alarm.rule);
        list.append(link);
      }
      box.replaceChildren(line, list);
    }
    IOC.text(box.querySelector(".now-age"), taken ? t("{age} ago", { age: IOC.desk.span(IOC.now() - taken) }) : "");
  }
  function inView(counts) {
    const list = root.querySelector("#camera-inside");
    const seen = Object.keys(IOC.words.classes).map((label) => [label, counts ? counts[label] || 0 : null]);
    list.replaceChildren(...seen.map(([label, count]) => {
      const row = IOC.el("li", count ? "" : "none"), mark = IOC.el("i", "class-mark");
      mark.style.setProperty("--c", colours[label] || "currentColor");
      row.append(mark, IOC.el("span", "", IOC.words.classes[label]), IOC.el("strong", "", count === null ? "–" : IOC.number(count)));
      return row;
    }));
  }

  IOC.pages = IOC.pages || [];
  IOC.pages.push({
    name: "camera",
    mount(page) {
      root = page;
      id = page.dataset.camera;
      colours = JSON.parse(page.dataset.colours);
      view = page.querySelector(".stage-view");
      said = marks = "";
      rounds = Date.now();
      waits = { file: 0, figures: 0, counts: 0 };
      view.addEventListener("picture", shown);
      bell = IOC.desk.bell(2000, () => ask("file"));
      looking = setInterval(look, LOOK_MS);
      IOC.camera.rules.mount(page, id);
      IOC.camera.budget.mount(page, id);
      draw();
    },
    update(what) {
      if (what.alarms) IOC.camera.alarmsChanged();
      if (what.alarms || what.whole || (what.changed || []).includes(at())) bell();
      if (what.whole || what.scenes || what.alarms || what.health) draw();
    },
    tick() {
      draw();
      IOC.desk.count(root);
      if (document.hidden) return;
      for (const which of Object.keys(every)) if (++waits[which] >= every[which][0]) ask(which);
    },
    unmount() {
      clearInterval(looking);
      bell.stop();
      IOC.camera.rules.unmount();
      IOC.camera.budget.unmount();
      IOC.camera.empty(view);
      root = null;
    },
  });
})();

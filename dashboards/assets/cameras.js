/* Camera tiles: those with fresh pictures take turns; pictures are asked for only when vision has seen a newer one. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  IOC.pages = IOC.pages || [];
  const TURN_S = 12, PERIOD_S = 10;
  let root = null, turn = 0, due = 0, shown = [];

  const fresh = (city) => [...city.scenes].filter(([, scene]) => IOC.ageOf(scene.time, PERIOD_S) !== "gone").map(([camera]) => camera).sort();

  /** Cameras of the tiles: the large one moves on every turn, the small ones are those after it. */
  function choose(city, now) {
    const list = fresh(city), tiles = root.querySelectorAll(".camera");
    // While a P1 is open nothing moves away under the operator's eyes.
    const urgent = [...city.alarms.values()].some((alarm) => alarm.priority === 1 && IOC.unseen(alarm));
    // Nor does anything turn while the feed is silent: there would be no picture to turn to.
    if (now > due && !urgent && IOC.silence() < 3) { turn++; due = now + TURN_S; }
    shown = list.length ? Array.from(tiles, (_, at) => (at < list.length ? list[(turn + at) % list.length] : null)) : [];
    root.querySelector(".camera-panel").classList.toggle("cameras-none", !list.length);
    return list;
  }
  function draw(now) {
    if (!root) return;
    const city = IOC.city, list = choose(city, now), tiles = root.querySelectorAll(".camera");
    const all = city.kind.reduce((sum, kind, at) => sum + (kind === "camera" && city.health[at] !== 6), 0);
    const untrue = list.filter(IOC.untrue).length, few = IOC.t("{n} of {all} with pictures", { n: IOC.number(list.length), all: IOC.number(all) });
    IOC.text(document.getElementById("camera-summary"), untrue ? `${few} · ${IOC.t("{n} not to be trusted", { n: IOC.number(untrue) })}` : few);
    if (!list.length) IOC.text(document.getElementById("cameras-empty"), IOC.t("No camera sends pictures that vision has looked at"));
    tiles.forEach((tile, at) => fill(tile, shown[at], city, now, at));
  }
  /** A tile shows its camera until the picture of the next one is whole, so that it never flickers or stands empty. */
  function fill(tile, wanted, city, now, at) {
    if (!wanted) { tile.dataset.camera = tile.dataset.asked = ""; tile.classList.remove("on", "untrue"); return; }
    const next = city.scenes.get(wanted), asked = `${wanted} ${next.time}`;
    // The large picture follows its camera; the small ones are refreshed more slowly.
    const turned = !tile.dataset.asked || !tile.dataset.asked.startsWith(`${wanted} `);
    if (tile.dataset.asked !== asked && (turned || now - Number(tile.dataset.at || 0) > (at ? 3 : .8))) {
      tile.dataset.asked = asked;
      tile.dataset.at = now;
      load(tile, wanted, next.time);
    }
    const camera = tile.dataset.camera, scene = city.scenes.get(camera);
    tile.classList.toggle("on", Boolean(scene));
    if (!scene) return tile.classList.remove("untrue");
    const number = IOC.device(camera), [, caption, mark, untrue] = tile.children, [name, counts, age] = caption.children;
    tile.dataset.age = IOC.ageOf(scene.time, PERIOD_S);
    IOC.text(untrue, IOC.untrue(camera));
    tile.classList.toggle("untrue", Boolean(untrue.textContent));
    IOC.text(name, number === undefined ? camera : city.name[number]);
    IOC.text(age, IOC.since(now - scene.time));
    const seen = Object.entries(scene.counts).filter(([, count]) => count > 0);
    IOC.text(counts, seen.length ? seen.map(([label, count]) => `${IOC.words.classes[label] || label} ${IOC.number(count)}`).join("  ·  ") : IOC.t("nothing in view"));
    const recorded = number !== undefined && city.footage[number];
    mark.hidden = !recorded;
    IOC.text(mark, recorded ? IOC.t("recorded footage") : "");
  }
  function load(tile, camera, time) {
    const next = new Image();
    next.onload = () => {
      if (!tile.dataset.asked.startsWith(`${camera} `)) return;
      const picture = tile.firstElementChild;
      picture.src = next.src;
      picture.alt = camera;
      tile.dataset.camera = camera;
      if (root) draw(IOC.now());
    };
    next.src = `/camera/${encodeURIComponent(camera)}.jpg?t=${time}`;
  }
  IOC.pages.push({
    name: "wall",
    mount(element) { root = element; due = 0; },
    unmount() { root = null; },
    update(what) { if (what.scenes) draw(IOC.now()); },
    tick(now) { draw(now); },
  });
})();

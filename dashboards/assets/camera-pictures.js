/* Pictures of cameras with the time they were taken: asked for a few at a time, put in whole, and taken away when they are old. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  const AT_ONCE = 6, PATIENCE_MS = 8000;
  let asking = 0;
  const camera = (IOC.camera = IOC.camera || {});

  /** Worst first. */
  camera.STATES = ["fault", "offline", "silent", "late", "unwatched", "unknown", "live", "maintenance"];
  camera.MARKS = { fault: "untrue", offline: "offline", silent: "silent", late: "late", unwatched: "late", unknown: "unknown", live: "online", maintenance: "maintenance" };
  camera.stateName = (state, id) => (state === "fault" && id && IOC.untrue(id)) || IOC.t(`camera:${state}`);

  /** When the newest picture of a camera was taken that is known of; 0 = none. `frame` is the server's word of frames nobody looked at. */
  camera.newest = (id, frame) => Math.max(IOC.city.scenes.get(id)?.time || 0, frame || 0);

  /** How a camera is: what it says of itself, then what its pictures say. */
  camera.stateOf = function (at, frame) {
    const city = IOC.city, id = city.id[at], health = IOC.health(at), period = IOC.periodOf(at);
    if (health === "maintenance") return "maintenance";
    if (health === "offline") return "offline";
    const newest = camera.newest(id, frame);
    // One whose dialect brings no pictures has lost none by sending none.
    if (!newest) return health === "silent" || (city.pictured[at] && health !== "unknown") ? "silent" : "unknown";
    const age = IOC.ageOf(newest, period);
    if (age === "gone") return "silent";
    if (IOC.untrue(id)) return "fault";
    if (age === "late") return "late";
    return IOC.ageOf(city.scenes.get(id)?.time || 0, period) === "gone" ? "unwatched" : "live";
  };
  /** The alarms of a camera that are alive, those that ask for somebody first. */
  camera.alarmsOf = (id) => byCamera().get(id) || [];
  let known = null, sorted = new Map();
  function byCamera() {
    if (known === IOC.city.alarmsSeen) return sorted;
    known = IOC.city.alarmsSeen;
    sorted = new Map();
    for (const alarm of IOC.city.alarms.values()) {
      if (alarm.state === "suppressed" || alarm.state === "out_of_service") continue;
      if (!sorted.has(alarm.device)) sorted.set(alarm.device, []);
      sorted.get(alarm.device).push(alarm);
    }
    const rank = (alarm) => (IOC.unseen(alarm) ? 0 : 10) + alarm.priority;
    for (const list of sorted.values()) list.sort((one, other) => rank(one) - rank(other) || one.opened - other.opened);
    return sorted;
  }
  /** The feed has said something of alarms. */
  camera.alarmsChanged = () => { IOC.city.alarmsSeen = {}; };

  /** What is in view, in words. */
  camera.counts = function (counts) {
    const seen = Object.entries(counts || {}).filter(([, count]) => count > 0);
    return seen.length ? seen.map(([label, count]) => `${IOC.words.classes[label] || label} ${IOC.number(count)}`).join("  ·  ") : IOC.t("nothing in view");
  };

  /**
   * Ask for a camera's newest picture and put it into `view` in the place of the one before, once it is whole. The view keeps the
   * time the picture was taken, by the server's word, in `dataset.taken`. Returns false when too much is asked for already.
   */
  camera.load = function (view, id, time) {
    if (asking >= AT_ONCE || view.dataset.asking) return false;
    asking++;
    view.dataset.asking = "1";
    view.dataset.for = id;
    fetchInto(view, id, time).catch(() => { delete view.dataset.wanted; }).finally(() => { asking--; delete view.dataset.asking; });
    return true;
  };
  /** A camera's newest picture: an object URL that the caller gives back, and by the server's word when it was taken. */
  camera.picture = async function (id, time) {
    const answer = await fetch(`/camera/${encodeURIComponent(id)}.jpg?t=${time}`, { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!answer.ok) throw new Error(`picture: ${answer.status}`);
    const { headers } = answer;
    return { url: URL.createObjectURL(await answer.blob()), taken: Date.parse(headers.get("X-Picture-Time")) / 1000, annotated: headers.get("X-Annotated") };
  };
  async function fetchInto(view, id, time) {
    const { url, taken, annotated } = await camera.picture(id, time), next = new Image();
    next.className = "camera-live";
    next.alt = "";
    next.src = url;
    try { await next.decode(); } catch { URL.revokeObjectURL(url); return; }
    if (view.dataset.for !== id || !view.isConnected) return URL.revokeObjectURL(url);
    const before = view.querySelector(".camera-live");
    if (before) { before.replaceWith(next); URL.revokeObjectURL(before.src); }
    else view.prepend(next);
    view.dataset.taken = taken;
    view.dataset.annotated = annotated;
    view.dispatchEvent(new CustomEvent("picture", { detail: next }));
  }
  /** Mark a view by the age of the picture in it, and take the picture away when it is gone. Returns fresh, late or gone. */
  camera.age = function (view, period) {
    const taken = Number(view.dataset.taken || 0), age = IOC.ageOf(taken, period);
    if (view.dataset.age !== age) view.dataset.age = age;
    if (age === "gone" && taken) camera.empty(view);
    return age;
  };
  camera.empty = function (view) {
    const old = view.querySelector(".camera-live");
    if (old) { URL.revokeObjectURL(old.src); old.remove(); }
    delete view.dataset.taken;
  };
})();

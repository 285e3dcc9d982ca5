/* The live part of the map: every device on one canvas, drawn in batches of one shape and one look; alarms on a second canvas.
 * Wards and roads are Leaflet's (drawn once); this file only listens to the map it makes. Built for 100,000 devices: positions
 * are projected once, a redraw is one pass, and nothing is drawn unless something changed. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  IOC.pages = IOC.pages || [];
  const BULK = ["streetlight"]; // too many for a shape of their own: dots
  const ORDER = ["streetlight", "waste_bin", "cabinet", "camera", "traffic_detector", "rain_gauge", "air_station", "flood_gauge", "tide_gauge"];
  // Outlines in a box from -1 to 1. Grey and small: a device that is well is only a place.
  const SHAPE = {
    camera: "M-1 -.6H.4V.6H-1Z M.5 -.1 1 -.55V.55L.5 .1Z",
    traffic_detector: "M-.9 -.9H-.5V.9H-.9Z M-.2 -.35H.2V.9H-.2Z M.5 -.65H.9V.9H.5Z",
    cabinet: "M-.7 -.9H.7V.9H-.7Z",
    air_station: "M0 -.9A.9 .9 0 1 1 0 .9A.9 .9 0 1 1 0 -.9Z M0 -.35A.35 .35 0 1 0 0 .35A.35 .35 0 1 0 0 -.35Z",
    flood_gauge: "M0 -1C.55 -.3 .8 .05 .8 .4A.8 .75 0 0 1 -.8 .4C-.8 .05 -.55 -.3 0 -1Z",
    rain_gauge: "M-.8 -.8H.8L.25 0V.9H-.25V0Z",
    waste_bin: "M-.75 -.6H.75L.55 .95H-.55Z M-.9 -.95H.9V-.75H-.9Z",
    tide_gauge: "M-1 -.5C-.5 -1 -.3 -1 0 -.5S.5 0 1 -.5V0C.5 .5 .3 .5 0 0S-.5 -.5 -1 0Z M-1 .4C-.5 -.1 -.3 -.1 0 .4S.5 .9 1 .4V.9C.5 1.400 .3 1.400 0 .9S-.5 .4 -1 .9Z",
  };
  const paths = Object.fromEntries(Object.entries(SHAPE).map(([kind, d]) => [kind, new Path2D(d)]));
  let map = null, frame = null, base = null, over = null, dirty = true, overDirty = true, moved = false, touched = 0;
  let x = new Float64Array(0), y = new Float64Array(0), colours = null;

  if (window.L) L.Map.addInitHook(function () { attach(this); });

  function attach(made) {
    map = made;
    const pane = map.createPane("live");
    pane.style.zIndex = 450;
    base = canvas(pane);
    over = canvas(pane);
    map.on("move zoom viewreset resize moveend zoomend", () => { dirty = overDirty = true; });
    map.on("dragstart", () => setMoved(true));
    map.getContainer().addEventListener("wheel", () => setMoved(true), { passive: true });
    map.on("mousemove", tip);
    map.on("mouseout", () => { const box = document.getElementById("map-tip"); if (box) box.style.display = "none"; });
    map.on("layeradd", () => { overDirty = true; });
    new ResizeObserver(() => { if (!made.getPane("mapPane")) return; map.invalidateSize({ animate: false }); if (!moved) fit(); dirty = overDirty = true; }).observe(map.getContainer());
    requestAnimationFrame(fit);
    colours = null;
  }
  function canvas(pane) {
    const made = document.createElement("canvas");
    pane.append(made);
    return made;
  }
  function setMoved(is) {
    moved = is;
    touched = performance.now();
    frame && frame.classList.toggle("moved", is);
  }
  function fit() {
    const box = IOC.words.extent; // west, south, east, north
    if (!map || !map.getContainer().isConnected) return;
    const width = map.getSize().x;
    map.fitBounds([[box[1], box[0]], [box[3], box[2]]], { animate: false, paddingTopLeft: [width * .02, width * .02], paddingBottomRight: [width * .02, width * .02] });
    setMoved(false);
  }
  function tokens() {
    const style = getComputedStyle(document.documentElement), get = (name) => style.getPropertyValue(name).trim();
    const found = {};
    for (const name of ["bg", "ward", "text", "muted", "faint", "calm", "calm-2", "lamp", "fault", "p1", "p2", "p3", "ink", "line-strong", "raised"]) found[name] = get(`--${name}`);
    found.light = document.documentElement.dataset.theme === "light";
    return found;
  }
  IOC.themeChanged = () => { colours = null; dirty = overDirty = true; };

  // --- positions: Mercator at zoom 0, once per device -------------------------------------------------------------------
  function place(city) {
    const count = city.id.length;
    x = new Float64Array(count);
    y = new Float64Array(count);
    for (let at = 0; at < count; at++) {
      if (city.lat[at] === null) { x[at] = NaN; continue; }
      const point = map.options.crs.latLngToPoint(L.latLng(city.lat[at], city.lon[at]), 0);
      x[at] = point.x;
      y[at] = point.y;
    }
  }
  /** Screen transform of the moment: device number → pixel of the canvas. */
  function view() {
    const scale = Math.pow(2, map.getZoom()), origin = map.getPixelBounds().min;
    return { scale, left: origin.x, top: origin.y };
  }
  function ready(target) {
    const size = map.getSize(), ratio = window.devicePixelRatio || 1;
    if (target.width !== Math.round(size.x * ratio) || target.height !== Math.round(size.y * ratio)) {
      target.width = Math.round(size.x * ratio);
      target.height = Math.round(size.y * ratio);
      target.style.width = `${size.x}px`;
      target.style.height = `${size.y}px`;
    }
    L.DomUtil.setPosition(target, map.containerPointToLayerPoint([0, 0]));
    const pen = target.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, size.x, size.y);
    return { pen, size };
  }
  const small = matchMedia("(max-width: 900px)");
  const unit = () => (small.matches ? 11 : Math.min(innerWidth / 100, innerHeight / 100 * 1.7778));

  // --- devices ----------------------------------------------------------------------------------------------------------
  function draw() {
    const city = IOC.city, { pen, size } = ready(base), v = view(), u = unit();
    const zoomed = Math.max(1, Math.min(2.2, Math.pow(1.25, map.getZoom() - map.getBoundsZoom(bounds()))));
    const groups = new Map();
    for (let at = 0; at < x.length; at++) {
      const health = city.health[at];
      if (health === 6 || !(x[at] >= 0)) continue;
      const left = x[at] * v.scale - v.left, top = y[at] * v.scale - v.top;
      if (left < -20 || top < -20 || left > size.x + 20 || top > size.y + 20) continue;
      const kind = city.kind[at];
      const look = BULK.includes(kind) && health === 1 ? (city.value[at] === 0 ? "off" : "lit") : health;
      const key = `${kind}/${look}`;
      let group = groups.get(key);
      if (!group) groups.set(key, (group = { kind, look, points: [] }));
      group.points.push(left, top);
    }
    const rank = (group) => ORDER.indexOf(group.kind) * 10 + (typeof group.look === "number" ? group.look : 0);
    const all = [...groups.values()].sort((a, b) => rank(a) - rank(b));
    if (!picture || picture.width !== base.width || picture.height !== base.height) picture = pen.createImageData(base.width, base.height);
    else picture.data.fill(0);
    for (const group of all) if (BULK.includes(group.kind)) dots(group, u * zoomed);
    pen.putImageData(picture, 0, 0);
    for (const group of all) if (!BULK.includes(group.kind)) shapes(pen, group, u * zoomed);
  }
  // Lamps are stamped into a picture of our own: 100,000 strokes would keep a machine without a graphics card busy for seconds.
  let picture = null;
  function stamp(points, rgb, core, reach, glow) {
    const { width, height, data } = picture, ratio = window.devicePixelRatio || 1, [red, green, blue] = rgb;
    const radius = Math.max(1, Math.ceil(Math.max(core, reach) * ratio)), side = 2 * radius + 1, weight = new Float32Array(side * side);
    for (let j = 0; j < side; j++) {
      for (let i = 0; i < side; i++) {
        const dx = Math.abs(i - radius), dy = Math.abs(j - radius), inside = Math.max(dx, dy) <= core * ratio;
        const far = Math.hypot(dx, dy) / (reach * ratio);
        weight[j * side + i] = inside ? .95 : far < 1 ? glow * (1 - far) * (1 - far) : 0;
      }
    }
    for (let n = 0; n < points.length; n += 2) {
      const left = Math.round(points[n] * ratio) - radius, top = Math.round(points[n + 1] * ratio) - radius;
      if (left < 0 || top < 0 || left + side > width || top + side > height) continue;
      for (let j = 0; j < side; j++) {
        let at = ((top + j) * width + left) * 4;
        for (let i = 0, k = j * side; i < side; i++, k++, at += 4) {
          const over = weight[k];
          if (!over) continue;
          const under = data[at + 3] / 255 * (1 - over), alpha = over + under;
          data[at] = (red * over + data[at] * under) / alpha;
          data[at + 1] = (green * over + data[at + 1] * under) / alpha;
          data[at + 2] = (blue * over + data[at + 2] * under) / alpha;
          data[at + 3] = alpha * 255;
        }
      }
    }
  }
  const rgb = (colour) => { const digits = parseInt(colour.slice(1), 16); return [digits >> 16, (digits >> 8) & 255, digits & 255]; };
  function dots(group, u) {
    const c = colours;
    // The glow of lamps that stand close together makes the road itself shine.
    const crowd = Math.min(1, 12000 / group.points.length); // two numbers a point: from 6,000 lamps on they grow finer
    if (group.look === "lit") stamp(group.points, rgb(c.lamp), .07 * u * Math.max(.5, Math.sqrt(crowd)), .34 * u, (c.light ? .16 : .22) * crowd);
    else if (group.look === "off") stamp(group.points, rgb(c.calm), .05 * u, 0, 0);
    else if (group.look === 2 || group.look === 0 || group.look === 5) stamp(group.points, rgb(c.faint), .05 * u, 0, 0);
    else stamp(group.points, rgb(c.fault), .08 * u, 0, 0);
  }
  function shapes(pen, group, u) {
    const path = paths[group.kind] || paths.cabinet, r = (group.kind === "cabinet" || group.kind === "waste_bin" ? .22 : .33) * u, c = colours;
    for (let i = 0; i < group.points.length; i += 2) {
      pen.save();
      pen.translate(group.points[i], group.points[i + 1]);
      pen.scale(r, r);
      paint(pen, path, group.look, c, r);
      pen.restore();
    }
  }
  /** One mark in the look of a health: filled when well, outlined when not heard, in the fault colour when gone. */
  function paint(pen, path, look, c, r) {
    pen.lineJoin = "round";
    pen.strokeStyle = c.ward;
    pen.lineWidth = Math.min(.9, 3.2 / r);
    pen.stroke(path);
    if (look === 1) { pen.fillStyle = c.calm; pen.fill(path, "evenodd"); return; }
    if (look === 2) { pen.fillStyle = c.calm; pen.globalAlpha = .5; pen.fill(path, "evenodd"); pen.globalAlpha = 1; return; }
    pen.lineWidth = Math.min(.5, 1.3 / r);
    pen.strokeStyle = look === 3 || look === 4 || look === 7 ? c.fault : c.faint;
    pen.fillStyle = c.ward;
    pen.fill(path, "evenodd");
    if (look === 4) pen.globalAlpha = .6;
    pen.stroke(path);
    pen.globalAlpha = 1;
  }

  // --- alarms and names -------------------------------------------------------------------------------------------------
  function drawOver() {
    const city = IOC.city, { pen, size } = ready(over), v = view(), u = unit(), c = colours;
    const css = getComputedStyle(frame), label = parseFloat(getComputedStyle(frame.closest(".page")).fontSize) || 16;
    const worst = new Map();
    for (const incident of city.incidents.values()) {
      if (incident.state === "closed" || incident.active === 0) continue;
      const known = worst.get(incident.ward);
      if (!known || incident.priority < known.priority) worst.set(incident.ward, { priority: incident.priority, seen: incident.state !== "open" });
    }
    // Ward edges say where the worst is; the worst edge lies on top.
    const edges = [];
    map.eachLayer((layer) => {
      const path = layer._path, code = layer.feature && layer.feature.properties && layer.feature.properties.code;
      if (!path || !code) return;
      path.dataset.worst = worst.has(code) ? worst.get(code).priority : "";
      if (worst.has(code)) edges.push([worst.get(code).priority, layer]);
    });
    for (const [, layer] of edges.sort((a, b) => b[0] - a[0])) layer.bringToFront();
    // Alarms close together share a mark with their number; the worst gives its place and shape.
    const near = 2.1 * u, marks = [], placed = [];
    for (const alarm of city.alarms.values()) {
      const at = city.number.get(alarm.device), standing = alarm.state === "unacknowledged", unseen = IOC.unseen(alarm);
      if (!(unseen || alarm.state === "acknowledged") || at === undefined || !(x[at] >= 0)) continue;
      placed.push({ left: x[at] * v.scale - v.left, top: y[at] * v.scale - v.top, device: alarm.device, priority: alarm.priority, standing, unseen,
        rank: alarm.priority * 3 + (standing ? 0 : alarm.state === "acknowledged" ? 1 : 2) });
    }
    for (const alarm of placed.sort((a, b) => a.rank - b.rank)) {
      const mark = marks.find((other) => Math.abs(other.left - alarm.left) < near && Math.abs(other.top - alarm.top) < near);
      if (mark) mark.devices.add(alarm.device);
      else marks.push({ ...alarm, devices: new Set([alarm.device]) });
    }
    marks.reverse();
    // Names first, then the marks above them.
    const names = [];
    pen.textAlign = "center";
    pen.lineJoin = "round";
    for (const [code, ward] of Object.entries(IOC.words.wards)) {
      const point = map.latLngToContainerPoint([ward.lat, ward.lon]), width = ward.name.length * label * .3;
      // A name gives way to the marks of alarms, and to names that stand already.
      const clear = (by) => marks.every((mark) => Math.abs(mark.left - point.x) > width + 1.4 * u || Math.abs(mark.top - point.y - by * u + .4 * u) > 1.9 * u)
        && names.every((name) => Math.abs(name.x - point.x) > width + name.width || Math.abs(name.y - point.y - by * u) > 1.3 * u);
      const free = [0, 2.6, -2.4, 4.2, -4, 1.3, -1.3].find(clear);
      point.y += (free || 0) * u;
      names.push({ x: point.x, y: point.y, width });
      pen.font = `600 ${label * 1.02}px ${css.fontFamily}`;
      pen.strokeStyle = c.ward;
      pen.lineWidth = label * .28;
      pen.globalAlpha = .85;
      pen.strokeText(ward.name, point.x, point.y);
      pen.globalAlpha = 1;
      pen.fillStyle = worst.has(code) ? c.text : c.muted;
      pen.fillText(ward.name, point.x, point.y);
    }
    for (const mark of marks) drawMark(pen, mark, u, c, css.fontFamily);
    void size;
  }
  function drawMark(pen, mark, u, c, font) {
    const colour = c[`p${mark.priority}`], r = (mark.priority === 1 ? 1.15 : mark.priority === 2 ? 1 : .78) * u;
    pen.save();
    pen.translate(mark.left, mark.top);
    if (mark.standing) {
      pen.fillStyle = colour;
      pen.globalAlpha = .2;
      pen.beginPath();
      pen.arc(0, 0, r * 1.9, 0, 7);
      pen.fill();
      pen.globalAlpha = 1;
    }
    pen.beginPath();
    if (mark.priority === 1) { pen.moveTo(0, -r); pen.lineTo(r * .98, r * .78); pen.lineTo(-r * .98, r * .78); }
    else if (mark.priority === 2) { pen.moveTo(0, -r); pen.lineTo(r, 0); pen.lineTo(0, r); pen.lineTo(-r, 0); }
    else pen.rect(-r * .8, -r * .8, r * 1.6, r * 1.6);
    pen.closePath();
    pen.lineJoin = "round";
    pen.lineWidth = .34 * u;
    pen.strokeStyle = c.ward;
    pen.stroke();
    pen.fillStyle = mark.standing ? colour : c.ward;
    pen.fill();
    pen.lineWidth = .14 * u;
    pen.strokeStyle = colour;
    pen.stroke();
    pen.fillStyle = mark.standing ? c.ink : colour;
    pen.font = `800 ${r * (mark.priority === 1 ? .95 : 1.05)}px ${font}`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(String(mark.priority), 0, r * (mark.priority === 1 ? .28 : .05));
    if (mark.devices.size > 1) {
      pen.font = `700 ${.95 * u}px ${font}`;
      pen.textAlign = "left";
      pen.lineWidth = .3 * u;
      pen.strokeStyle = c.ward;
      const text = `×${mark.devices.size}`;
      pen.strokeText(text, r * 1.1, 0);
      pen.fillStyle = c.text;
      pen.fillText(text, r * 1.1, 0);
    }
    pen.restore();
  }

  // --- legend and tip ---------------------------------------------------------------------------------------------------
  function legend() {
    const box = document.getElementById("map-legend"), city = IOC.city;
    if (!box) return;
    const all = {}, well = {};
    let lit = 0;
    for (let at = 0; at < city.id.length; at++) {
      const kind = city.kind[at], health = city.health[at];
      if (health === 6) continue;
      all[kind] = (all[kind] || 0) + 1;
      if (health === 1 || health === 2) well[kind] = (well[kind] || 0) + 1;
      if (kind === "streetlight" && health === 1 && city.value[at] > 0) lit++;
    }
    const rows = ORDER.filter((kind) => all[kind]);
    if (!rows.length) {
      box.dataset.key = "";
      return box.replaceChildren(IOC.el("span", "", IOC.t("No device has announced itself yet")));
    }
    const key = rows.join();
    if (box.dataset.key !== key || !colours || box.dataset.theme !== String(colours.light)) {
      box.dataset.key = key;
      box.dataset.theme = String(colours && colours.light);
      box.replaceChildren();
      for (const kind of rows) {
        const mark = document.createElement("canvas");
        mark.width = mark.height = 48;
        const pen = mark.getContext("2d");
        pen.translate(24, 24);
        if (BULK.includes(kind)) { pen.fillStyle = colours.lamp; pen.globalAlpha = .25; pen.fillRect(-15, -15, 30, 30); pen.globalAlpha = 1; pen.fillRect(-6, -6, 12, 12); }
        else { pen.scale(17, 17); paint(pen, paths[kind], 1, colours, 17); }
        const row = IOC.el("div"), count = IOC.el("b");
        count.dataset.kind = kind;
        count.append(IOC.el("span"), IOC.el("i"));
        row.append(mark, IOC.el("span", "", IOC.words.kinds[kind] ? IOC.words.kinds[kind].label : kind), count);
        box.append(row);
      }
    }
    for (const count of box.querySelectorAll("b")) {
      const kind = count.dataset.kind, ok = well[kind] || 0;
      IOC.text(count.children[0], IOC.number(ok));
      // The total is news only where some are missing.
      IOC.text(count.children[1], ok === all[kind] ? "" : `/${IOC.number(all[kind])}`);
      count.title = kind === "streetlight" ? IOC.t("{n} lit", { n: IOC.number(lit) }) : "";
    }
  }
  function tip(event) {
    const box = document.getElementById("map-tip");
    if (!box) return;
    const v = view(), at = event.containerPoint, reach = Math.pow(.7 * unit(), 2), city = IOC.city;
    let best = -1, least = reach;
    for (let i = 0; i < x.length; i++) {
      const dx = x[i] * v.scale - v.left - at.x, dy = y[i] * v.scale - v.top - at.y, d = dx * dx + dy * dy;
      if (d < least && city.health[i] !== 6) { least = d; best = i; }
    }
    if (best < 0) { box.style.display = "none"; return; }
    const kind = IOC.words.kinds[city.kind[best]], said = kind && kind.headline && city.value[best] !== null ? IOC.reading(kind.headline, city.value[best]) : null;
    box.replaceChildren(IOC.el("b", "", city.name[best] || city.id[best]));
    const rest = [kind ? kind.label : city.kind[best], said ? `${said.figure} ${said.unit}`.trim() : "", IOC.t(`health:${IOC.health(best)}`)];
    box.append(IOC.el("span", "", rest.filter(Boolean).join(" · ")));
    box.style.display = "block";
    const width = map.getSize().x;
    box.style.left = `${Math.min(at.x + 14, width - box.offsetWidth - 8)}px`;
    box.style.top = `${Math.max(8, at.y - box.offsetHeight - 10)}px`;
  }
  let extent = null;
  function bounds() {
    const box = IOC.words.extent;
    return (extent = extent || L.latLngBounds([[box[1], box[0]], [box[3], box[2]]]));
  }

  // --- the page ---------------------------------------------------------------------------------------------------------
  let running = 0, legendDue = 0;
  function loop() {
    if (!frame || !frame.isConnected) { running = 0; return; }
    running = requestAnimationFrame(loop);
    if (!map || !base || !base.isConnected || !map.getSize().x) return;
    colours = colours || tokens();
    if (dirty) { dirty = false; draw(); }
    if (overDirty) { overDirty = false; drawOver(); }
  }
  IOC.pages.push({
    name: "wall",
    mount(root) {
      frame = root.querySelector(".map-frame");
      colours = null;
      const button = IOC.el("button", "button map-fit", IOC.t("Whole city"));
      button.addEventListener("click", fit);
      frame.append(button);
      if (!running) loop();
    },
    update(what, city) {
      if (!map) return;
      if (what.whole || what.devices) place(city);
      if (what.whole || what.devices || what.health) dirty = true;
      if (what.whole || what.devices || what.alarms || what.incidents) overDirty = true;
    },
    tick(now) {
      colours = colours || tokens();
      if (map && x.length !== IOC.city.id.length) { place(IOC.city); dirty = overDirty = true; }
      if (now > legendDue) { legend(); legendDue = now + 2; }
      // A wall that somebody moved goes back by itself.
      if (moved && performance.now() - touched > 60000) fit();
    },
    unmount() { frame = null; },
  });
})();

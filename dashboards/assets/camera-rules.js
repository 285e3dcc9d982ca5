/* What is drawn on a camera's picture: shown with what it says, drawn with pointer, touch or keys, and kept by the server. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  IOC.camera = IOC.camera || {};
  const t = (message, values) => IOC.t(message, values);
  const SVG = "http://www.w3.org/2000/svg";
  const STEP = 0.005, FAR = 10, NEAR_PX = 14, HISTORY = 100, TWICE_MS = 400;
  const MOST_NAME = 200, MOST_DIGITS = 12;
  let root = null, id = "", svg = null, watch = null, kinds = {}, most = 20, rules = [], heard = 0;
  /** The rule being drawn or edited, and what it was; null when nothing is. */
  let draft = null, base = null, drawing = false, cursor = null, focus = -1, drag = null, pressed = {}, past = [], future = [], busy = false, hovered = 0;

  const clone = (value) => JSON.parse(JSON.stringify(value));
  const clamp = (value) => Math.min(1, Math.max(0, value));
  const round = (value) => Math.round(clamp(value) * 1e5) / 1e5;
  const kindOf = (rule) => kinds[rule.kind];
  const wanted = (shape) => ({ line: [2, 2], zone: [3, most], quad: [4, 4] })[shape];
  const size = () => { const box = svg.getBoundingClientRect(); return { w: box.width || 1, h: box.height || 1 }; };

  // --- drawing -----------------------------------------------------------------------------------------------------------
  function element(tag, attributes, className) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (className) made.setAttribute("class", className);
    return made;
  }
  const px = ([x, y], { w, h }) => [x * w, y * h];
  const path = (points, closed) => points.map(([x, y], at) => `${at ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("") + (closed ? "Z" : "");
  /** The way that counts as forward: from the left of the line to its right. */
  function arrow(a, b, className) {
    const [dx, dy] = [b[0] - a[0], b[1] - a[1]], long = Math.hypot(dx, dy) || 1, rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const [nx, ny] = [-dy / long, dx / long], [mx, my] = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], far = Math.min(2.6 * rem, Math.max(1.4 * rem, long * 0.3)), head = 0.55 * rem;
    const [tx, ty] = [mx + nx * far, my + ny * far], [ux, uy] = [dx / long, dy / long];
    return element("path", { d: `M${mx} ${my}L${tx} ${ty}M${tx - nx * head + ux * head} ${ty - ny * head + uy * head}L${tx} ${ty}L${tx - nx * head - ux * head} ${ty - ny * head - uy * head}` }, className);
  }
  function shape(rule, state) {
    const group = element("g", {}, `rule ${state}`), at = size(), points = rule.points.map((point) => px(point, at)), closed = kindOf(rule).shape !== "line" && state !== "drawing";
    group.dataset.rule = rule.id || "new";
    const d = path(points, closed);
    group.append(element("path", { d }, "rule-under"), element("path", { d }, "rule-line"));
    if (kindOf(rule).shape === "line" && points.length === 2) group.append(arrow(...points, "rule-under"), arrow(...points, "rule-arrow"));
    group.append(element("path", { d }, "rule-grip"));
    return group;
  }
  function named(tag, rule) {
    const made = IOC.el(tag);
    made.append(...(rule.priority ? [IOC.prio(rule.priority)] : []), rule.name);
    return made;
  }
  /** The name of a rule, and what it says, beside its uppermost point. */
  function label(rule) {
    const [x, y] = rule.points.reduce((best, point) => (point[1] < best[1] ? point : best)), made = IOC.el("div", "rule-label"), under = y < 0.09;
    made.classList.toggle("here", hovered === rule.id);
    made.classList.toggle("off", Boolean(rule.off));
    if (rule.priority) made.classList.add("found", `p${rule.priority}`);
    made.append(named("b", rule), ...(rule.value ? [IOC.el("span", "", rule.value)] : []));
    made.style.left = `${(x * 100).toFixed(2)}%`;
    made.style.top = `${(y * 100).toFixed(2)}%`;
    made.dataset.side = `${x > 0.7 ? "left" : "right"} ${under ? "under" : "over"}`;
    return made;
  }
  function handles() {
    const made = [], at = size(), kind = kindOf(draft), points = draft.points;
    if (!drawing && kind.shape === "zone" && points.length < most) {
      points.forEach((point, place) => {
        const next = points[(place + 1) % points.length], [x, y] = px([(point[0] + next[0]) / 2, (point[1] + next[1]) / 2], at);
        const add = element("circle", { cx: x, cy: y, r: 5 }, "handle-add");
        add.dataset.add = place + 1;
        made.push(add);
      });
    }
    points.forEach((point, place) => {
      const [x, y] = px(point, at), group = element("g", { tabindex: 0, role: "button" }, `handle${place === 0 ? " first" : ""}`);
      group.setAttribute("aria-label", t("Point {n}: {x} % from the left, {y} % from the top", { n: place + 1, x: IOC.number(point[0] * 100, 1), y: IOC.number(point[1] * 100, 1) }));
      group.dataset.point = place;
      const number = element("text", { x, y });
      number.textContent = place + 1;
      group.append(element("circle", { cx: x, cy: y, r: 22 }, "handle-reach"), element("circle", { cx: x, cy: y, r: 9 }, "handle-dot"), number);
      made.push(group);
    });
    return made;
  }
  function draw() {
    if (!svg) return;
    const keep = svg.contains(document.activeElement) && document.activeElement !== svg ? document.activeElement.dataset.point : undefined, parts = [];
    for (const rule of rules) if (!draft || rule.id !== draft.id) parts.push(shape(rule, `${draft ? "back" : ""}${rule.off ? " off" : ""}${rule.priority ? ` found p${rule.priority}` : ""}${hovered === rule.id ? " here" : ""}`));
    if (draft) {
      if (draft.points.length) parts.push(shape(draft, drawing ? "drawing" : "editing"));
      if (drawing && cursor && draft.points.length) {
        const at = size();
        parts.push(element("path", { d: path([px(draft.points.at(-1), at), px(cursor, at)], false) }, "rule-rubber"));
      }
      parts.push(...handles());
      if (drawing && cursor && svg === document.activeElement) {
        const [x, y] = px(cursor, size());
        parts.push(element("path", { d: `M${x - 16} ${y}H${x + 16}M${x} ${y - 16}V${y + 16}` }, "rule-cross"));
      }
    }
    svg.replaceChildren(...parts);
    svg.classList.toggle("editing", Boolean(draft));
    const marks = root.querySelector(".stage-marks");
    marks.replaceChildren(...(draft ? [] : rules.map(label)));
    if (keep !== undefined) svg.querySelector(`[data-point="${keep}"]`)?.focus();
    if (focus >= 0) { svg.querySelector(`[data-point="${focus}"]`)?.focus(); focus = -1; }
    hint();
    buttons();
  }
  function hint() {
    const place = root.querySelector("#stage-hint"), kind = draft && kindOf(draft), count = draft ? draft.points.length : 0;
    const words = !draft ? "" : !drawing ? t("Drag points or the whole shape. With keys: Tab to a point, arrows move it (Shift: further), Delete removes it.")
      : kind.shape === "line" ? t("Click where the line begins and where it ends. With keys: arrows move the cross, Enter sets a point.")
        : kind.shape === "quad" ? t("Click the four corners of a rectangle on the ground, one after the other; {n} are left.", { n: 4 - count })
          : count < 3 ? t("Click the corners of the zone, one after the other. With keys: arrows move the cross, Enter sets a point.") : t("Further corners; a click on the first one, or Done, closes the zone.");
    IOC.text(place, words);
  }

  // --- what was done can be taken back ---------------------------------------------------------------------------------------
  const state = () => clone({ points: draft.points, drawing });
  function remember() { past.push(state()); if (past.length > HISTORY) past.shift(); future = []; }
  function step(from, to) {
    if (!draft || !from.length) return;
    to.push(state());
    ({ points: draft.points, drawing } = from.pop());
    draw();
  }
  const undo = () => step(past, future), redo = () => step(future, past);

  // --- points ------------------------------------------------------------------------------------------------------------
  function near(one, other) {
    const at = size(), [ax, ay] = px(one, at), [bx, by] = px(other, at);
    return Math.hypot(ax - bx, ay - by) < NEAR_PX;
  }
  function put(point) {
    const { shape: form } = kindOf(draft), [least, at_most] = wanted(form);
    if (form === "zone" && draft.points.length >= least && near(draft.points[0], point)) return close();
    // The second press of a double click closes a zone, and is no point of its own.
    if (draft.points.length && near(draft.points.at(-1), point)) return form === "zone" ? close() : undefined;
    if (draft.points.length >= at_most) return;
    remember();
    draft.points.push(point.map(round));
    if (form !== "zone" && draft.points.length === at_most) drawing = false;
    draw();
  }
  function close() {
    if (!draft || !drawing || draft.points.length < wanted(kindOf(draft).shape)[0]) return;
    remember();
    drawing = false;
    draw();
    root.querySelector("[name=rule-name]")?.focus();
  }
  function add(place) {
    const before = draft.points[place - 1], after = draft.points[place % draft.points.length];
    remember();
    draft.points.splice(place, 0, [round((before[0] + after[0]) / 2), round((before[1] + after[1]) / 2)]);
  }
  function drop(place) {
    const [least] = wanted(kindOf(draft).shape);
    if (!drawing && draft.points.length <= least) return IOC.toast(t("It needs these points; move them instead"), true);
    remember();
    draft.points.splice(place, 1);
    focus = Math.min(place, draft.points.length - 1);
    draw();
  }
  function shift(points, dx, dy) {
    const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
    const [mx, my] = [Math.min(1 - Math.max(...xs), Math.max(-Math.min(...xs), dx)), Math.min(1 - Math.max(...ys), Math.max(-Math.min(...ys), dy))];
    return points.map(([x, y]) => [round(x + mx), round(y + my)]);
  }

  // --- pointer and touch -------------------------------------------------------------------------------------------------------
  function where(event) {
    const box = svg.getBoundingClientRect();
    return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
  }
  function down(event) {
    if (!draft || event.button) return;
    const point = where(event), handle = event.target.closest("[data-point]"), adder = event.target.closest("[data-add]");
    event.preventDefault();
    svg.setPointerCapture(event.pointerId);
    if (drawing && handle?.dataset.point === "0" && kindOf(draft).shape === "zone" && draft.points.length >= 3) return close();
    if (adder) { add(Number(adder.dataset.add)); drag = { point: Number(adder.dataset.add), from: point, kept: true }; draw(); }
    else if (handle) {
      const place = Number(handle.dataset.point), again = pressed.point === place && event.timeStamp - pressed.time < TWICE_MS;
      pressed = { point: place, time: event.timeStamp };
      // The pointer is ours from the first press on, so that the browser sees no double click on a point.
      if (again && !drawing) { pressed = {}; return drop(place); }
      drag = { point: place, from: point, start: clone(draft.points) };
      handle.focus();
    }
    else if (drawing) {
      svg.focus({ preventScroll: true });
      const before = draft.points.length;
      put(point);
      if (kindOf(draft).shape === "line" && before === 0) drag = { pull: true, from: point };
    } else if (event.target.closest(".rule.editing")) drag = { whole: true, from: point, start: clone(draft.points) };
  }
  function move(event) {
    if (!draft) return;
    const point = where(event);
    cursor = point;
    if (!drag) { if (drawing) draw(); return; }
    const { w, h } = size(), [dx, dy] = [point[0] - drag.from[0], point[1] - drag.from[1]];
    if (!drag.moved && Math.hypot(dx * w, dy * h) < 4) return;
    if (!drag.moved && !drag.kept && !drag.pull) remember();
    drag.moved = true;
    pressed = {};
    if (drag.whole) draft.points = shift(drag.start, dx, dy);
    else if (drag.point !== undefined) draft.points[drag.point] = point.map(round);
    draw();
  }
  function up(event) {
    if (!draft || !drag) return;
    const { pull, moved, from } = drag, { w, h } = size(), point = where(event);
    drag = null;
    // A line is also drawn by pulling it from its beginning to its end.
    if (pull && moved && drawing && Math.hypot((point[0] - from[0]) * w, (point[1] - from[1]) * h) > 2 * NEAR_PX) put(point);
  }
  function pick(event) {
    const group = !draft && event.target.closest("[data-rule]");
    if (group) edit(rules.find((rule) => String(rule.id) === group.dataset.rule));
  }

  // --- keys ------------------------------------------------------------------------------------------------------------
  const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  function key(event) {
    if (!draft || event.altKey || event.metaKey) return;
    const handle = event.target.closest("[data-point]"), way = WAYS[event.key], typing = event.target.closest("input, textarea, select");
    if (event.ctrlKey) {
      if (typing || !["z", "y"].includes(event.key.toLowerCase())) return;
      event.preventDefault();
      return event.key.toLowerCase() === "y" || event.shiftKey ? redo() : undo();
    }
    if (event.key === "Escape" && !document.querySelector("dialog[open]")) { event.preventDefault(); return void leave(); }
    if (typing || !svg.contains(event.target)) return;
    const far = STEP * (event.shiftKey ? FAR : 1);
    if (way && handle) {
      const place = Number(handle.dataset.point), [x, y] = draft.points[place];
      remember();
      draft.points[place] = [round(x + way[0] * far), round(y + way[1] * far)];
    } else if (way && drawing) {
      const [x, y] = cursor || [0.5, 0.5];
      cursor = [clamp(x + way[0] * far), clamp(y + way[1] * far)];
    } else if ((event.key === "Enter" || event.key === " ") && drawing && !handle) {
      put(cursor = cursor || [0.5, 0.5]);
    } else if (event.key === "Enter" && drawing && handle?.dataset.point === "0") {
      close();
    } else if (handle && (event.key === "Delete" || event.key === "Backspace")) {
      drop(Number(handle.dataset.point));
    } else if (handle && event.key === "Insert" && kindOf(draft).shape === "zone" && !drawing && draft.points.length < most) {
      add(Number(handle.dataset.point) + 1);
      focus = Number(handle.dataset.point) + 1;
    } else if (drawing && event.key === "Backspace" && draft.points.length) {
      drop(draft.points.length - 1);
    } else return;
    event.preventDefault();
    draw();
  }

  // --- the form ------------------------------------------------------------------------------------------------------------
  function begin(rule, now) {
    draft = rule;
    base = rule.id ? clone(rule) : null;
    drawing = now;
    past = [];
    future = [];
    drag = null;
    cursor = null;
    form();
    draw();
  }
  function fresh() {
    const [first] = Object.keys(kinds);
    begin({ id: 0, version: 0, kind: first, name: "", points: [], classes: [], settings: {} }, true);
    svg.focus({ preventScroll: true });
  }
  function edit(rule) {
    if (rule) begin(clone({ id: rule.id, version: rule.version, kind: rule.kind, name: rule.name, points: rule.points, classes: rule.classes, settings: rule.settings }), false);
  }
  function shut() {
    draft = base = null;
    drawing = false;
    root.querySelector("#rule-editor").replaceChildren();
    root.querySelector("#camera-rules").dataset.open = "";
    list();
    draw();
  }
  /** What took more than a click is not dropped by one key. */
  async function leave() {
    const mine = draft;
    if (past.length && !(await IOC.desk.ask(t("Drop what was drawn?"), [], t("Drop it")))) return;
    if (draft === mine) shut();
  }
  function field(name, text, input) {
    const made = IOC.el("label", "field", text), fault = IOC.el("small", "fault");
    input.name = `rule-${name}`;
    input.classList.add("input");
    fault.dataset.fault = name;
    fault.id = `fault-rule-${name}`;
    fault.setAttribute("role", "alert");
    input.setAttribute("aria-describedby", fault.id);
    made.append(input, fault);
    return made;
  }
  function form() {
    const box = root.querySelector("#rule-editor"), kind = kindOf(draft), made = IOC.el("form", "rule-form");
    root.querySelector("#camera-rules").dataset.open = "1";
    made.noValidate = true;
    const choice = IOC.el("select"), name = IOC.el("input");
    for (const [key, one] of Object.entries(kinds)) choice.append(new Option(one.label, key));
    choice.value = draft.kind;
    choice.disabled = Boolean(draft.id);
    choice.onchange = () => {
      // Points that the other shape has as well stay where they are.
      const before = kind.shape, after = kinds[choice.value].shape;
      draft.kind = choice.value;
      draft.classes = [];
      draft.settings = {};
      if (before !== after) { draft.points = []; drawing = true; past = []; future = []; }
      form();
      draw();
    };
    name.maxLength = MOST_NAME;
    name.value = draft.name;
    name.placeholder = kind.label;
    name.oninput = () => { draft.name = name.value; };
    made.append(IOC.el("h4", "", draft.id ? t("Edit the rule") : t("New rule")), field("kind", t("Kind"), choice), field("name", t("Name"), name), classes(kind));
    const numbers = IOC.el("div", "rule-settings");
    for (const one of kind.settings) numbers.append(setting(one));
    if (kind.settings.length) made.append(numbers);
    const rates = { n: IOC.number(kind.fps), people: IOC.number(kind.people) };
    const runs = kind.people < kind.fps ? t("Runs from {n} frames/s on, of people alone from {people}.", rates) : t("Runs from {n} frames/s on.", rates);
    made.append(IOC.el("p", "muted small", runs));
    const points = IOC.el("p", "fault points-fault");
    points.dataset.fault = "points";
    points.setAttribute("role", "alert");
    made.append(points, tools(kind), IOC.el("div", "rule-note"), ends());
    made.onsubmit = (event) => { event.preventDefault(); keep(); };
    made.addEventListener("input", (event) => forgive(event.target.name?.slice(5)));
    box.replaceChildren(made);
    root.querySelector("#rule-list").hidden = true;
    buttons();
  }
  function classes(kind) {
    const box = IOC.el("fieldset", "rule-classes"), on = new Set(draft.classes.length ? draft.classes : kind.classes);
    if (kind.choices.length < 2) return document.createDocumentFragment();
    box.append(IOC.el("legend", "", t("Looks at")));
    for (const key of kind.choices) {
      const label = IOC.el("label", "class-choice"), input = IOC.el("input");
      input.type = "checkbox";
      input.checked = on.has(key);
      input.name = "rule-classes";
      input.value = key;
      input.onchange = () => {
        const chosen = [...box.querySelectorAll("input:checked")].map((one) => one.value);
        if (!chosen.length) { input.checked = true; return IOC.toast(t("It has to look at something"), true); }
        draft.classes = chosen.length === kind.classes.length && chosen.every((one) => kind.classes.includes(one)) ? [] : chosen;
      };
      label.append(input, IOC.el("span", "", IOC.words.classes[key] || key));
      box.append(label);
    }
    const fault = IOC.el("small", "fault");
    fault.dataset.fault = "classes";
    box.append(fault);
    return box;
  }
  const decimals = (value) => (Number.isInteger(value) ? 0 : Number.isInteger(value * 10) ? 1 : 2);
  const shownNumber = (value) => (IOC.words.language === "vi" ? String(value).replace(".", ",") : String(value));
  function setting(one) {
    const input = IOC.el("input"), scaled = (value) => Number((value * one.scale).toPrecision(6));
    input.inputMode = "decimal";
    input.maxLength = MOST_DIGITS;
    input.value = shownNumber(scaled(draft.settings[one.key] ?? one.default));
    input.oninput = () => {
      const typed = input.value.trim().replace(",", "."), value = typed === "" ? NaN : Number(typed) / one.scale;
      if (Number.isFinite(value) && Math.abs(value - one.default) < 1e-9) delete draft.settings[one.key];
      else draft.settings[one.key] = value;
    };
    const made = field(one.key, one.label, input), range = IOC.el("span", "unit muted", `${one.unit} (${shownNumber(scaled(one.least))}–${shownNumber(scaled(one.most))})`);
    input.after(range);
    return made;
  }
  function tool(text, act, title = "") {
    const made = IOC.el("button", "button", text);
    made.type = "button";
    made.dataset.tool = act;
    if (title) { made.title = title; made.setAttribute("aria-label", title); }
    return made;
  }
  function tools(kind) {
    const box = IOC.el("div", "rule-tools");
    box.append(tool("↶", "undo", t("Undo (Ctrl+Z)")), tool("↷", "redo", t("Redo (Ctrl+Y)")), tool(t("Draw anew"), "anew"));
    if (kind.shape === "line") box.append(tool(t("Turn the arrow"), "turn"));
    if (kind.shape === "zone") box.append(tool(t("Done"), "close"));
    return box;
  }
  function ends() {
    const box = IOC.el("div", "ask-buttons"), submit = IOC.el("button", "button primary", t("Save"));
    submit.dataset.tool = "save";
    if (draft.id) box.append(tool(t("Remove"), "remove"), IOC.el("span", "grow"));
    box.append(tool(t("Cancel"), "cancel"), submit);
    return box;
  }
  function buttons() {
    if (!draft) return;
    const able = { undo: past.length, redo: future.length, anew: draft.points.length, turn: draft.points.length === 2, close: drawing && draft.points.length >= 3, save: !drawing && !busy, remove: !busy };
    for (const [act, on] of Object.entries(able)) { const button = root.querySelector(`[data-tool="${act}"]`); if (button) button.disabled = !on; }
  }
  const acts = {
    undo, redo, close, cancel: shut, remove: gone,
    turn: () => { remember(); draft.points.reverse(); draw(); },
    anew: () => { remember(); draft.points = []; drawing = true; draw(); svg.focus({ preventScroll: true }); },
  };

  // --- kept by the server ----------------------------------------------------------------------------------------------------
  function forgive(name) {
    const fault = name && root.querySelector(`[data-fault="${CSS.escape(name)}"]`);
    if (fault) IOC.text(fault, "");
  }
  function blame(faults, rest) {
    const known = new Set();
    for (const place of root.querySelectorAll("#rule-editor [data-fault]")) {
      const fault = faults[place.dataset.fault];
      known.add(place.dataset.fault);
      IOC.text(place, fault ? t(`fault:${fault}`) : "");
      root.querySelector(`[name="rule-${CSS.escape(place.dataset.fault)}"]`)?.setAttribute("aria-invalid", String(Boolean(fault)));
    }
    const others = Object.entries(faults).filter(([name]) => !known.has(name)).map(([, fault]) => t(`fault:${fault}`));
    note([...others, rest].filter(Boolean).join(" "));
    root.querySelector("#rule-editor [aria-invalid=true]")?.focus();
  }
  function note(text, ...more) {
    const place = root.querySelector(".rule-note");
    if (!place) return;
    place.replaceChildren(...(text ? [IOC.el("p", "fault", text), ...more] : []));
    place.setAttribute("role", "alert");
  }
  const plain = () => ({ id: draft.id, camera: id, kind: draft.kind, name: draft.name.trim() || kindOf(draft).label, points: draft.points, classes: draft.classes, settings: draft.settings, version: draft.version });
  async function send(act, done) {
    if (busy || !IOC.operator()) return;
    const mine = draft;
    busy = true;
    buttons();
    try {
      await IOC.act(act, { rule: plain() });
      IOC.toast(done);
      if (draft === mine) shut();
      IOC.camera.acted();
    } catch (error) {
      if (draft === mine) {
        const faults = error.faults || {};
        if (faults.rule) { heard = -1; IOC.camera.acted(); }
        blame(faults, Object.keys(faults).length ? "" : error.message);
      }
    }
    busy = false;
    buttons();
  }
  function keep() {
    const wrong = Object.entries(draft.settings).filter(([, value]) => !Number.isFinite(value));
    if (wrong.length) return blame(Object.fromEntries(wrong.map(([name]) => [name, "number"])), "");
    if (!drawing) send("camera_rule", t("Written to the log"));
  }
  async function gone() {
    const sure = await IOC.desk.ask(t("Remove the rule {name}?", { name: base.name }), [], t("Remove"), t("What it counted stays. The log keeps who removed it."));
    if (sure && draft) send("camera_rule_remove", t("Written to the log"));
  }
  /** The rule in the form is not any more what it was when it was opened: whoever edits it is told, and chooses. */
  function compare() {
    if (!draft?.id) return;
    const kept = rules.find((rule) => rule.id === draft.id);
    if (!kept) return note(t("Somebody has removed this rule meanwhile."));
    if (kept.version === draft.version) return;
    const theirs = tool(t("Show theirs"), "theirs"), mine = tool(t("Go on with mine"), "mine");
    theirs.onclick = () => edit(kept);
    mine.onclick = () => { draft.version = kept.version; note(""); };
    const box = IOC.el("div", "rule-tools");
    box.append(theirs, mine);
    note(t("{who} has changed this rule meanwhile, at {time}.", { who: kept.by || "?", time: kept.at }), box);
  }

  // --- the list ------------------------------------------------------------------------------------------------------------
  function list() {
    const box = root.querySelector("#rule-list");
    box.hidden = Boolean(draft);
    if (draft) return;
    if (!rules.length) return box.replaceChildren(IOC.el("p", "muted", t("Nothing is drawn on this picture yet. A line counts what goes over it; a zone what is inside.")));
    box.replaceChildren(...rules.map((rule) => {
      const row = IOC.el("button", `rule-row${rule.off ? " off" : ""}${rule.priority ? ` found p${rule.priority}` : ""}`), words = IOC.el("span", "rule-words");
      row.type = "button";
      row.dataset.edit = rule.id;
      words.append(named("strong", rule), IOC.el("span", "muted", kindOf(rule).label), ...(rule.value ? [IOC.el("span", "rule-value", rule.value)] : []));
      const run = rule.off ? IOC.el("span", "rule-off", t("not run: {why}", { why: rule.off })) : IOC.el("span", "rule-on muted", t("runs"));
      row.append(symbol(kindOf(rule).shape), words, run);
      if (rule.by) row.title = `${rule.by}, ${rule.at}`;
      return row;
    }));
  }
  const SYMBOLS = { line: "M3 17 17 5M9 9l5 6m-4 0h4v-4", zone: "M4 6 13 3l4 8-6 6-8-4Z", quad: "M7 5h6l4 11H3Z" };
  function symbol(form) {
    const made = element("svg", { viewBox: "0 0 20 20" }, "rule-symbol");
    made.append(element("path", { d: SYMBOLS[form] }));
    return made;
  }
  function over(event) {
    const found = event.target.closest("[data-edit], [data-rule]"), next = found ? Number(found.dataset.edit || found.dataset.rule) || 0 : 0;
    if (draft || next === hovered) return;
    hovered = next;
    draw();
  }
  function click(event) {
    const button = event.target.closest("[data-tool]"), row = event.target.closest("[data-edit]");
    if (event.target.closest("[data-rule=new]") && event.target.closest("button")) return draft ? undefined : fresh();
    if (row) return edit(rules.find((rule) => String(rule.id) === row.dataset.edit));
    if (button && acts[button.dataset.tool] && draft) acts[button.dataset.tool]();
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.cameraRules = {
    take(said) {
      if (said && root && said.at !== heard) {
        heard = said.at;
        rules = said.rules;
        list();
        draw();
        compare();
      }
      return window.dash_clientside.no_update;
    },
  };
  const asked = (event) => { if (draft && past.length) event.preventDefault(); };

  IOC.camera.rules = {
    mount(page, camera) {
      root = page;
      id = camera;
      rules = [];
      draft = base = null;
      heard = hovered = 0;
      busy = false;
      ({ kinds, most } = JSON.parse(page.querySelector("#camera-rules").dataset.kinds));
      svg = element("svg", { tabindex: -1, role: "application" }, "rule-overlay");
      svg.setAttribute("aria-label", t("Drawing on the picture"));
      page.querySelector(".stage-drawn").replaceChildren(svg);
      svg.addEventListener("pointerdown", down);
      svg.addEventListener("pointermove", move);
      svg.addEventListener("pointerup", up);
      svg.addEventListener("pointercancel", () => { drag = null; });
      svg.addEventListener("click", pick);
      page.addEventListener("click", click);
      page.addEventListener("pointerover", over);
      document.addEventListener("keydown", key, true);
      addEventListener("beforeunload", asked);
      watch = new ResizeObserver(draw);
      watch.observe(svg);
    },
    unmount() {
      document.removeEventListener("keydown", key, true);
      removeEventListener("beforeunload", asked);
      watch.disconnect();
      root = svg = draft = null;
    },
  };
})();

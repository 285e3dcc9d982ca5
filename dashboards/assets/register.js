/* The form of a device's register entry: a discovered device is adopted, a registered one edited; its place is typed or clicked. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  const t = (message, values) => IOC.t(message, values);
  const STATUSES = ["active", "maintenance", "retired"];
  let card = null, form = null, map = null, pin = null, look = false;

  // The map is Leaflet's, made by the page when it likes; it is met here.
  if (window.L) L.Map.addInitHook(function () {
    if (this.getContainer().id !== "entry-map") return;
    map = this;
    pin = null;
    // Seen once it is shown; every map fits the whole city first.
    new ResizeObserver(() => { if (look && form && map.getSize().x !== 0) { look = false; mark(true); } }).observe(map.getContainer());
    map.on("click", (event) => { if (form) { put("lat", event.latlng.lat.toFixed(6)); put("lon", event.latlng.lng.toFixed(6)); forgive("lat", "lon"); mark(); } });
  });

  const field = (name) => form.elements.namedItem(name);
  const put = (name, value) => { field(name).value = value === null || value === undefined ? "" : value; };
  /** A coordinate as it was typed: with a decimal comma too; NaN when it is none, null when it is empty. */
  const degrees = (name) => { const typed = field(name).value.trim().replace(",", "."); return typed === "" ? null : Number(typed); };

  function mark(near) {
    if (!map) return;
    const lat = degrees("lat"), lon = degrees("lon"), known = Number.isFinite(lat) && Number.isFinite(lon) && lat !== null && lon !== null;
    if (pin) pin.remove();
    pin = known ? L.circleMarker([lat, lon], { radius: parseFloat(getComputedStyle(document.documentElement).fontSize) / 2, className: "pin entry-pin", interactive: false }).addTo(map) : null;
    if (near && known) map.setView([lat, lon], 15, { animate: false });
  }
  function labelled(name, text, input) {
    const label = IOC.el("label", "field", text), fault = IOC.el("small", "fault");
    input.name = name;
    input.classList.add("input");
    fault.id = `fault-${name}`;
    fault.setAttribute("role", "alert");
    input.setAttribute("aria-describedby", fault.id);
    label.append(input, fault);
    return label;
  }
  function choice(options) {
    const made = IOC.el("select");
    for (const [value, name] of options) made.append(new Option(name, value));
    return made;
  }
  /** What a device may stand below: cabinets, and whatever has something below it already. */
  function parents() {
    const city = IOC.city, above = new Set(city.parent.filter(Boolean)), list = IOC.el("datalist");
    list.id = "entry-parents";
    city.id.forEach((id, at) => {
      if (city.kind[at] === "cabinet" || above.has(id)) list.append(Object.assign(new Option(city.name[at], id), { label: `${city.name[at]} · ${id}` }));
    });
    return list;
  }
  function open() {
    const device = JSON.parse(card.dataset.device), fresh = device.status === "new", box = card.querySelector("#entry-form");
    form = IOC.el("form", "entry-fields");
    const kinds = [["", t("Choose a kind")], ...Object.entries(IOC.words.kinds).map(([key, kind]) => [key, kind.label])];
    const name = IOC.el("input"), parent = IOC.el("input"), pair = IOC.el("div", "pair");
    name.maxLength = 200;
    parent.setAttribute("list", "entry-parents");
    pair.append(labelled("lat", t("Latitude"), IOC.el("input")), labelled("lon", t("Longitude"), IOC.el("input")));
    form.append(labelled("name", t("Name"), name), labelled("kind", t("Kind"), choice(kinds)), pair, labelled("parent", t("Stands below (id)"), parent), parents(),
      labelled("status", t("Service"), choice(STATUSES.map((status) => [status, t(`status:${status}`)]))));
    if (device.dialect === "native") form.append(IOC.el("p", "muted", t("This device announces itself; what it announces replaces name, kind and place entered here.")));
    const buttons = IOC.el("div", "ask-buttons"), cancel = IOC.el("button", "button", t("Cancel")), submit = IOC.el("button", "button primary", fresh ? t("Adopt") : t("Save"));
    cancel.type = "button";
    cancel.onclick = shut;
    buttons.append(cancel, submit);
    form.append(IOC.el("p", "fault form-fault"), buttons);
    form.onsubmit = (event) => { event.preventDefault(); send(device, submit); };
    form.oninput = (event) => {
      const pair = ["lat", "lon"].includes(event.target.name);
      forgive(...(pair ? ["lat", "lon"] : [event.target.name]));
      if (pair) mark();
    };
    field("lat").inputMode = field("lon").inputMode = "decimal";
    // A discovered device is called by its id until somebody names it.
    put("name", fresh && device.name === device.id ? "" : device.name);
    for (const key of ["kind", "lat", "lon", "parent"]) put(key, device[key]);
    put("status", fresh ? "active" : device.status === "retired" ? "active" : device.status);
    box.replaceChildren(form);
    look = true;
    card.dataset.open = "1";
    card.scrollIntoView({ block: "nearest" });
    name.focus();
  }
  function shut() {
    form = null;
    if (!card) return;
    card.dataset.open = "";
    card.querySelector("#entry-form").replaceChildren();
  }
  /** What was wrong with a field is over once it is changed. */
  function forgive(...names) {
    for (const name of names) {
      IOC.text(form.querySelector(`#fault-${name}`), "");
      field(name).setAttribute("aria-invalid", "false");
    }
  }
  function blame(faults, rest) {
    for (const small of form.querySelectorAll("small.fault")) {
      const fault = faults[small.id.slice(6)];
      IOC.text(small, fault ? t(`fault:${fault}`) : "");
    }
    for (const input of form.querySelectorAll(".input")) input.setAttribute("aria-invalid", String(Boolean(faults[input.name])));
    IOC.text(form.querySelector(".form-fault"), rest);
    form.querySelector("[aria-invalid=true]")?.focus();
  }
  async function send(device, submit) {
    if (!IOC.operator()) return;
    const wish = { device: device.id, name: field("name").value, kind: field("kind").value, lat: degrees("lat"), lon: degrees("lon"), parent: field("parent").value.trim(), status: field("status").value };
    const typed = ["lat", "lon"].filter((name) => Number.isNaN(wish[name]));
    if (typed.length) return blame(Object.fromEntries(typed.map((name) => [name, "number"])), "");
    const mine = form;
    submit.disabled = true;
    try {
      const said = await IOC.act("register", wish);
      IOC.toast(said.changed ? t("Written to the log") : t("Nothing was left to do"));
      if (form === mine) shut();
      IOC.desk.acted();
    } catch (error) {
      if (form === mine) blame(error.faults || {}, Object.keys(error.faults || {}).length ? "" : error.message);
    }
    submit.disabled = false;
  }

  IOC.desk.parts.push({
    mount(root) {
      card = root.querySelector("#device-entry");
      form = null;
      root.addEventListener("click", (event) => { if (event.target.closest("[data-entry=open]")) (form ? shut : open)(); });
    },
    chosen: shut,
  });
})();

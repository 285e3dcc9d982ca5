/* What the desk pages share: ages that count on, text folded for search, a bell to Dash, forms in a dialog. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  const desk = (IOC.desk = {});

  /** Parts of a page in files of their own: {mount(root, chosen), chosen(id)}. */
  desk.parts = [];

  /** Lower case without diacritics; the twin of `dashboards.search.fold`. */
  desk.fold = (text) => text.normalize("NFD").replace(/\p{Mn}/gu, "").replace(/đ/gi, "d").toLowerCase();

  // The server lays charts and columns out in pixels; it learns their scale from this cookie.
  const tellScale = () => { document.cookie = `rem=${Math.max(16, innerWidth / 120).toFixed(1)}; path=/; SameSite=Lax`; };
  tellScale();
  addEventListener("resize", tellScale);

  /** Tell Dash that a property of a component has changed. */
  desk.set = function (id, props) {
    if (window.dash_clientside?.set_props) window.dash_clientside.set_props(id, props);
  };

  /** A bell that rings at most every `gap` ms, however often it is pulled, and never swallows the last pull. */
  desk.bell = function (gap, ring) {
    let due = 0, waiting = 0;
    const bell = function () {
      if (waiting) return;
      waiting = setTimeout(() => { waiting = 0; due = performance.now() + gap; ring(); }, Math.max(200, due - performance.now()));
    };
    bell.stop = () => { clearTimeout(waiting); waiting = 0; };
    return bell;
  };

  /** "3 min 20 s": the two largest units, as `dashboards.when.span` says it. */
  desk.span = function (seconds) {
    const s = Math.max(0, Math.floor(seconds)), t = IOC.t;
    if (s < 60) return t("{n} s", { n: s });
    if (s < 3600) return t("{n} min", { n: Math.floor(s / 60) }) + (s < 600 && s % 60 ? ` ${t("{n} s", { n: s % 60 })}` : "");
    if (s < 86400) return t("{n} h", { n: Math.floor(s / 3600) }) + (s % 3600 >= 60 ? ` ${t("{n} min", { n: Math.floor((s % 3600) / 60) })}` : "");
    return t("{n} d", { n: Math.floor(s / 86400) }) + (s % 86400 >= 3600 ? ` ${t("{n} h", { n: Math.floor((s % 86400) / 3600) })}` : "");
  };
  desk.count = function (root) {
    const now = IOC.now();
    for (const element of root.querySelectorAll("[data-since]")) IOC.text(element, desk.span(now - Number(element.dataset.since)));
  };

  /** The address says what is chosen, so that it can be sent to somebody. */
  desk.address = function (id) {
    const address = new URL(location.href);
    if (id) address.searchParams.set("id", id);
    else address.searchParams.delete("id");
    history.replaceState(history.state, "", address);
  };

  /** Keep the pictures of [data-camera] as new as vision makes them. */
  desk.pictures = function (root, city) {
    for (const picture of root.querySelectorAll("img[data-camera]")) {
      const scene = city.scenes.get(picture.dataset.camera), shown = Number(picture.dataset.shown || 0);
      // Without vision there are no scenes; a camera that sends frames is then asked for a new one now and then.
      const time = scene ? scene.time : picture.dataset.frames ? Math.floor(IOC.now() / 5) * 5 : 0;
      if (!time || shown === time || picture.dataset.loading) continue;
      picture.dataset.loading = "1";
      load(picture, time).catch(() => {}).finally(() => { delete picture.dataset.loading; });
    }
    for (const picture of root.querySelectorAll("img[data-camera]")) {
      const figure = picture.closest("figure"), why = IOC.untrue(picture.dataset.camera);
      let mark = figure.querySelector(".camera-untrue");
      if (!mark && why) figure.append((mark = IOC.el("strong", "camera-untrue")));
      IOC.text(mark, why);
      figure.classList.toggle("untrue", Boolean(why));
    }
    for (const age of root.querySelectorAll(".camera-age")) {
      const picture = age.closest("figure")?.querySelector("img[data-camera]");
      if (picture?.dataset.taken) IOC.text(age, IOC.t("{age} ago", { age: desk.span(IOC.now() - Number(picture.dataset.taken)) }));
    }
  };
  /** Put a camera's newest picture into an `img`; how old it is the server says. */
  async function load(picture, time) {
    const { url, taken } = await IOC.camera.picture(picture.dataset.camera, time), before = picture.src;
    picture.src = url;
    if (before.startsWith("blob:")) URL.revokeObjectURL(before);
    picture.dataset.shown = time;
    picture.dataset.taken = taken;
  }

  /** Ask for something in a dialog, with a word of explanation. `fields`: {name, label, kind: text|area|choice, options, required}; resolves with the values, or null. */
  desk.ask = function (title, fields, doIt, more = "") {
    return new Promise((resolve) => {
      const dialog = IOC.el("dialog", "ask"), form = IOC.el("form"), buttons = IOC.el("div", "ask-buttons");
      form.append(IOC.el("h2", "", title));
      if (more) form.append(IOC.el("p", "muted", more));
      for (const field of fields) {
        const label = IOC.el("label", "", field.label);
        const input = IOC.el(field.kind === "area" ? "textarea" : field.kind === "choice" ? "select" : "input", "input");
        input.name = field.name;
        if (field.kind === "choice") for (const [value, name] of field.options) input.append(new Option(name, value));
        else input.maxLength = 2000;
        if (field.kind === "area") input.rows = 4;
        input.required = Boolean(field.required);
        label.append(input);
        form.append(label);
      }
      const cancel = IOC.el("button", "button", IOC.t("Cancel")), submit = IOC.el("button", "button primary", doIt);
      cancel.type = "button";
      cancel.onclick = () => dialog.close();
      buttons.append(cancel, submit);
      form.append(buttons);
      dialog.append(form);
      let answer = null;
      form.onsubmit = (event) => { event.preventDefault(); answer = Object.fromEntries(new FormData(form)); dialog.close(); };
      form.onkeydown = (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(); };
      dialog.onclose = () => { dialog.remove(); resolve(answer); };
      document.body.append(dialog);
      dialog.showModal();
      form.querySelector(".input")?.focus();
    });
  };
})();

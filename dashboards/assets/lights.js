/* The control of lamps in a device's panel: off, on, dimmed; of many at once only after a question that names their number. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  const t = (message, values) => IOC.t(message, values);
  const percent = (level) => IOC.number(level * 100, 0);
  let dimmer = null, busy = false;

  function build(box) {
    dimmer = IOC.el("input");
    Object.assign(dimmer, { type: "range", min: 0, max: 100, step: 5, value: 50 });
    dimmer.setAttribute("aria-label", t("Light level"));
    const shown = IOC.el("output", "figure");
    const say = () => { shown.textContent = `${dimmer.value} %`; dimmer.style.setProperty("--at", `${dimmer.value}%`); };
    dimmer.oninput = say;
    say();
    box.replaceChildren(dimmer, shown);
  }
  const named = (level) => (level === 0 ? t("Switch off") : level === 1 ? t("Switch on") : t("Dim to {n} %", { n: percent(level) }));

  async function press(button, device) {
    const card = button.closest("#device-light"), level = button.dataset.light === "dim" ? Number(dimmer.value) / 100 : Number(button.dataset.light);
    const lamps = Number(card.dataset.lamps), under = card.dataset.under;
    if (busy || !device || !lamps || document.querySelector("dialog[open]") || !IOC.operator()) return;
    if (under) {
      const name = IOC.city.name[IOC.device(device)] || device, values = { act: named(level), n: IOC.number(lamps), name };
      if (!(await IOC.desk.ask(t("{act}: all {n} lamps below {name}?", values), [], t("{act}: {n} lamps", values)))) return;
    }
    busy = true;
    card.classList.add("busy");
    try {
      await IOC.act("light", under ? { level, under } : { level, devices: [device] });
      IOC.toast(under ? t("Command to {n} lamps written down", { n: IOC.number(lamps) }) : t("Command written down"));
    } catch (error) {
      IOC.toast(error.message, true);
    }
    busy = false;
    card.classList.remove("busy");
    IOC.desk.acted();
  }

  let chosen = "";
  IOC.desk.parts.push({
    mount(root, id) {
      chosen = id;
      build(root.querySelector("#device-dimmer"));
      root.addEventListener("click", (event) => {
        const button = event.target.closest("[data-light]");
        if (button) press(button, chosen);
      });
    },
    chosen(id) {
      chosen = id;
      if (dimmer) { dimmer.value = 50; dimmer.oninput(); }
    },
  });
})();

/* The frame budget of a camera: typed and kept by the server; whoever types while somebody else has changed it is told. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  IOC.camera = IOC.camera || {};
  const t = (message, values) => IOC.t(message, values);
  const MOST_DIGITS = 8;
  /** What was typed starts from `seen`; `kept` is what the server has. */
  let root = null, id = "", input = null, button = null, kept = null, seen = null, typing = false, busy = false, heard = 0;

  const plain = (fps) => (fps === null ? "" : IOC.words.language === "vi" ? String(fps).replace(".", ",") : String(fps));

  function form() {
    const made = IOC.el("form", "budget-form"), label = IOC.el("label", "field", t("Frames a second at most")), save = (button = IOC.el("button", "button", t("Save")));
    input = IOC.el("input", "input");
    input.inputMode = "decimal";
    input.maxLength = MOST_DIGITS;
    input.name = "budget";
    input.placeholder = t("as all cameras");
    input.setAttribute("aria-describedby", "budget-fault");
    input.oninput = () => { typing = true; say(""); };
    const fault = IOC.el("small", "fault");
    fault.id = "budget-fault";
    fault.setAttribute("role", "alert");
    label.append(input);
    made.append(label, save, fault, IOC.el("p", "muted small budget-kept"));
    made.noValidate = true;
    made.onsubmit = (event) => { event.preventDefault(); keep(); };
    root.querySelector("#budget-form").replaceChildren(made);
  }
  function say(text) {
    IOC.text(root.querySelector("#budget-fault"), text);
    input.setAttribute("aria-invalid", String(Boolean(text)));
  }
  /** While an act is under way, and until it is known what another one set, there is nothing to send. */
  function able() {
    if (button) button.disabled = busy || seen === undefined;
  }
  function show() {
    if (!kept || !input) return;
    if (!typing) {
      seen = kept.fps;
      input.value = plain(seen);
    }
    const line = kept.fps === null ? t("This camera has none of its own.") : t("Its own: {n} frames/s.", { n: plain(kept.fps) });
    IOC.text(root.querySelector(".budget-kept"), kept.by ? `${line} ${kept.by}, ${kept.when}` : line);
  }
  async function keep() {
    const typed = input.value.trim().replace(",", "."), fps = typed === "" ? null : Number(typed);
    if (Number.isNaN(fps)) return say(t("fault:number"));
    if (busy || seen === undefined || !IOC.operator()) return;
    const mine = root, sent = input.value;
    busy = true;
    able();
    try {
      await IOC.act("camera_budget", { camera: id, fps, seen });
      if (root === mine) {
        // What was typed meanwhile is not thrown away.
        typing = input.value !== sent;
        seen = fps;
        say("");
      }
      IOC.toast(t("Written to the log"));
    } catch (error) {
      const fault = error.faults?.fps;
      if (root === mine) {
        say(fault ? t(`fault:${fault}`) : error.message);
        // What the other one set is told below; who saves once more has read it.
        if (fault === "budget_changed") seen = undefined;
      }
    }
    if (root !== mine) return;
    busy = false;
    able();
    IOC.camera.acted();
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.cameraBudget = {
    take(said) {
      if (said && root && said.at !== heard) {
        heard = said.at;
        kept = said;
        if (seen === undefined) seen = kept.fps;
        able();
        show();
      }
      return window.dash_clientside.no_update;
    },
  };

  IOC.camera.budget = {
    mount(page, camera) {
      root = page;
      id = camera;
      kept = seen = null;
      typing = busy = false;
      heard = 0;
      form();
    },
    unmount() {
      root = input = button = null;
    },
  };
})();

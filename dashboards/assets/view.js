/* "This is the new view" in a camera's panel: what it shows now is learnt as its view, after a question. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  const t = (message, values) => IOC.t(message, values);

  async function press(button) {
    if (document.querySelector("dialog[open]") || !IOC.operator()) return;
    const camera = button.dataset.view, name = IOC.city.name[IOC.device(camera)] || camera;
    if (!(await IOC.desk.ask(t("Take what {name} shows now for its view?", { name }), [], t("This is the new view")))) return;
    button.disabled = true;
    try {
      await IOC.act("accept_view", { camera });
      IOC.toast(t("Written to the log"));
    } catch (error) {
      IOC.toast(error.message, true);
    }
    button.disabled = false;
    IOC.desk.acted();
  }

  IOC.desk.parts.push({
    mount(root) {
      root.addEventListener("click", (event) => {
        const button = event.target.closest("[data-view]");
        if (button) press(button);
      });
    },
    chosen() {},
  });
})();

/* Originals of evidence pictures: asked for with a reason, shown once, dropped when closed. */
(function () {
  "use strict";
  const IOC = (window.IOC = window.IOC || {});
  const t = (message, values) => IOC.t(message, values);
  /** Why the server does not hand an original out; see `dashboards.evidence_routes`. */
  const WHY = {
    absent: () => t("There is no such picture any more"),
    none: () => t("The original was not kept"),
    unattached: () => t("The picture belongs to no incident, so its original stays closed"),
    destroyed: () => t("The original was destroyed"),
    no_key: () => t("The original is sealed; this server has no key"),
    sealed: () => t("The key of this server does not open the original"),
    storage: () => t("The database is away: nothing was written to the log, so nothing was opened"),
  };

  async function fetched(picture, reason) {
    let answer;
    try {
      answer = await fetch(`/evidence/${picture}/original`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ reason }) });
    } catch {
      throw new Error(t("The server does not answer"));
    }
    if (answer.ok) return answer.blob();
    const said = await answer.json().catch(() => ({}));
    throw new Error(WHY[said.why] ? WHY[said.why]() : said.error || t("The server refused ({code})", { code: answer.status }));
  }

  /** The original over the page; nothing of it stays when it is closed. */
  function show(blob, reason, who) {
    const dialog = IOC.el("dialog", "original-view"), picture = new Image(), address = URL.createObjectURL(blob);
    const bar = IOC.el("p", "original-bar"), close = IOC.el("button", "button", t("Close"));
    picture.alt = t("Original picture");
    picture.src = address;
    bar.append(IOC.el("strong", "", t("Original picture")), IOC.el("span", "", t("opened by {who}: {reason}", { who, reason })), IOC.el("span", "muted", t("This has been written to the log")), close);
    close.type = "button";
    close.onclick = () => dialog.close();
    dialog.append(bar, picture);
    dialog.onclose = () => { URL.revokeObjectURL(address); dialog.remove(); };
    document.body.append(dialog);
    dialog.showModal();
  }

  IOC.originals = {
    /** Ask why, open, show; `then` is called when the log has changed. */
    async open(picture, then) {
      if (document.querySelector("dialog[open]")) return;
      const who = IOC.operator();
      if (!who) return;
      const said = await IOC.desk.ask(t("View the original picture"), [{ name: "reason", label: t("Why must it be seen?"), kind: "area", required: true }], t("Write to the log and view"), t("Your name, the time and the reason are written to the log, which cannot be changed, before the picture is shown."));
      if (!said) return;
      try {
        show(await fetched(picture, said.reason), said.reason, who);
      } catch (error) {
        IOC.toast(error.message, true);
      }
      then();
    },
    /** Destroy the originals of an incident. */
    async destroy(incident, then) {
      if (document.querySelector("dialog[open]") || !IOC.operator()) return;
      const said = await IOC.desk.ask(t("Destroy the originals of incident #{id}", { id: incident }), [{ name: "reason", label: t("Reason"), kind: "area", required: true }], t("Destroy originals"), t("Their keys are thrown away: nobody can open them again. The blurred pictures stay."));
      if (!said) return;
      try {
        await IOC.act("destroy_originals", { incident, reason: said.reason });
        IOC.toast(t("The originals were destroyed"));
      } catch (error) {
        IOC.toast(error.message, true);
      }
      then();
    },
  };
})();

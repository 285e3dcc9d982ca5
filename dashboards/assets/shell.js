/* The frame: clock, language and theme switches, name of the operator, keys that work on every page. */
(function () {
  "use strict";
  const IOC = window.IOC, t = IOC.t, html = document.documentElement;
  const keep = (name, value) => { document.cookie = `${name}=${encodeURIComponent(value)}; path=/; max-age=31536000; SameSite=Lax`; };
  const kept = (name) => { const found = document.cookie.split("; ").find((part) => part.startsWith(`${name}=`)); return found ? decodeURIComponent(found.slice(name.length + 1)) : ""; };
  IOC.kept = kept;

  // What the address asked for stays chosen.
  keep("lang", IOC.words.language);
  keep("theme", html.dataset.theme);
  if (html.dataset.theme === "auto") {
    const light = matchMedia("(prefers-color-scheme: light)");
    const follow = () => { html.dataset.theme = light.matches ? "light" : "dark"; IOC.themeChanged && IOC.themeChanged(); };
    light.addEventListener("change", follow);
    follow();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-set], [data-do]");
    if (!button) return;
    if (button.dataset.do === "help") return help();
    const [name, value] = button.dataset.set.split("=");
    keep(name, value === "next" ? (html.dataset.theme === "light" ? "dark" : "light") : value);
    const address = new URL(location.href);
    address.searchParams.delete(name);
    location.assign(address);
  });

  /** The name that acts are recorded under. Nobody checks it yet, and the log says "unverified" for as long. */
  IOC.operator = function () {
    let name = kept("operator");
    if (!name) {
      name = (window.prompt(t("Your name, for the log (there is no login yet)")) || "").trim().slice(0, 64);
      if (name) keep("operator", name);
    }
    return name;
  };

  // --- keys ------------------------------------------------------------------------------------------------------------
  const KEYS = [["A", t("Acknowledge")], ["S", t("Shelve for 30 minutes")], ["J K", t("Next or previous incident")], ["Enter", t("Open the incident (on the wall)")], ["F", t("Full screen")], ["M", t("Sound on or off")], ["L", t("Back to live")], ["?", t("This help")]];
  IOC.keys = IOC.keys || {};
  function help() {
    const open = document.querySelector(".help");
    if (open) return open.remove();
    const shade = IOC.el("div", "help"), card = IOC.el("div", "help-card"), list = IOC.el("dl");
    card.append(IOC.el("h2", "", t("Keys")));
    for (const [key, what] of KEYS) {
      const term = IOC.el("dt");
      for (const part of key.split(" ")) term.append(IOC.el("kbd", "", part), " ");
      list.append(term, IOC.el("dd", "", what));
    }
    card.append(list, IOC.el("p", "", t("Acts are recorded under the name typed into this browser; nobody verifies it until logins exist.")));
    shade.append(card);
    shade.addEventListener("click", () => shade.remove());
    document.body.append(shade);
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, textarea, select, [contenteditable]")) return;
    const key = event.key.toLowerCase();
    if (key === "enter" && event.target.closest("a, button, summary")) return;
    if (event.key === "?") return help();
    if (event.key === "Escape") return document.querySelector(".help")?.remove();
    if (key === "f") return void (document.fullscreenElement ? document.exitFullscreen() : html.requestFullscreen().catch((error) => IOC.toast(error.message, true)));
    if (IOC.keys[key]) { event.preventDefault(); IOC.keys[key](); }
  });

  // --- the small clock and link state of the top bar ---------------------------------------------------------------------
  IOC.linkName = (key) => t(`link:${key}`);
  IOC.linkState = (state) => t(`state:${state}`);
  IOC.tickers.push((now) => {
    const clock = document.querySelector("[data-live=clock]");
    if (clock) IOC.text(clock, IOC.clock(now));
    const small = document.querySelector("[data-live=links-small]");
    if (small) {
      // Without Redis nobody is heard: that is one fault, not five.
      const bad = IOC.city.links.filter((link) => link.state !== "ok" && link.reason !== "redis");
      IOC.text(small, bad.map((link) => `${IOC.linkName(link.key)}: ${IOC.linkState(link.state)}`).join(" · "));
    }
    for (const button of document.querySelectorAll(".switch[data-set^=lang]")) button.classList.toggle("on", button.dataset.set === `lang=${IOC.words.language}`);
  });
})();

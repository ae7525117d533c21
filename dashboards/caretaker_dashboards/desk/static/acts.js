// Opens an action's form over the page. Without this file the same links lead to the same forms as pages.
"use strict";
(() => {
  const dialog = document.getElementById("dialog");
  if (!dialog || !dialog.showModal) return;
  let opener = "";

  const fill = (text) => {
    dialog.innerHTML = text;
    const title = dialog.querySelector("h1");
    if (title) { title.id = "dialog-title"; title.tabIndex = -1; }
    window.htmx.process(dialog);
    const first = dialog.querySelector("[data-fault]") || dialog.querySelector("input:not([type=hidden]), select, textarea") || title;
    if (first) first.focus();
  };
  const failed = () => fill('<div class="card"><h1>That did not get through</h1><p>Nothing came back, so it is not known whether it was done. ' +
    'The records and the audit log say; look there before you try again.</p><p class="acts"><button type="button" data-close>Close</button></p></div>');
  const get = async (address, options) => {
    const answer = await fetch(address, { ...options, headers: { "HX-Request": "true" }, cache: "no-store" });
    if (answer.redirected || answer.status === 401) { location.reload(); return null; }
    return answer.text();
  };

  // Why something is done changes nothing of what it touches: no look at it for each word.
  const still = (event) => { if (event.target.closest && event.target.closest("[data-still]")) event.stopPropagation(); };
  document.addEventListener("input", still, true);
  document.addEventListener("change", still, true);

  document.addEventListener("click", async (event) => {
    const link = event.target.closest && event.target.closest("a.act");
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    const inside = dialog.contains(link);
    if (!inside) opener = link.getAttribute("href");
    try {
      const text = await get(link.href);
      if (text === null) return;
      fill(text);
      if (!dialog.open) dialog.showModal();
      const first = dialog.querySelector("input:not([type=hidden]), select, textarea") || dialog.querySelector("h1");
      if (first) first.focus();
    } catch (error) { location.href = link.href; }
  });

  dialog.addEventListener("submit", async (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    event.preventDefault();
    const button = form.querySelector("button.do");
    if (button) { if (button.disabled) return; button.disabled = true; }
    try {
      const text = await get(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
      if (text !== null) { fill(text); window.desk.refresh(); }
    } catch (error) { failed(); }
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || (event.target.closest && event.target.closest("[data-close]"))) { event.preventDefault(); dialog.close(); }
  });
  dialog.addEventListener("close", () => {
    dialog.replaceChildren();
    const back = [...document.querySelectorAll("a.act")].find((link) => link.getAttribute("href") === opener);
    (back || document.getElementById("main")).focus({ preventScroll: true });
  });
})();

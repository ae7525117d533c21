// Keys: / search, j and k rows, Enter opens (it is a link), a first action, g e estate, ? help. Never while typing.
"use strict";
(() => {
  let before = "";
  const rows = () => [...document.querySelectorAll("main [data-row]")].filter((row) => row.getClientRects().length);
  const move = (by) => {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((row) => row === document.activeElement || row.closest("li, tr, article")?.contains(document.activeElement));
    const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by))];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("keydown", (event) => {
    const on = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (on.matches && on.matches("input, select, textarea, [contenteditable]")) return;
    const after = before;
    before = "";
    if (after === "g" && event.key === "e") { location.href = "/"; return; }
    if (after === "g" && event.key === "i") { location.href = "/incidents"; return; }
    if (event.key === "g") before = "g";
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "?") location.href = "/help#keys";
    else if (event.key === "/") { event.preventDefault(); document.getElementById("find")?.focus(); }
    else if (event.key === "a") {
      const row = on.closest && on.closest("li, tr, article");
      ((row && row.querySelector("a.act")) || document.querySelector("main a.act"))?.click();
    }
  });
})();

// Keeps a page up to date: one stream says that its topic changed, then the page asks for its own main part again.
// Focus, scroll, open details and typed text stay. Without this file a page is complete, only not live.
"use strict";
(() => {
  const topic = document.body.dataset.topic, main = document.getElementById("main");
  const sign = document.getElementById("live-sign"), say = document.getElementById("say");
  let etag = "", busy = false, again = false, source = null, gone = false;
  let asOf = sign ? sign.dataset.asOf : ""; // by the school's clock: the browser's may be in another zone

  const show = (state, text) => { if (sign) { if (sign.dataset.live !== state) sign.dataset.live = state; if (sign.textContent !== text) sign.textContent = text; } };
  const lost = (why) => {
    show("lost", "Not live" + (asOf ? " since " + asOf : "") + ": " + (why || "no connection; it is tried again") + ".");
  };
  const connected = () => { if (source && source.readyState === EventSource.OPEN) isLive(); };
  const isLive = () => show("yes", asOf ? "Live, as of " + asOf : "Live");

  const counts = () => Object.fromEntries(
    [...main.querySelectorAll("[data-count]")].map((part) => [part.dataset.count, Number(part.dataset.number)]));
  const told = (before, after) => Object.keys(after)
    .filter((name) => name in before && before[name] !== after[name])
    .map((name) => {
      const by = after[name] - before[name], one = name.split("|");
      return Math.abs(by) + " " + (by > 0 ? one[1] : one[2]) + " " + (Math.abs(by) === 1 ? one[0] : one[0] + "s");
    }).join(", ");

  // What a person has opened or typed is carried over into the new text before it replaces the old.
  const keep = (fresh) => {
    for (const part of main.querySelectorAll("details[id]")) {
      const twin = fresh.querySelector("#" + CSS.escape(part.id));
      if (twin) twin.toggleAttribute("open", part.open);
    }
    for (const part of main.querySelectorAll("input[id], select[id], textarea[id]")) {
      const twin = fresh.querySelector("#" + CSS.escape(part.id));
      if (!twin) continue;
      if (part.type === "checkbox") twin.toggleAttribute("checked", part.checked);
      else if (part.tagName === "SELECT") for (const option of twin.options) option.toggleAttribute("selected", option.value === part.value);
      else if (part.tagName === "TEXTAREA") twin.textContent = part.value;
      else twin.setAttribute("value", part.value);
    }
  };

  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const headers = { "HX-Request": "true", "X-Caretaker-Live": "1" };  // nobody did anything: the session goes on to age
      if (etag) headers["If-None-Match"] = etag;
      const answer = await fetch(location.href, { headers, cache: "no-store", redirect: "follow" });
      if (answer.status === 304) { connected(); return; }
      if (answer.redirected || answer.status === 401) {
        gone = true;
        if (source) source.close();
        lost("your session has ended. Load the page again to sign in; what you typed stays until then");
        return;
      }
      if (!answer.ok) { lost(answer.status === 404 ? "what it shows is no longer there" : "Caretaker answered with " + answer.status); return; }
      const text = await answer.text(), before = counts();
      etag = answer.headers.get("ETag") || "";
      const fresh = document.createElement("template");
      fresh.innerHTML = text;
      keep(fresh.content);
      const focused = document.activeElement && main.contains(document.activeElement) ? document.activeElement.id : "";
      const top = window.scrollY;
      await window.htmx.swap({ sourceElement: main, target: main, text: fresh.innerHTML, swap: "innerMorph" });
      if (focused && document.activeElement === document.body) document.getElementById(focused)?.focus({ preventScroll: true });
      window.scrollTo({ top, behavior: "instant" });
      const page = JSON.parse(answer.headers.get("X-Page") || "{}");
      if (page.title) document.title = page.title + " · Caretaker";
      if (page.as_of) asOf = page.as_of;
      connected();
      const news = told(before, counts());
      if (news) say.textContent = news;
      document.dispatchEvent(new CustomEvent("desk:fresh"));
    } catch (error) {
      lost();
    } finally {
      busy = false;
      if (again) { again = false; refresh(); }
    }
  };
  window.desk = { refresh, say: (text) => { say.textContent = text; } };
  if (!topic) return;

  const open = () => {
    if (source || gone || document.hidden) return;
    source = new EventSource("/events?topic=" + encodeURIComponent(topic));
    let first = true;
    source.addEventListener("mark", () => {
      isLive();
      if (first && !etag) { first = false; refresh(); return; } // it may have changed while the page was on its way
      first = false;
      refresh();
    });
    source.addEventListener("error", () => {
      lost();
      if (source && source.readyState === EventSource.CLOSED) { source = null; setTimeout(open, 60000); }
    });
  };
  // A page out of sight holds no line: a browser has six to one host.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { if (source) source.close(); source = null; } else { open(); refresh(); }
  });
  setInterval(() => { if (!document.hidden && !gone) refresh(); }, 60000); // for "left" and "ago"
  open();
})();

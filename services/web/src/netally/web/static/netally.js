// What every page needs: the viewer's time zone, and figures that refresh only while someone reads them.
"use strict";

(() => {
  const STALE_MS = 30_000;
  const LOADING_MS = 400;
  let paused = false;
  let last = Date.now();

  // The server writes times in the viewer's zone. It learns the zone from this cookie and the page is read once more.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const cookie = `tz=${encodeURIComponent(zone)}`;
  const told = () => document.cookie.split("; ").includes(cookie);
  if (zone && !told()) {
    document.cookie = `${cookie}; path=/; max-age=31536000; samesite=lax`;
    if (told() && document.body.dataset.zone !== zone) location.reload();
  }

  for (const part of document.querySelectorAll("[data-scripted]")) part.hidden = false;
  for (const part of document.querySelectorAll("[data-moving]")) part.hidden = !document.getElementById("live");

  const figures = () => document.getElementById("figures");
  const refresh = () => {
    if (figures()?.hasAttribute("hx-get")) htmx.trigger(figures(), "refresh");
  };

  const button = document.getElementById("pause");
  button?.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    button.textContent = paused ? "Resume" : "Pause";
    last = Date.now();
    if (!paused) refresh();
  });

  document.addEventListener("htmx:config:request", (event) => {
    const polls = event.detail.ctx.sourceElement === figures();
    if (polls && (paused || document.hidden)) event.preventDefault();
  });
  document.addEventListener("htmx:sse:before:message", (event) => {
    if (paused) event.preventDefault();
  });
  document.addEventListener("htmx:sse:after:message", () => { last = Date.now(); });
  document.addEventListener("htmx:after:swap", () => { last = Date.now(); });
  document.addEventListener("reload", () => location.reload());
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    last = Date.now();
    refresh();
  });

  // A page that takes its time says so; what stands here meanwhile is of before.
  const loading = document.getElementById("loading");
  let waiting = 0;
  const wait = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { loading.hidden = false; }, LOADING_MS);
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    const leaves = link && !link.download && !link.target && link.origin === location.origin &&
      (link.pathname !== location.pathname || link.search !== location.search);
    if (leaves && !event.defaultPrevented && !event.ctrlKey && !event.metaKey && !event.shiftKey) wait();
  });
  document.addEventListener("submit", (event) => { if (!event.defaultPrevented && event.target.method !== "dialog") wait(); });
  // Also when the page comes back from the browser's own store, as Back brings it.
  addEventListener("pageshow", () => {
    clearTimeout(waiting);
    loading.hidden = true;
  });

  // A page that the API kept from being made comes when the API is back.
  const again = document.querySelector("[data-again]");
  if (again) {
    setInterval(async () => {
      const answer = document.hidden ? null : await fetch("/readyz").catch(() => null);
      if (answer?.ok) location.replace(again.href);
    }, 3000);
  }

  // Figures that stopped moving say so.
  const note = document.getElementById("stale");
  if (note) {
    const clock = new Intl.DateTimeFormat("en-GB", {
      hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: document.body.dataset.zone,
    });
    note.querySelector("button").addEventListener("click", () => location.reload());
    setInterval(() => {
      const age = Date.now() - last;
      note.hidden = paused || document.hidden || age < STALE_MS;
      if (!note.hidden) {
        note.querySelector("p").textContent = `Figures of ${clock.format(last)}, ${Math.round(age / 1000)} s old.`;
      }
    }, 1000);
  }
})();

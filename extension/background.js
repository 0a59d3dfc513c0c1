// Listens to the browser and sends reports. Everything is kept in storage.local: this page ends when nothing happens.

import { activate, countPair, emptyState, nextReport, outcomeOf, restarted, settled, waitMs } from "./activity.js";
import { browserName } from "./browser_name.js";
import { domainOf, pairOf } from "./domains.js";

const api = globalThis.browser ?? globalThis.chrome;
const LOOK_MINUTES = 0.5;
let timer = null;
let turn = Promise.resolve();
let asked = [];

/** One change of the state after the other. */
function change(work) {
  turn = turn
    .then(async () => {
      const { state = emptyState(), settings = {} } = await api.storage.local.get(["state", "settings"]);
      await work(state, settings);
      await api.storage.local.set({ state });
    })
    .catch((error) => console.warn("netally", String(error)));
  return turn;
}

async function activeDomain() {
  const [tab] = await api.tabs.query({ active: true, lastFocusedWindow: true });
  return tab && !tab.incognito && tab.url ? domainOf(tab.url) : null;
}

async function look() {
  await change(async (state, settings) => {
    const now = Date.now();
    if (settings.paused || !settings.code) {
      // What was not sent when it was paused is not sent later either.
      Object.assign(state, emptyState());
      return;
    }
    // Unlike this page, what is kept here lives for as long as the browser does.
    const { running } = await api.storage.session.get("running");
    if (!running) {
      restarted(state);
      await api.storage.session.set({ running: true });
    }
    activate(state, await activeDomain(), now);
    schedule(waitMs(state, now));
  });
}

function schedule(wait) {
  if (timer !== null) return;
  // A moment, so that what happens together is told together.
  timer = setTimeout(send, Math.max(wait, 500));
}

async function send() {
  timer = null;
  await change(async (state, settings) => {
    if (settings.paused || !settings.code || !settings.hub) return;
    // Another report may have been sent since this one's time was set.
    const wait = waitMs(state, Date.now());
    if (wait > 0) return schedule(wait);
    for (const pair of asked.splice(0)) countPair(state, pair);
    const info = api.runtime.getBrowserInfo ? await api.runtime.getBrowserInfo() : null;
    const name = settings.browser || browserName(navigator.userAgentData?.brands, info);
    const report = nextReport(state, name, Boolean(settings.pairs), newId(), Date.now());
    if (!report) return;
    // Before it is sent, so that it is the same report after this page was ended.
    await api.storage.local.set({ state });
    let status = 0;
    try {
      const answer = await fetch(new URL("/api/browser/active-tab", settings.hub), {
        method: "POST",
        credentials: "omit",
        headers: { "Content-Type": "application/json", Authorization: `Bearer ${settings.code}` },
        body: JSON.stringify(report),
        signal: AbortSignal.timeout(10_000),
      });
      status = answer.status;
    } catch {
      // No way to the hub: it waits in the queue.
    }
    settled(state, outcomeOf(status), Date.now());
    await api.storage.local.set({ lastAnswer: { status, at: Date.now() } });
    if (state.spans.length && !state.sending) schedule(waitMs(state, Date.now()));
  });
}

function newId() {
  return crypto.randomUUID().replaceAll("-", "");
}

function onRequest(request) {
  // Chromium has no `incognito` here, and is not allowed into private windows at all.
  if (request.incognito) return;
  const pair = pairOf(request);
  if (!pair) return;
  if (asked.length < 2000) asked.push(pair);
  change(async (state, settings) => {
    if (settings.paused || !settings.code || !settings.pairs) asked = [];
    else schedule(waitMs(state, Date.now()));
  });
}

/** Listening needs the person's permission, which may come and go. */
function listenToRequests() {
  if (!api.webRequest || api.webRequest.onBeforeRequest.hasListener(onRequest)) return;
  api.webRequest.onBeforeRequest.addListener(onRequest, { urls: ["http://*/*", "https://*/*", "ws://*/*", "wss://*/*"] });
}

api.tabs.onActivated.addListener(look);
api.tabs.onUpdated.addListener((_, changed, tab) => {
  if (changed.url && tab.active) look();
});
// Firefox on Android has no windows.
api.windows?.onFocusChanged.addListener(look);
api.storage.onChanged.addListener((changes) => {
  if (changes.settings) look();
});
api.permissions.onAdded.addListener(listenToRequests);
// The shortest that browsers allow: keeps a long stay on one page told, and the queue moving.
api.alarms.create("look", { periodInMinutes: LOOK_MINUTES });
api.alarms.onAlarm.addListener(async () => {
  await look();
  schedule(500);
});
listenToRequests();
look();

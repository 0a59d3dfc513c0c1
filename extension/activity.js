// The active tab's domain over time, and pairs of hosts and sites, as reports. Pure: the time comes from outside, in
// milliseconds, and the state is plain data that survives the background page.

export const LONGEST_SECONDS = 300;
export const MOST_SPANS = 20;
export const MOST_PAIRS = 60;
export const MOST_QUEUED = 200;
export const OLDEST_MS = 23 * 3600 * 1000;
export const SEND_EVERY_MS = 5000;

/** Nothing active, nothing waiting. */
export function emptyState() {
  return { active: null, since: 0, seen: 0, spans: [], pairs: {}, sending: null, sentAt: 0, dropped: 0 };
}

/** The active tab is now on this domain; null when there is none to tell of. */
export function activate(state, domain, now) {
  state.seen = now;
  if (state.active === domain) return;
  settle(state, now);
  state.active = domain;
  state.since = now;
}

/** The browser was started anew: while it was closed nobody looked at the page that was active last. */
export function restarted(state) {
  settle(state, state.seen ?? state.since);
  state.active = null;
}

/** Cut the span under way, so that it can be reported up to now. */
export function settle(state, now) {
  if (state.active !== null) {
    // A longer silence is a machine that slept: nobody looked at the page then.
    const seconds = Math.round((now - state.since) / 1000);
    if (seconds >= 0 && seconds <= LONGEST_SECONDS) {
      state.spans.push({ domain: state.active, timestamp: state.since, seconds });
    }
  }
  state.since = now;
  const fresh = state.spans.filter((span) => span.timestamp > now - OLDEST_MS && span.timestamp <= now);
  const kept = fresh.slice(-MOST_QUEUED);
  state.dropped += state.spans.length - kept.length;
  state.spans = kept;
}

/** Count a request. */
export function countPair(state, pair) {
  const key = `${pair.host} ${pair.site}`;
  if (key in state.pairs) state.pairs[key] += 1;
  else if (Object.keys(state.pairs).length < MOST_PAIRS) state.pairs[key] = 1;
  else state.dropped += 1;
}

/** Milliseconds until a report may be sent. */
export function waitMs(state, now) {
  return Math.max(0, Math.min(SEND_EVERY_MS, state.sentAt + SEND_EVERY_MS - now));
}

/** The next report, to be sent until it is taken; null when there is nothing to tell. */
export function nextReport(state, browser, withPairs, id, now) {
  if (state.sending) return state.sending;
  settle(state, now);
  const spans = state.spans.splice(0, MOST_SPANS);
  const last = spans.pop() ?? lastKnown(state, now);
  if (!last) return null;
  const report = { ...last, browser, earlier: spans, id };
  if (withPairs) {
    report.pairs = Object.entries(state.pairs).map(([key, count]) => {
      const [host, site] = key.split(" ");
      return { host, site, count };
    });
  }
  state.pairs = {};
  state.sending = report;
  return report;
}

/** Pairs alone, of tabs in the background. */
function lastKnown(state, now) {
  const pair = Object.keys(state.pairs)[0];
  return pair ? { domain: pair.split(" ")[1], timestamp: now, seconds: 0 } : null;
}

/** What became of the report: `taken`, `refused` (it never will be) or `later`. */
export function settled(state, outcome, now) {
  state.sentAt = now;
  if (outcome === "later") {
    // Pairs tell of this moment; told later they would name the wrong flows.
    if (state.sending?.pairs) state.sending = { ...state.sending, pairs: [] };
    if (state.sending && state.sending.timestamp < now - OLDEST_MS) state.sending = null;
    return;
  }
  if (outcome === "refused") state.dropped += 1;
  state.sending = null;
}

/** What an answer's status means for the report. */
export function outcomeOf(status) {
  if (status >= 200 && status < 300) return "taken";
  return [400, 413, 422].includes(status) ? "refused" : "later";
}

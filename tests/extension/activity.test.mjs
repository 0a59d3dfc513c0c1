import assert from "node:assert/strict";
import { test } from "node:test";

import * as activity from "../../extension/activity.js";
import { browserName } from "../../extension/browser_name.js";
import { domainOf, pairOf } from "../../extension/domains.js";

const START = 1_800_000_000_000;
const report = (state, now, withPairs = false) => activity.nextReport(state, "Firefox", withPairs, "0".repeat(32), now);

test("of an address only the host name is told", () => {
  assert.equal(domainOf("https://user:secret@www.example.org:8443/private?query#part"), "www.example.org");
  assert.equal(domainOf("https://bücher.example/"), "xn--bcher-kva.example");
  assert.equal(domainOf("http://[2001:db8::1]/"), "[2001:db8::1]");
  for (const none of ["about:config", "file:///home/ada/letter.html", "chrome://settings", "moz-extension://a/b", "", "x"]) {
    assert.equal(domainOf(none), null);
  }
});

test("a request is of the page it was made for, in both families of browsers", () => {
  const url = "https://cdn.net/a.js?secret";
  assert.deepEqual(pairOf({ url, type: "script", initiator: "https://news.org" }), { host: "cdn.net", site: "news.org" });
  assert.deepEqual(
    pairOf({ url, type: "script", documentUrl: "https://news.org/story", originUrl: "https://frame.net/" }),
    { host: "cdn.net", site: "news.org" },
  );
  // A link from one site to another: the new page is its own site.
  assert.deepEqual(pairOf({ url: "https://shop.org/", type: "main_frame", initiator: "https://news.org" }), {
    host: "shop.org",
    site: "shop.org",
  });
  assert.equal(pairOf({ url, type: "script" }), null);
  assert.equal(pairOf({ url, type: "script", initiator: "null" }), null);
  assert.equal(pairOf({ url: "data:text/plain,x", type: "image", initiator: "https://news.org" }), null);
});

test("time is counted once, domain by domain", () => {
  const state = activity.emptyState();
  activity.activate(state, "a.org", START);
  activity.activate(state, "b.org", START + 4000);
  activity.activate(state, "b.org", START + 5000);
  activity.activate(state, null, START + 10_000);
  activity.activate(state, "a.org", START + 60_000);
  const told = report(state, START + 62_000);
  assert.deepEqual(
    [...told.earlier, told].map(({ domain, timestamp, seconds }) => [domain, timestamp - START, seconds]),
    [["a.org", 0, 4], ["b.org", 4000, 6], ["a.org", 60_000, 2]],
  );
  activity.settled(state, "taken", START + 62_000);
  // The same page goes on: from where the report ended.
  const next = report(state, START + 70_000);
  assert.deepEqual([next.domain, next.timestamp - START, next.seconds, next.earlier], ["a.org", 62_000, 8, []]);
});

test("a machine that slept was not looked at", () => {
  const state = activity.emptyState();
  activity.activate(state, "a.org", START);
  activity.activate(state, "b.org", START + 3600_000);
  assert.equal(report(state, START + 3602_000).domain, "b.org");
});

test("a browser that was closed was not looked at either", () => {
  const state = activity.emptyState();
  activity.activate(state, "a.org", START);
  activity.activate(state, "a.org", START + 30_000);
  activity.restarted(state);
  activity.activate(state, null, START + 200_000);
  const told = report(state, START + 201_000);
  assert.deepEqual([told.domain, told.timestamp - START, told.seconds, told.earlier], ["a.org", 0, 30, []]);
});

test("reports are at least five seconds apart, also when the clock was set back", () => {
  const state = activity.emptyState();
  assert.equal(activity.waitMs(state, START), 0);
  activity.settled(state, "taken", START);
  assert.equal(activity.waitMs(state, START + 1000), 4000);
  assert.equal(activity.waitMs(state, START + 9000), 0);
  assert.equal(activity.waitMs(state, START - 3600_000), 5000);
});

test("a report that was not taken is sent again with its id, without pairs that are old by then", () => {
  const state = activity.emptyState();
  activity.activate(state, "a.org", START);
  activity.countPair(state, { host: "cdn.net", site: "a.org" });
  activity.countPair(state, { host: "cdn.net", site: "a.org" });
  const first = report(state, START + 3000, true);
  assert.deepEqual(first.pairs, [{ host: "cdn.net", site: "a.org", count: 2 }]);
  activity.settled(state, activity.outcomeOf(0), START + 3000);
  const again = activity.nextReport(state, "Firefox", true, "1".repeat(32), START + 9000);
  assert.deepEqual(again, { ...first, pairs: [] });
  activity.settled(state, activity.outcomeOf(202), START + 9000);
  assert.equal(state.sending, null);
});

test("pairs are not told without consent", () => {
  const state = activity.emptyState();
  activity.activate(state, "a.org", START);
  activity.countPair(state, { host: "cdn.net", site: "a.org" });
  assert.ok(!("pairs" in report(state, START + 3000)));
});

test("what waits is bounded in number and age", () => {
  const state = activity.emptyState();
  for (let number = 0; number < 1000; number += 1) activity.activate(state, `${number}.org`, START + number * 1000);
  assert.ok(state.spans.length <= activity.MOST_QUEUED);
  assert.ok(state.dropped > 700);
  assert.ok(report(state, START + 1_000_000).earlier.length < activity.MOST_SPANS);
  for (let number = 0; number < 1000; number += 1) activity.countPair(state, { host: `${number}.net`, site: "a.org" });
  assert.ok(Object.keys(state.pairs).length <= activity.MOST_PAIRS);
  activity.settle(state, START + activity.OLDEST_MS * 2);
  assert.equal(state.spans.length, 0);
});

test("a report that will never be taken does not hold up the others", () => {
  assert.deepEqual([202, 400, 401, 429, 503, 0].map(activity.outcomeOf), [
    "taken", "refused", "later", "later", "later", "later",
  ]);
});

test("browsers are called as Netally calls them", () => {
  const brands = (...names) => names.map((brand) => ({ brand }));
  assert.equal(browserName(brands("Chromium", "Google Chrome", "Not A"), null), "Chrome");
  assert.equal(browserName(brands("Not A", "Chromium"), null), "Chromium");
  assert.equal(browserName(brands("Brave", "Chromium"), null), "Brave");
  assert.equal(browserName(undefined, { name: "Firefox", vendor: "Mozilla" }), "Firefox");
});

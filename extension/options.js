// The options: saved when the browser allows what they need, then tried.

const api = globalThis.browser ?? globalThis.chrome;
const field = (id) => document.getElementById(id);
const say = (words) => {
  field("state").textContent = words;
};

async function show() {
  const { settings = {}, state, lastAnswer } = await api.storage.local.get(["settings", "state", "lastAnswer"]);
  for (const id of ["hub", "code", "browser"]) field(id).value = settings[id] ?? "";
  for (const id of ["pairs", "paused"]) field(id).checked = Boolean(settings[id]);
  const waiting = state?.spans?.length ? ` ${state.spans.length} spans wait for the hub.` : "";
  if (lastAnswer && settings.code && !settings.paused) say(wordsOf(lastAnswer) + waiting);
}

function wordsOf({ status, at }) {
  const time = new Date(at).toLocaleTimeString();
  if (status >= 200 && status < 300) return `The hub took the last report at ${time}.`;
  if (status === 0) return `The hub could not be reached at ${time}.`;
  if (status === 400) return `The hub refused the report of ${time}: is this computer's clock right?`;
  if (status === 401) return `The hub did not know this code at ${time}: was it revoked?`;
  return `The hub answered ${status} at ${time}.`;
}

async function save(event) {
  event.preventDefault();
  const hub = new URL(field("hub").value).origin;
  const wanted = field("pairs").checked
    ? { origins: ["*://*/*"], permissions: ["webRequest"] }
    : { origins: [`${hub.replace(/:\d+$/, "")}/*`] };
  // First of all, as browsers ask only while the click is under way.
  const granted = await api.permissions.request(wanted);
  if (!granted) {
    say("Not saved: the browser did not allow it.");
    return;
  }
  const settings = {
    hub,
    code: field("code").value.trim(),
    browser: field("browser").value.trim(),
    pairs: field("pairs").checked,
    paused: field("paused").checked,
  };
  await api.storage.local.set({ settings });
  await tryOut(settings);
}

async function tryOut({ hub, code }) {
  try {
    const answer = await fetch(new URL("/api/browser/status", hub), {
      credentials: "omit",
      headers: { Authorization: `Bearer ${code}` },
    });
    if (answer.ok) {
      const [own] = (await answer.json()).browsers;
      say(own ? `Saved. Paired with host ${own.host}.` : "Saved, but this is no pairing code.");
    } else if (answer.status === 401) say("Saved, but the hub does not know this code.");
    else say(`Saved, but the hub answered ${answer.status}.`);
  } catch {
    say("Saved, but the hub cannot be reached. Reports wait until it can.");
  }
}

field("form").addEventListener("submit", save);
show();

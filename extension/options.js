// The options: saved when the browser allows what they need, then tried.

const api = globalThis.browser ?? globalThis.chrome;
const field = (id) => document.getElementById(id);
const say = (words) => {
  field("state").textContent = words;
};

async function show() {
  const { settings = {}, state } = await api.storage.local.get(["settings", "state"]);
  for (const id of ["hub", "code", "browser"]) field(id).value = settings[id] ?? "";
  for (const id of ["pairs", "paused"]) field(id).checked = Boolean(settings[id]);
  if (state?.spans?.length) say(`${state.spans.length} spans wait for the hub.`);
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

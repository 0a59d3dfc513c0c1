// What may be told of an address: its host name, and nothing else of it.

/** Host name of a page's or request's address; null for what is no page of a site (settings, files, extensions). */
export function domainOf(address) {
  let parsed;
  try {
    parsed = new URL(address);
  } catch {
    return null;
  }
  if (!["http:", "https:", "ws:", "wss:"].includes(parsed.protocol)) return null;
  const name = parsed.hostname.replace(/\.$/, "");
  return name && name.length <= 253 ? name : null;
}

/** Host and initiating site of a request; null where one is unknown. Chromium tells `initiator`, Firefox `originUrl`. */
export function pairOf(request) {
  const host = domainOf(request.url);
  // A page that is being opened is a site of its own, whatever page the link was on.
  if (request.type === "main_frame") return host && { host, site: host };
  const page = request.documentUrl ?? request.originUrl ?? request.initiator;
  const site = page ? domainOf(page) : null;
  return host && site && { host, site };
}

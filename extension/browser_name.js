// What this browser is called, as Netally names browsers.

const BRANDS = {
  "Google Chrome": "Chrome",
  "Microsoft Edge": "Edge",
  Brave: "Brave",
  Opera: "Opera",
  Vivaldi: "Vivaldi",
  Chromium: "Chromium",
};

/** Name from `navigator.userAgentData.brands` (Chromium's family) or `runtime.getBrowserInfo()` (Firefox's). */
export function browserName(brands, info) {
  if (info?.name) return info.name === "Zen Browser" ? "Zen" : info.name;
  const known = (brands ?? []).map((brand) => brand.brand);
  // Every one of the family also calls itself Chromium.
  return BRANDS[Object.keys(BRANDS).find((brand) => known.includes(brand))] ?? "Chromium";
}

// The keyboard map; the dialog #keys lists it. Letters do nothing while someone writes.
"use strict";

(() => {
  const SECOND_MS = 1500;
  const LINKS = "a[href], button, select, input:not([type=hidden])";
  const list = document.getElementById("keys");
  let began = 0;

  const writes = (node) => node.matches("textarea, select, input:not([type=checkbox], [type=radio])") || node.isContentEditable;
  const rows = (table) => [...table.querySelectorAll("tbody > tr")].filter((row) => row.getClientRects().length);
  const links = (row) => [...row.querySelectorAll(LINKS)].filter((link) => link.getClientRects().length);

  // A row without a link or button takes the focus itself: the arrows of a field are the field's own.
  const enter = (row) => {
    const target = links(row).find((link) => !writes(link)) ?? row;
    if (target === row) row.tabIndex = -1;
    target.focus();
  };

  const showKeys = () => { if (list && !list.open) list.showModal(); };
  document.getElementById("show-keys")?.addEventListener("click", showKeys);
  list?.addEventListener("click", (event) => { if (event.target === list) list.close(); });

  const filter = () => {
    const field = document.querySelector("[data-filter]") ?? document.querySelector("main input[type=search]");
    if (field) {
      field.focus();
      field.select?.();
    } else {
      document.querySelector(".scope .seg a, .scope summary")?.focus();
    }
  };

  const nextTable = () => {
    const tables = [...document.querySelectorAll("main table")].filter((table) => rows(table).length && table.getClientRects().length);
    const now = tables.indexOf(document.activeElement.closest("table"));
    if (tables.length) enter(rows(tables[(now + 1) % tables.length])[0]);
  };

  const keys = {
    "/": filter,
    "?": showKeys,
    g: () => { began = Date.now(); },
    p: () => document.getElementById("pause")?.click(),
    t: nextTable,
  };

  // Within a table: up and down from row to row, left and right along the links of a row.
  const move = (event, row) => {
    const all = rows(row.closest("table"));
    const step = {ArrowUp: -1, ArrowDown: 1}[event.key];
    if (step) {
      const next = all[all.indexOf(row) + step];
      if (next) enter(next);
      return true;
    }
    const along = links(row);
    const next = along[along.indexOf(document.activeElement) + {ArrowLeft: -1, ArrowRight: 1}[event.key]];
    next?.focus();
    return Boolean(next);
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || list?.open) return;
    const row = event.target.closest("tbody > tr");
    if (row && /^Arrow/.test(event.key) && !event.shiftKey && !writes(event.target)) {
      if (move(event, row)) event.preventDefault();
      return;
    }
    if (writes(event.target)) {
      if (event.key === "Escape" && event.target.matches("[data-filter]")) event.target.blur();
      return;
    }
    if (Date.now() - began < SECOND_MS) {
      began = 0;
      const entry = document.querySelector(`nav [data-key="${CSS.escape(event.key)}"]`);
      if (entry) {
        event.preventDefault();
        location.assign(entry.href);
      }
      return;
    }
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });
})();

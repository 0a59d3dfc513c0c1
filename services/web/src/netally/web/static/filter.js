// <filter-field>: the field of the filter language with completion. The server offers what may stand at the cursor; arrows
// choose, Enter or Tab takes, Escape closes. Without scripts the field is a field.
"use strict";

(() => {
  const WAIT_MS = 120;
  const RANGE = ["range", "from", "to", "tz"];

  // 1.5 MB; as figures.py writes amounts.
  function amount(bytes) {
    const step = bytes < 1000 ? 0 : Math.min(5, Math.floor(Math.log10(bytes) / 3));
    const number = bytes / 1000 ** step;
    return `${number.toFixed(step && number < 100 ? 1 : 0)}\u00a0${["B", "kB", "MB", "GB", "TB", "PB"][step]}`;
  }
  let number = 0;

  class FilterField extends HTMLElement {
    connectedCallback() {
      this.input = this.querySelector("input");
      this.list = document.createElement("ul");
      this.list.id = `offers-${number++}`;
      this.list.className = "offers";
      this.list.setAttribute("role", "listbox");
      this.list.setAttribute("aria-label", "What may stand here");
      this.list.hidden = true;
      this.append(this.list);
      for (const [name, value] of Object.entries({
        role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": this.list.id,
      })) this.input.setAttribute(name, value);
      this.at = -1;
      this.input.addEventListener("input", () => this.soon());
      this.input.addEventListener("click", () => this.soon());
      this.input.addEventListener("keydown", (event) => this.key(event));
      this.input.addEventListener("blur", () => this.close());
      this.list.addEventListener("pointerdown", (event) => {
        const offer = event.target.closest("[role=option]");
        event.preventDefault();
        if (offer) this.take([...this.list.children].indexOf(offer));
      });
    }

    disconnectedCallback() {
      clearTimeout(this.timer);
      this.asking?.abort();
    }

    soon() {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.ask(), WAIT_MS);
    }

    // Positions of the API are code points, those of the field UTF-16 units.
    get cursor() {
      return [...this.input.value.slice(0, this.input.selectionStart ?? 0)].length;
    }

    async ask() {
      this.asking?.abort();
      this.asking = new AbortController();
      const query = new URLSearchParams({text: this.input.value, cursor: String(this.cursor)});
      // Values come in the order of their bytes in the range of the page.
      const shown = new URLSearchParams(location.search);
      for (const name of RANGE) if (shown.get(name)) query.set(name, shown.get(name));
      try {
        const answer = await fetch(`/api/filter/complete?${query}`, {signal: this.asking.signal, headers: {Accept: "application/json"}});
        if (!answer.ok) return this.close();
        this.offers = (await answer.json()).completions.slice(0, 12);
      } catch {
        return this.close();
      }
      if (document.activeElement === this.input) this.show();
    }

    show() {
      this.list.replaceChildren(...this.offers.map((offer, at) => {
        const item = document.createElement("li");
        item.id = `${this.list.id}-${at}`;
        item.setAttribute("role", "option");
        item.setAttribute("aria-selected", "false");
        const label = document.createElement("b");
        label.textContent = offer.label;
        const about = document.createElement("small");
        about.textContent = [offer.about || offer.kind, offer.bytes == null ? "" : amount(offer.bytes)].filter(Boolean).join(" · ");
        item.append(label, about);
        return item;
      }));
      this.at = -1;
      this.list.hidden = !this.offers.length;
      this.input.setAttribute("aria-expanded", String(!this.list.hidden));
      this.input.removeAttribute("aria-activedescendant");
    }

    close() {
      clearTimeout(this.timer);
      this.asking?.abort();
      this.list.hidden = true;
      this.at = -1;
      this.input.setAttribute("aria-expanded", "false");
      this.input.removeAttribute("aria-activedescendant");
    }

    choose(at) {
      const items = [...this.list.children];
      this.at = (at + items.length) % items.length;
      for (const [number, item] of items.entries()) item.setAttribute("aria-selected", String(number === this.at));
      this.input.setAttribute("aria-activedescendant", items[this.at].id);
      items[this.at].scrollIntoView({block: "nearest"});
    }

    take(at) {
      const offer = this.offers[at];
      const text = [...this.input.value];
      text.splice(offer.from, offer.to - offer.from, ...offer.insert);
      this.input.value = text.join("");
      const end = text.slice(0, offer.from + [...offer.insert].length).join("").length;
      this.input.setSelectionRange(end, end);
      this.input.focus();
      this.ask();
    }

    key(event) {
      if (this.list.hidden) {
        if (event.key === "ArrowDown") {
          event.preventDefault();
          this.ask();
        }
        return;
      }
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        this.choose(event.key === "ArrowDown" ? this.at + 1 : this.at < 0 ? -1 : this.at - 1);
      } else if ((event.key === "Enter" || event.key === "Tab") && this.at >= 0) {
        event.preventDefault();
        this.take(this.at);
      } else if (event.key === "Escape") {
        event.preventDefault();
        event.stopPropagation();
        this.close();
      }
    }
  }

  customElements.define("filter-field", FilterField);
})();

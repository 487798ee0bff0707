// Elements, tables, pictures and numbers as texts. What was typed or read is shown as text, never as markup.
"use strict";
const Dom = (() => {
  const get = (id) => document.getElementById(id);
  const digits = (n) => n.toString().replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  /** What is not nothing is not told as nothing. */
  const percent = (part, all) => {
    if (all === 0n) return "";
    const size = part < 0n ? -part : part, tenths = (2000n * size + all) / (2n * all);
    return `${part < 0n ? "-" : ""}${tenths === 0n && size > 0n ? "< 0.1" : `${tenths / 10n}.${tenths % 10n}`} %`;
  };

  function element(name, text, attributes = {}) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  /** An element of a picture. */
  function drawn(name, attributes, text) {
    const made = document.createElementNS(get("chart").namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
    if (text !== undefined) made.textContent = text;
    return made;
  }

  /** How wide a picture is, so that its words keep their size. */
  const wide = (id) => Math.max(280, Math.min(860, get(id).parentElement.clientWidth || 720));

  function redraw(id, width, height, parts, said) {
    const svg = get(id);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const title = svg.querySelector("title");
    title.textContent = said;
    svg.replaceChildren(title, ...parts);
  }

  /** A table: columns whose name ends with # hold numbers. */
  function table(id, columns, rows) {
    const cell = (name, text, column) => {
      const made = element(name, text);
      if (column.endsWith("#")) made.className = "n";
      return made;
    };
    const head = element("tr");
    head.append(...columns.map((column) => {
      const made = cell("th", column.replace("#", ""), column);
      made.scope = "col";
      return made;
    }));
    const body = rows.map((row) => {
      const line = element("tr");
      line.append(...row.map((text, at) => {
        const made = cell(at === 0 ? "th" : "td", text, columns[at]);
        if (at === 0) made.scope = "row";
        return made;
      }));
      return line;
    });
    const [thead, tbody] = [element("thead"), element("tbody")];
    thead.append(head);
    tbody.append(...body);
    get(id).replaceChildren(thead, tbody);
  }

  /** A number of many digits in few. */
  function about(n) {
    const thousands = Math.floor((n.toString().length - 1) / 3);
    if (thousands === 0) return n.toString();
    const hundredths = n / 10n ** BigInt(3 * thousands - 2);
    return `${(Number(hundredths) / 100).toFixed(1)} ${["", "k", "M", "G", "T", "P", "E"][thousands] ?? `·10^${3 * thousands}`}`;
  }

  /** A size as the command reads it: 4096, 1_024, 4,096, 10^6. */
  function size(text) {
    const plain = text.trim().replace(/[_,](?=\d{3}(\D|$))/g, "").replace(/_/g, "");
    const power = /^(\d{1,40})\^(\d{1,2})$/.exec(plain);
    if (power) return BigInt(power[1]) ** BigInt(power[2]);
    return /^\d{1,60}$/.test(plain) ? BigInt(plain) : null;
  }

  /** Bytes: 24GB is 24·10⁹, 24GiB is 24·2³⁰. */
  function bytesOf(text) {
    const found = /^([\d_,]{1,30})(?:\.(\d{1,9}))?\s*([kMGT]i?B?|B)?$/.exec(text.trim());
    if (!found) return null;
    const digits = found[1].replace(/[_,]/g, "");
    if (digits === "") return null;
    const unit = found[3] ?? "B";
    const power = BigInt("BkMGT".indexOf(unit[0]));
    const scale = unit.includes("i") ? 1024n ** power : 1000n ** power;
    const fraction = found[2] ?? "";
    return (BigInt(digits + fraction) * scale) / 10n ** BigInt(fraction.length);
  }

  /** Bytes in few digits, as powers of ten. */
  const aboutBytes = (n) => `${about(n)}B`;

  /** A number of seconds, operations or the like, of four digits. */
  function rough(x, units) {
    if (x === 0) return `0 ${units.at(-1)}`;
    const at = Math.max(0, Math.min(units.length - 1, -Math.floor(Math.log10(x) / 3)));
    return `${(x * 1000 ** at).toPrecision(4)} ${units[at]}`;
  }
  const seconds = (x) => rough(x, ["s", "ms", "µs", "ns"]);

  return { get, digits, percent, element, drawn, wide, redraw, table, about, aboutBytes, size, bytesOf, seconds };
})();

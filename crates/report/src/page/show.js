// What is seen of the page. Everything that was typed or read is shown as text, never as markup.
"use strict";
const Show = (() => {
  const get = (id) => document.getElementById(id);
  const digits = (n) => n.toString().replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  const percent = (part, all) =>
    all === 0n ? "" : `${(Number((part * 100000n) / all) / 1000).toFixed(1)} %`;
  const NAMES = { batch: "items", images: "images", memory: "tokens of the source", past: "tokens in the cache", tokens: "tokens", size: "size" };
  const QUANTITIES = ["flops", "macs", "matmul-flops", "params", "read", "written"];
  const CALLED = { read: "bytes read", written: "bytes written" };
  let ledger, state, later;

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

  /** How wide pictures are, so that their words keep their size. */
  const wide = () => Math.max(280, Math.min(860, get("chart").parentElement.clientWidth || 720));

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

  /** A size as the command reads it: 4096, 1_024, 4,096, 10^6. */
  function size(text) {
    const plain = text.trim().replace(/[_,](?=\d{3}(\D|$))/g, "").replace(/_/g, "");
    const power = /^(\d{1,40})\^(\d{1,2})$/.exec(plain);
    if (power) return BigInt(power[1]) ** BigInt(power[2]);
    return /^\d{1,60}$/.test(plain) ? BigInt(plain) : null;
  }

  function memoryOf(text) {
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

  const PASTED = "config.json";
  let pasted = null;
  const model = () => (state.model === PASTED && pasted ? pasted : ledger.model(state.model));
  const hasPast = (own) => own.cached !== null;
  const past = () => hasPast(model()) && (size(state.sizes.p ?? "") ?? 0n) > 0n;

  /** Sizes that are asked for: with a cache, how much is in it, too. */
  function fields(own) {
    const plain = ledger.asked(own, false);
    const cached = hasPast(own) ? ledger.asked(own, true) : [];
    return [...plain, ...cached.filter(([name]) => !plain.some(([known]) => known === name))];
  }

  const usual = (role, own) => {
    const limit = own.positions && !own.positions[2] ? own.positions[0] : 1024;
    return { batch: "1", images: "1", past: "0" }[role] ?? String(Math.min(1024, limit));
  };

  /** The sizes as numbers, or what is wrong with one. */
  function given(own, withPast) {
    const all = new Map();
    for (const [name, role] of ledger.asked(own, withPast)) {
      const text = state.sizes[name] ?? usual(role, own);
      const found = size(text);
      const told = `${name} (${NAMES[role]})`;
      if (found === null) throw Object.assign(new Error(text.trim() === "" ? `${told} is empty` : `${told} is no whole number: ${text.slice(0, 60)}`), { field: name });
      if (found === 0n && role !== "past") throw Object.assign(new Error(`${told} is 0, and at least 1 is needed`), { field: name });
      all.set(name, found);
    }
    return all;
  }

  function showFields() {
    const own = model();
    get("sizes").replaceChildren(...fields(own).map(([name, role]) => {
      const field = element("div", undefined, { class: "field" });
      const id = `size-${name}`;
      state.sizes[name] ??= usual(role, own);
      const text = element("input", undefined, { id, inputmode: "numeric", spellcheck: "false" });
      text.value = state.sizes[name];
      const slide = element("input", undefined, { type: "range", min: role === "past" ? -1 : 0, max: 20, step: 1, "aria-label": `${name}, ${NAMES[role]}, as a power of two` });
      const place = () => {
        const found = size(text.value);
        slide.value = found === null || found === 0n ? -1 : found.toString(2).length - 1;
      };
      place();
      text.addEventListener("input", () => { state.sizes[name] = text.value; place(); update(); });
      slide.addEventListener("input", () => {
        const limit = own.positions && !own.positions[2] && role !== "batch" ? own.positions[0] : Infinity;
        text.value = slide.value < 0 ? "0" : String(Math.min(2 ** Number(slide.value), limit));
        state.sizes[name] = text.value;
        update();
      });
      field.append(element("label", `${name}: ${NAMES[role]}`, { for: id }), text, slide);
      return field;
    }));
  }

  /** A number of many digits in few. */
  function about(n) {
    const thousands = Math.floor((n.toString().length - 1) / 3);
    if (thousands === 0) return n.toString();
    const hundredths = n / 10n ** BigInt(3 * thousands - 2);
    return `${(Number(hundredths) / 100).toFixed(1)} ${["", "k", "M", "G", "T", "P", "E"][thousands] ?? `·10^${3 * thousands}`}`;
  }

  /** What is said of a model in all: names and numbers. */
  function lines(counted, memory) {
    const { total } = counted;
    const all = QUANTITIES.map((name) => [CALLED[name] ?? name, total[name]]);
    if (total.active !== total.params) all.push(["params that a token meets", total.active]);
    all.push([`parameters, bytes as ${state.type}`, memory.parameters]);
    if (memory.cache !== null) {
      all.push([`cache of a token, bytes as ${state.type}`, memory.perToken]);
      all.push([`cache of all tokens, bytes as ${state.type}`, memory.cache]);
      if (memory.without) all.push(["the same without windows", memory.without]);
    }
    return new Map([...all, ...ledger.data.classes.map((name, at) => [name, total.counts[at]])]);
  }

  function showTotals(own, counted, memory) {
    const mine = lines(counted, memory);
    const columns = ["quantity", "about#", `${own.name}#`];
    const other = ledger.model(state.beside);
    let theirs;
    if (other) {
      columns.push(`${other.name}#`, "times#");
      try {
        const withPast = hasPast(other) && (size(state.sizes.p ?? "") ?? 0n) > 0n;
        const sizes = given(other, withPast);
        const there = ledger.count(other, sizes, withPast);
        theirs = lines(there, ledger.memory(other, sizes, there.total.params, state.type));
      } catch (wrong) {
        theirs = wrong.message;
      }
    }
    const names = new Set([...mine.keys(), ...(theirs instanceof Map ? theirs.keys() : [])]);
    const times = (a, b) => (a === 0n ? "" : (Number((b * 1000n) / a) / 1000).toFixed(3));
    const rows = [...names].map((name, at) => {
      const [a, b] = [mine.get(name), theirs instanceof Map ? theirs.get(name) : undefined];
      const row = [name, a === undefined ? "" : about(a), a === undefined ? "none" : digits(a)];
      if (!other) return row;
      if (typeof theirs === "string") return [...row, at === 0 ? theirs : "", ""];
      return [...row, b === undefined ? "none" : digits(b), a === undefined || b === undefined ? "" : times(a, b)];
    });
    const isClass = ([name]) => ledger.data.classes.includes(name);
    table("total", columns, rows.filter((row) => !isClass(row)));
    table("classes", columns, rows.filter(isClass));
  }

  function showFormula(own, counted) {
    const quantity = state.quantity;
    const twice = quantity === "matmul-flops";
    let formula = ledger.whole(own, twice ? "macs" : quantity, past());
    if (twice) formula = formula.map((term) => ({ ...term, whole: 2n * term.whole }));
    const name = ([symbol, power], of) => of(symbol) + (power === 1 ? "" : [...String(power)].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join(""));
    const written = (term, of) => {
      const factor = `${term.whole}${term.divisor === 1n ? "" : `/${term.divisor}`}`;
      const powers = term.powers.map((power) => name(power, of));
      return [...(factor === "1" && powers.length ? [] : [factor]), ...powers].join("·");
    };
    const values = formula.map((term) => [term, Ledger.product(term, counted.size)]);
    values.sort(([a, x], [b, y]) => { const [l, r] = [x * b.divisor, y * a.divisor]; return l < r ? 1 : l > r ? -1 : 0; });
    const all = counted.total[quantity];
    const shown = (term, product) => product % term.divisor === 0n ? digits(product / term.divisor) : `${digits(product)}/${term.divisor}`;
    table("formula", [`${CALLED[quantity] ?? quantity} =`, "your numbers", "value#", "share#"], [
      ...values.map(([term, product]) => [written(term, (s) => s), written(term, (s) => String(counted.size(s))), shown(term, product), percent(product / term.divisor, all)]),
      ["sum", "", digits(all), "100.0 %"],
    ]);
    const structure = ledger.data.structures[past() ? own.cached : own.plain];
    get("follows").replaceChildren(...structure.definitions.map((text) => element("li", text)));
  }

  function showRows(counted) {
    const by = state.sort;
    const rows = [...counted.rows];
    if (by !== "order") rows.sort((a, b) => (a[by] < b[by] ? 1 : a[by] > b[by] ? -1 : 0));
    table("rows", ["module or operation", "kind", "params#", "macs#", "flops#", "share#", "bytes read#", "bytes written#"], rows.map((row) => [
      row.path, ledger.data.kinds[row.kind], digits(row.params), digits(row.macs), digits(row.flops), percent(row.flops, counted.total.flops), digits(row.read), digits(row.written),
    ]));
  }

  const kindsAt = (own, sizes, symbol, n) => ledger.shares(own, new Map([...sizes, [symbol, n]]), past());

  function showGrowth(own, sizes) {
    const structure = ledger.data.structures[past() ? own.cached : own.plain];
    const symbol = [structure.roles.tokens, structure.roles.memory].find((name) => sizes.has(name));
    const section = get("chart").closest("section");
    section.hidden = symbol === undefined;
    if (section.hidden) return;
    const points = [];
    for (let power = 0; power <= 20; power += 1) {
      const found = kindsAt(own, sizes, symbol, 2n ** BigInt(power));
      if (found) points.push([2n ** BigInt(power), found, found.reduce((all, one) => all + one, 0n)]);
    }
    const used = ledger.data.kinds.map((name, kind) => [name, kind]).filter(([, kind]) => points.some(([, own]) => own[kind] > 0n));
    const [width, height, left, bottom] = [wide(), 300, 48, 34];
    const x = (at) => left + ((width - left - 14) * at) / Math.max(points.length - 1, 1);
    const y = (share) => 12 + (height - bottom - 12) * (1 - share);
    const parts = [];
    const below = points.map(() => 0);
    for (const [, kind] of used) {
      const low = points.map((_, at) => `${x(at)},${y(below[at])}`);
      points.forEach(([, own, all], at) => { below[at] += Number((own[kind] * 1000000n) / (all || 1n)) / 1e6; });
      const high = points.map((_, at) => `${x(at)},${y(below[at])}`).reverse();
      parts.push(drawn("polygon", { points: [...low, ...high].join(" "), class: `k${kind}` }));
    }
    points.forEach(([n], at) => {
      if (at % (width < 500 ? 8 : 4) === 0) parts.push(drawn("text", { x: x(at), y: height - 12, "text-anchor": at === points.length - 1 ? "end" : "middle" }, digits(n)));
    });
    for (const share of [0, 0.5, 1]) parts.push(drawn("text", { x: left - 6, y: y(share) + 4, "text-anchor": "end" }, `${share * 100} %`));
    const mark = Math.log2(Number(sizes.get(symbol)));
    if (mark <= points.length - 1) parts.push(drawn("line", { x1: x(mark), x2: x(mark), y1: 12, y2: height - bottom, class: "mark" }));
    redraw("chart", width, height, parts, `Shares of scalar operations by kind, from 1 to ${points.length ? digits(points.at(-1)[0]) : 1} ${symbol}; the table below has the numbers`);
    get("legend").replaceChildren(...used.map(([name, kind]) => {
      const item = element("span");
      item.append(element("i", undefined, { class: `k${kind}` }), name);
      return item;
    }));
    get("crossing").textContent = crossing(own, sizes, symbol, points);
    table("shares", [`${symbol}#`, ...used.map(([name]) => `${name}#`)], points.map(([n, own, all]) => [digits(n), ...used.map(([, kind]) => percent(own[kind], all))]));
  }

  /** From which number of tokens attention between them is more than all linear maps. */
  function crossing(own, sizes, symbol, points) {
    const more = ([, kinds]) => kinds[2] > kinds[0] + kinds[1];
    const at = points.findIndex(more);
    if (at < 0) return points.length ? `Up to ${digits(points.at(-1)[0])} ${symbol}, attention between tokens stays below the linear maps.` : "";
    let [low, high] = [at === 0 ? 0n : points[at - 1][0], points[at][0]];
    while (high - low > 1n) {
      const middle = (low + high) / 2n;
      if (more([middle, kindsAt(own, sizes, symbol, middle)])) high = middle; else low = middle;
    }
    return `From ${symbol} = ${digits(high)} on, attention between tokens is more operations than all linear maps.`;
  }

  function showMemory(own, sizes, counted, memory) {
    const limit = memoryOf(state.memory);
    get("memory").setAttribute("aria-invalid", String(limit === null));
    const taken = memory.parameters + (memory.cache ?? 0n);
    const width = wide();
    const most = [taken, limit ?? 0n].reduce((a, b) => (a > b ? a : b)) || 1n;
    const at = (n) => 4 + (Number((n * 100000n) / most) / 100000) * (width - 8);
    const parts = [drawn("rect", { x: 4, y: 12, height: 32, width: at(memory.parameters) - 4, class: "k0" })];
    if (memory.cache) parts.push(drawn("rect", { x: at(memory.parameters), y: 12, height: 32, width: at(taken) - at(memory.parameters), class: "k2" }));
    if (limit !== null) parts.push(drawn("line", { x1: at(limit), x2: at(limit), y1: 4, y2: 52, class: "mark" }));
    redraw("bar", width, 56, parts, `Parameters ${digits(memory.parameters)} bytes, keys and values ${digits(memory.cache ?? 0n)} bytes`);
    get("fits").textContent = limit === null ? `no number of bytes: ${state.memory.slice(0, 60)}` : fits(own, sizes, counted, taken, limit);
  }

  function fits(own, sizes, counted, taken, limit) {
    const verdict = `Parameters${own.cached === null ? "" : " and keys and values"} as ${state.type} take ${digits(taken)} bytes: ${taken <= limit ? "they fit" : "they do not fit"}; what is computed on the way comes on top`;
    const structure = ledger.data.structures[own.plain];
    const symbol = structure.roles.tokens;
    if (own.cached === null || symbol === undefined) return `${verdict}.`;
    const all = (n) => {
      const memory = ledger.memory(own, new Map([...sizes, [symbol, n], [ledger.data.structures[own.cached].roles.past, 0n]]), counted.total.params, state.type);
      return memory.parameters + memory.cache;
    };
    if (all(1n) > limit) return `${verdict}. Not even one token fits.`;
    let [low, high] = [1n, 2n];
    while (all(high) <= limit && high < 2n ** 50n) [low, high] = [high, high * 2n];
    if (high >= 2n ** 50n) return `${verdict}. The cache stops growing: there is no longest text.`;
    while (high - low > 1n) {
      const middle = (low + high) / 2n;
      if (all(middle) <= limit) low = middle; else high = middle;
    }
    const positions = own.positions && low > BigInt(own.positions[0]) ? `; the model was made for ${digits(BigInt(own.positions[0]))}` : "";
    return `${verdict}. The longest text whose keys and values fit beside the parameters: ${digits(low)} tokens of each item${positions}. (opledger fit ${own.name} --memory … --dtype ${state.type} also counts what is computed on the way.)`;
  }

  function update() {
    const own = model();
    if (!own) return;
    remember();
    for (const field of get("sizes").querySelectorAll("input[id]")) field.removeAttribute("aria-invalid");
    const problem = get("problem");
    try {
      const sizes = given(own, past());
      const counted = ledger.count(own, sizes, past());
      const memory = ledger.memory(own, sizes, counted.total.params, state.type);
      const sets = [...sizes].map(([name, n]) => ` --set ${name}=${n}`).join("");
      get("command").textContent = `opledger count ${own.name}${sets} --dtype ${state.type}`;
      const beyond = own.positions && (sizes.get("n") ?? 0n) + (sizes.get("p") ?? 0n) > BigInt(own.positions[0]);
      get("source").textContent = [own.source, ...own.notes, ...(beyond ? [`more tokens than the ${digits(BigInt(own.positions[0]))} that the model was made for (${own.positions[1]})`] : [])].join(". ");
      showTotals(own, counted, memory);
      clearTimeout(later);
      // The numbers first, then the pictures.
      later = setTimeout(() => {
        showGrowth(own, sizes);
        showMemory(own, sizes, counted, memory);
        showFormula(own, counted);
        showRows(counted);
      });
      problem.hidden = true;
      get("results").hidden = false;
    } catch (wrong) {
      problem.textContent = wrong.message;
      problem.hidden = false;
      clearTimeout(later);
      get("results").hidden = true;
      if (wrong.field) get(`size-${wrong.field}`).setAttribute("aria-invalid", "true");
    }
  }

  /** The setting as the fragment of the address. */
  function remember() {
    const names = fields(model()).map(([name]) => name);
    const pairs = [["model", state.model], ...names.map((name) => [name, state.sizes[name]]), ["type", state.type], ["of", state.quantity], ["sort", state.sort], ["memory", state.memory], ["beside", state.beside]];
    const text = pairs.filter(([, value]) => value).map((pair) => pair.map(encodeURIComponent).join("=")).join("&");
    try { history.replaceState(null, "", `#${text}`); } catch { /* a viewer without addresses */ }
  }

  /** The setting that a fragment says; what it does not know of, it names. */
  function recall() {
    const wrong = [];
    const one = (name, value, known) => (known.includes(value) ? value : void wrong.push(`the address asks for ${name} “${value.slice(0, 60)}”, which is not known here`));
    for (const pair of location.hash.slice(1).split("&").filter(Boolean)) {
      let [name, value] = ["", ""];
      try { [name, value = ""] = pair.split("=").map(decodeURIComponent); } catch { wrong.push("a part of the address cannot be read"); continue; }
      const names = ledger.data.models.map((model) => model.name);
      if (name === "model") state.model = one("model", value, names) ?? state.model;
      else if (name === "beside") state.beside = one("model", value, names) ?? "";
      else if (name === "type") state.type = one("type", value, ledger.data.types.map(([type]) => type)) ?? state.type;
      else if (name === "of") state.quantity = one("quantity", value, QUANTITIES) ?? state.quantity;
      else if (name === "sort") state.sort = one("order", value, ["order", ...QUANTITIES]) ?? state.sort;
      else if (name === "memory") state.memory = value;
      else if (/^\w{1,20}$/.test(name)) state.sizes[name] = value;
    }
    return wrong;
  }

  function options(id, values, chosen) {
    get(id).replaceChildren(...values.map(([value, text]) => new Option(text, value, false, value === chosen)));
  }

  function models(id, first, chosen) {
    const families = Map.groupBy ? Map.groupBy(ledger.data.models, (model) => model.family) : ledger.data.models.reduce((all, model) => all.set(model.family, [...(all.get(model.family) ?? []), model]), new Map());
    const groups = [...families].sort(([a], [b]) => (a < b ? -1 : 1)).map(([family, all]) => {
      const group = element("optgroup", undefined, { label: family });
      group.append(...all.map((model) => new Option(model.name, model.name, false, model.name === chosen)));
      return group;
    });
    get(id).replaceChildren(...first, ...groups);
  }

  function fill() {
    models("model", pasted ? [new Option("config.json, as pasted", PASTED, false, state.model === PASTED)] : [], state.model);
    models("beside", [new Option("nothing", "", false, state.beside === "")], state.beside);
    options("type", ledger.data.types.map(([type, bits]) => [type, `${type}, ${bits} bits`]), state.type);
    options("quantity", QUANTITIES.map((name) => [name, CALLED[name] ?? name]), state.quantity);
    options("sort", [["order", "order in the model"], ...QUANTITIES.map((name) => [name, CALLED[name] ?? name])], state.sort);
    get("memory").value = state.memory;
    showFields();
  }

  /** Takes what was pasted for the model, or says why not; what was typed stays. */
  function take() {
    const text = get("paste").value;
    const said = get("pasted");
    if (text.trim() === "") {
      [pasted, said.textContent] = [null, ""];
      if (state.model === PASTED) state.model = "llama-3.1-8b";
    } else {
      try {
        pasted = Paste.read(ledger.data, text);
        state.model = PASTED;
        said.textContent = `Read: ${pasted.source}. ${Object.entries(pasted.sizes).map((pair) => pair.join(" = ")).join(", ")}`;
      } catch (wrong) {
        pasted = null;
        state.model = PASTED;
        said.textContent = wrong.message;
        get("problem").textContent = "what was pasted is not read: see there";
        get("problem").hidden = false;
        clearTimeout(later);
        get("results").hidden = true;
        return;
      }
    }
    fill();
    update();
  }

  function begin() {
    state = { model: "llama-3.1-8b", beside: "", type: "bf16", quantity: "macs", sort: "order", memory: "80GB", sizes: { n: "4096" } };
    const wrong = recall();
    fill();
    update();
    if (wrong.length) {
      get("problem").textContent = wrong.join("; ");
      get("problem").hidden = false;
    }
  }

  function start(text) {
    ledger = Ledger.ledger(JSON.parse(text));
    get("version").textContent = ledger.data.version;
    get("meanings").textContent = Object.entries(ledger.data.conventions).map(([name, meaning]) => `${name} = ${meaning}`).join("; ");
    const chosen = (id, name, then = update) => get(id).addEventListener("change", () => { state[name] = get(id).value; then(); });
    chosen("model", "model", () => { state.sizes = Object.fromEntries(Object.entries(state.sizes).filter(([name]) => fields(model()).some(([own]) => own === name))); showFields(); update(); });
    for (const [id, name] of [["beside", "beside"], ["type", "type"], ["quantity", "quantity"], ["sort", "sort"]]) chosen(id, name);
    get("paste").addEventListener("input", take);
    get("memory").addEventListener("input", () => { state.memory = get("memory").value; update(); });
    get("setting").addEventListener("submit", (event) => event.preventDefault());
    addEventListener("hashchange", begin);
    addEventListener("resize", update);
    begin();
  }

  return { start };
})();

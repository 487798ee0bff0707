// The setting of the page, and what is seen of it.
"use strict";
const Show = (() => {
  const { get, digits, percent, element, table, about, aboutBytes, size } = Dom;
  const NAMES = { batch: "items", images: "images", memory: "tokens of the source", past: "tokens in the cache", tokens: "tokens", size: "size" };
  const QUANTITIES = ["flops", "macs", "matmul-flops", "params", "read", "written"];
  /** Those that no type changes. */
  const TOTALS = ["flops", "macs", "matmul-flops", "params"];
  const POLICIES = ["none", "selective", "full"];
  const AGAIN = { none: "nothing", selective: "scores and weights of attention (selective)", full: "layers, but for what enters them (full)" };
  const OPTIMIZERS = ["sgd", "adamw"];
  const CALLED = { read: "bytes read, f32", written: "bytes written, f32" };
  let ledger, state, later;

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

  /** The last position of a model that has no more, else none. */
  const lastPosition = (own) => (own.positions && !own.positions[2] ? own.positions[0] : Infinity);

  const usual = (role, own) => ({ batch: "1", images: "1", past: "0", tokens: String(Math.min(4096, lastPosition(own))) }[role] ?? String(Math.min(1024, lastPosition(own))));

  /** Another model, whose tokens are as many as before if it has positions for them. */
  function changed() {
    const own = model();
    const asked = fields(own);
    state.sizes = Object.fromEntries(Object.entries(state.sizes).filter(([name]) => asked.some(([known]) => known === name)));
    for (const [name, role] of asked) {
      const found = size(state.sizes[name] ?? "");
      if (role === "tokens" && found !== null && found > lastPosition(own)) state.sizes[name] = String(lastPosition(own));
    }
    showFields();
    update();
  }

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
        const limit = role === "batch" ? Infinity : lastPosition(own);
        text.value = slide.value < 0 ? "0" : String(Math.min(2 ** Number(slide.value), limit));
        state.sizes[name] = text.value;
        update();
      });
      field.append(element("label", `${name}: ${NAMES[role]}`, { for: id }), text, slide);
      return field;
    }));
  }

  /** What is said of a model in all: names and numbers. */
  function lines(counted, memory) {
    const { total } = counted;
    const all = TOTALS.map((name) => [name, total[name]]);
    if (total.active !== total.params) all.push(["params that a token meets", total.active]);
    all.push([`parameters, bytes as ${state.type}`, memory.parameters]);
    if (memory.cache !== null) {
      all.push([`cache of a token, bytes as ${state.type}`, memory.perToken]);
      all.push([`cache of all tokens, bytes as ${state.type}`, memory.cache]);
      if (memory.without) all.push(["the same without windows", memory.without]);
    }
    const bits = BigInt(new Map(ledger.data.types).get(state.type));
    const moved = counted.rows.reduce((sum, row) => sum + ledger.moved(row, bits), 0n);
    if (bits >= 16n) all.push([`bytes moved, reals as ${state.type}`, moved]);
    const wide = ["read", "written"].map((name) => [CALLED[name], total[name]]);
    return new Map([...all, ...wide, ...ledger.data.classes.map((name, at) => [name, total.counts[at]])]);
  }

  function showTotals(own, counted, memory) {
    const mine = lines(counted, memory);
    const columns = ["quantity", "about#", `${own.name}#`];
    const other = ledger.model(state.beside);
    let theirs;
    get("results").classList.toggle("two", other !== undefined);
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
    const more = [...Object.values(CALLED), ...ledger.data.classes];
    table("total", columns, rows.filter(([name]) => !more.includes(name)));
    table("classes", columns, rows.filter(([name]) => more.includes(name)));
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
    table("rows", ["module or operation", "kind", "params#", "macs#", "flops#", "share of flops#", "bytes read, f32#", "bytes written, f32#"], rows.map((row) => [
      row.path, ledger.data.kinds[row.kind], digits(row.params), digits(row.macs), digits(row.flops), percent(row.flops, counted.total.flops), digits(row.read), digits(row.written),
    ]));
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
        const view = { ledger, state, own, sizes, counted, memory, past: past() };
        Pictures.growth(view);
        const { total } = counted;
        Glance.show([
          ["One pass", about(total.flops), `flops; ${about(total.macs)} macs`, "h-total"],
          ["Parameters", about(total.params), `${aboutBytes(memory.parameters)} as ${state.type}`, "h-total"],
          [...Pictures.bar(view), "h-memory"],
          [...Roofline.show(view), "h-bound"],
          [...Generate.show(view), "h-generation"],
          [...Step.show(view), "h-step"],
          [...Tools.show(view), "h-tools"],
        ]);
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
    const pairs = [["model", state.model], ...names.map((name) => [name, state.sizes[name]]), ["type", state.type], ["device", state.device], ["recompute", state.recompute], ["optimizer", state.optimizer], ["of", state.quantity], ["sort", state.sort], ["memory", state.memory], ["new", state.news], ["beside", state.beside]];
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
      else if (name === "device") state.device = one("device", value, ledger.data.devices.map((device) => device.name)) ?? state.device;
      else if (name === "recompute") state.recompute = one("policy", value, POLICIES) ?? state.recompute;
      else if (name === "optimizer") state.optimizer = one("optimizer", value, OPTIMIZERS) ?? state.optimizer;
      else if (name === "of") state.quantity = one("quantity", value, QUANTITIES) ?? state.quantity;
      else if (name === "sort") state.sort = one("order", value, ["order", ...QUANTITIES]) ?? state.sort;
      else if (name === "memory") state.memory = value;
      else if (name === "new") state.news = value;
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
    options("device", ledger.data.devices.map(({ name, memory }) => [name, `${name}, ${memory / 1e9} GB`]), state.device);
    options("recompute", POLICIES.map((name) => [name, AGAIN[name]]), state.recompute);
    options("optimizer", [["", "none"], ...OPTIMIZERS.map((name) => [name, name])], state.optimizer);
    options("quantity", QUANTITIES.map((name) => [name, CALLED[name] ?? name]), state.quantity);
    options("sort", [["order", "order in the model"], ...QUANTITIES.map((name) => [name, CALLED[name] ?? name])], state.sort);
    get("memory").value = state.memory;
    get("news").value = state.news;
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
    state = { model: "llama-3.1-8b", beside: "", type: "bf16", device: "h100-sxm", recompute: "none", optimizer: "adamw", quantity: "macs", sort: "order", memory: "80GB", news: "256", sizes: {} };
    const wrong = recall();
    fill();
    update();
    if (wrong.length) {
      get("problem").textContent = wrong.join("; ");
      get("problem").hidden = false;
    }
  }

  /** Shows the data once they are there, or why they are not. */
  async function start(text) {
    try {
      ledger = Ledger.ledger(JSON.parse(await text));
    } catch (wrong) {
      get("problem").textContent = `Nothing can be shown: ${wrong.message}`;
      get("problem").hidden = false;
      for (const id of ["setting", "results"]) get(id).hidden = true;
      return;
    }
    get("version").textContent = ledger.data.version;
    get("meanings").textContent = Object.entries(ledger.data.conventions).map(([name, meaning]) => `${name} = ${meaning}`).join("; ");
    const chosen = (id, name, then = update) => get(id).addEventListener("change", () => { state[name] = get(id).value; then(); });
    chosen("model", "model", changed);
    chosen("device", "device", () => {
      state.memory = `${ledger.data.devices.find(({ name }) => name === state.device).memory / 1e9}GB`;
      get("memory").value = state.memory;
      update();
    });
    for (const [id, name] of [["beside", "beside"], ["type", "type"], ["recompute", "recompute"], ["optimizer", "optimizer"], ["quantity", "quantity"], ["sort", "sort"]]) chosen(id, name);
    get("paste").addEventListener("input", take);
    get("memory").addEventListener("input", () => { state.memory = get("memory").value; update(); });
    get("news").addEventListener("input", () => { state.news = get("news").value; update(); });
    get("setting").addEventListener("submit", (event) => event.preventDefault());
    addEventListener("hashchange", begin);
    addEventListener("resize", update);
    begin();
    Tour.start();
  }

  return { start };
})();

// Where the work goes as the text grows, and what of it fits in memory.
"use strict";
const Pictures = (() => {
  const { get, digits, percent, element, drawn, wide, redraw, table, aboutBytes, bytesOf } = Dom;

  const kindsAt = ({ ledger, own, sizes, past }, symbol, n) => ledger.shares(own, new Map([...sizes, [symbol, n]]), past);

  /** Shares of kinds as the text grows. */
  function growth(view) {
    const { ledger, own, sizes, past } = view;
    const structure = ledger.data.structures[past ? own.cached : own.plain];
    const symbol = [structure.roles.tokens, structure.roles.memory].find((name) => sizes.has(name));
    const section = get("chart").closest("section");
    section.hidden = symbol === undefined;
    if (section.hidden) return;
    const points = [];
    for (let power = 0; power <= 20; power += 1) {
      const found = kindsAt(view, symbol, 2n ** BigInt(power));
      if (found) points.push([2n ** BigInt(power), found, found.reduce((all, one) => all + one, 0n)]);
    }
    const used = ledger.data.kinds.map((name, kind) => [name, kind]).filter(([, kind]) => points.some(([, own]) => own[kind] > 0n));
    const [width, height, left, bottom] = [wide("chart"), 300, 48, 34];
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
      if (at % (width < 600 ? 10 : 5) === 0) parts.push(drawn("text", { x: x(at), y: height - 12, "text-anchor": at === points.length - 1 ? "end" : "middle" }, digits(n)));
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
    get("crossing").textContent = crossing(view, symbol, points);
    table("shares", [`${symbol}#`, ...used.map(([name]) => `${name}#`)], points.map(([n, own, all]) => [digits(n), ...used.map(([, kind]) => percent(own[kind], all))]));
  }

  /** From which number of tokens attention between them is more than all linear maps. */
  function crossing(view, symbol, points) {
    const more = ([, kinds]) => kinds[2] > kinds[0] + kinds[1];
    const at = points.findIndex(more);
    if (at < 0) return points.length ? `Up to ${digits(points.at(-1)[0])} ${symbol}, attention between tokens stays below the linear maps.` : "";
    let [low, high] = [at === 0 ? 0n : points[at - 1][0], points[at][0]];
    while (high - low > 1n) {
      const middle = (low + high) / 2n;
      if (more([middle, kindsAt(view, symbol, middle)])) high = middle; else low = middle;
    }
    return `From ${symbol} = ${digits(high)} on, attention between tokens is more operations than all linear maps.`;
  }

  /** Parameters and the cache against the memory of a device; what is seen of it at a glance. */
  function bar(view) {
    const { state, own, memory } = view;
    const limit = bytesOf(state.memory);
    get("memory").setAttribute("aria-invalid", String(limit === null));
    const taken = memory.parameters + (memory.cache ?? 0n);
    const width = wide("bar");
    const most = [taken, limit ?? 0n].reduce((a, b) => (a > b ? a : b)) || 1n;
    const at = (n) => 4 + (Number((n * 100000n) / most) / 100000) * (width - 8);
    const parts = [drawn("rect", { x: 4, y: 12, height: 32, width: at(memory.parameters) - 4, class: "k0" })];
    if (memory.cache) parts.push(drawn("rect", { x: at(memory.parameters), y: 12, height: 32, width: at(taken) - at(memory.parameters), class: "k2" }));
    if (limit !== null) parts.push(drawn("line", { x1: at(limit), x2: at(limit), y1: 4, y2: 52, class: "mark" }));
    redraw("bar", width, 56, parts, `Parameters ${digits(memory.parameters)} bytes, keys and values ${digits(memory.cache ?? 0n)} bytes`);
    if (limit === null) {
      get("fits").textContent = `no number of bytes: ${state.memory.slice(0, 60)}`;
      return ["Does it fit?", "unknown", "the memory is no number of bytes"];
    }
    const [held, what] = [own.cached === null ? "Parameters" : "Parameters and keys and values", `as ${state.type}`];
    const verdict = `${held} ${what} take ${digits(taken)} bytes: ${taken <= limit ? "they fit" : "they do not fit"}; what is computed on the way comes on top`;
    const found = longest(view, limit);
    get("fits").textContent = `${verdict}. ${fits(view, found)}`.trim();
    const now = `${aboutBytes(taken)} of ${state.memory}`;
    if (!found.tokens) return ["Does it fit?", taken <= limit ? "yes" : "no", now];
    return ["Longest text that fits", digits(found.tokens), `tokens, by ${found.short}; now ${now}`];
  }

  /** How many tokens of each item have positions, and room for keys and values beside the parameters; null where nothing says so. */
  function longest({ ledger, state, own, sizes, counted }, limit) {
    const symbol = ledger.data.structures[own.plain].roles.tokens;
    const [positions, , computed] = own.positions ?? [null, "", true];
    if (own.cached === null || symbol === undefined) return { tokens: null };
    const { past } = ledger.data.structures[own.cached].roles;
    const fit = (n) => {
      const memory = ledger.memory(own, new Map([...sizes, [symbol, n], [past, 0n]]), counted.total.params, state.type);
      return memory.parameters + memory.cache <= limit;
    };
    if (!fit(1n)) return { tokens: 0n };
    if (!computed && fit(BigInt(positions))) return { tokens: BigInt(positions), by: "its positions", short: "its positions" };
    let [low, high] = [1n, 2n];
    while (fit(high) && high < 2n ** 50n) [low, high] = [high, high * 2n];
    if (high >= 2n ** 50n) return { tokens: null, by: "nothing" };
    while (high - low > 1n) {
      const middle = (low + high) / 2n;
      if (fit(middle)) low = middle; else high = middle;
    }
    const made = positions !== null && low > BigInt(positions) ? ` (it was made for ${digits(BigInt(positions))})` : "";
    return { tokens: low, by: `keys and values alone${made}`, short: "keys and values" };
  }

  function fits({ state, own }, { tokens, by }) {
    if (tokens === null) return by ? "The cache stops growing: there is no longest text." : "";
    if (tokens === 0n) return "Not even one token fits.";
    return `The longest text that fits beside the parameters, by ${by}: ${digits(tokens)} tokens of each item. (opledger fit ${own.name} --memory … --dtype ${state.type} also counts what is computed on the way.)`;
  }

  return { growth, bar };
})();

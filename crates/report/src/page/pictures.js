// Where the work goes as the text grows, and what of it fits in memory.
"use strict";
const Pictures = (() => {
  const { get, digits, percent, element, drawn, wide, redraw, table, bytesOf } = Dom;

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

  /** Parameters and the cache against the memory of a device. */
  function bar(view) {
    const { state, memory } = view;
    const limit = bytesOf(state.memory);
    get("memory").setAttribute("aria-invalid", String(limit === null));
    const taken = memory.parameters + (memory.cache ?? 0n);
    const width = wide();
    const most = [taken, limit ?? 0n].reduce((a, b) => (a > b ? a : b)) || 1n;
    const at = (n) => 4 + (Number((n * 100000n) / most) / 100000) * (width - 8);
    const parts = [drawn("rect", { x: 4, y: 12, height: 32, width: at(memory.parameters) - 4, class: "k0" })];
    if (memory.cache) parts.push(drawn("rect", { x: at(memory.parameters), y: 12, height: 32, width: at(taken) - at(memory.parameters), class: "k2" }));
    if (limit !== null) parts.push(drawn("line", { x1: at(limit), x2: at(limit), y1: 4, y2: 52, class: "mark" }));
    redraw("bar", width, 56, parts, `Parameters ${digits(memory.parameters)} bytes, keys and values ${digits(memory.cache ?? 0n)} bytes`);
    get("fits").textContent = limit === null ? `no number of bytes: ${state.memory.slice(0, 60)}` : fits(view, taken, limit);
  }

  function fits({ ledger, state, own, sizes, counted }, taken, limit) {
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

  return { growth, bar };
})();

// A configuration that somebody pastes, as sizes of a model of the page: by the products and lists that the
// command found by asking its own reader. What they do not say is refused.
"use strict";
const Paste = (() => {
  const RUN = "opledger count config.json has its numbers";

  function refuse(text) {
    throw new Error(`${text}; ${RUN}`);
  }

  const equal = (a, b) => {
    if (a === null || b === null || typeof a !== "object" || typeof b !== "object") return a === b;
    const [x, y] = [Object.keys(a), Object.keys(b)];
    return Array.isArray(a) === Array.isArray(b) && x.length === y.length && x.every((key) => Object.hasOwn(b, key) && equal(a[key], b[key]));
  };
  const shown = (value) => (JSON.stringify(value) ?? "absent").slice(0, 60);

  /** Below, at or above −1, 0 and 1: only beside others of its side was a number seen to change nothing. */
  const side = (x) => `${Math.sign(x)} ${Math.sign(Math.abs(x) - 1)}`;

  /** What keeps a configuration from being one of a reader's. */
  function differences(reader, config) {
    const found = [];
    const has = (key) => Object.hasOwn(config, key) && config[key] !== null;
    for (const key of Object.keys(reader.keys)) {
      const value = config[key];
      if (!has(key)) found.push(`\`${key}\` is absent`);
      else if (!Number.isInteger(value) || value < 1 || value > 2 ** 40) found.push(`\`${key}\` is ${shown(value)}, no size`);
    }
    for (const [key, text] of Object.entries(reader.fixed)) {
      const value = JSON.parse(text);
      if (!equal(value, config[key] ?? null)) found.push(`\`${key}\` is ${shown(config[key])} and not ${shown(value)}`);
    }
    for (const [key, text] of Object.entries(reader.free)) {
      if (!has(key)) {
        if (text !== null) found.push(`\`${key}\` is absent`);
      } else if (typeof config[key] !== "number") found.push(`\`${key}\` is ${shown(config[key])}, no number`);
      else if (text !== null && side(config[key]) !== side(JSON.parse(text))) found.push(`\`${key}\` is ${config[key]}, far from ${text}`);
    }
    for (const key of reader.absent) if (has(key)) found.push(`\`${key}\` is there`);
    return found;
  }

  /** Keys that divide each other have to go on doing so, where they may not have every value. */
  function divided(reader, config) {
    const bound = Object.entries(reader.keys).filter(([, [, isBound]]) => isBound).map(([key, [value]]) => [key, value]);
    const fixed = Object.entries(reader.fixed).map(([key, text]) => [key, JSON.parse(text)]).filter(([, value]) => Number.isInteger(value) && value > 0);
    for (const [key, value] of bound) {
      // 1 divides all: what it has to divide was not seen.
      if (value === 1 && config[key] !== 1) refuse(`\`${key}\` is ${config[key]} and not 1`);
      // One group, or as many as there are, may be another computation.
      if (value !== 1 && config[key] === 1) refuse(`\`${key}\` is 1`);
      for (const [other, theirs] of [...bound, ...fixed]) {
        if (key === other) continue;
        if (value !== theirs && config[key] === config[other]) refuse(`\`${key}\` and \`${other}\` are both ${config[key]}`);
        if (theirs % value === 0 && config[other] % config[key] !== 0) refuse(`\`${key}\` = ${config[key]} does not divide \`${other}\` = ${config[other]}`);
        if (value % theirs === 0 && config[key] % config[other] !== 0) refuse(`\`${other}\` = ${config[other]} does not divide \`${key}\` = ${config[key]}`);
      }
    }
    for (const [key, [, , even]] of Object.entries(reader.keys)) if (even && config[key] % 2 !== 0) refuse(`\`${key}\` = ${config[key]} is odd`);
  }

  /** Numbers that change nothing by themselves may do so where two become equal: one table of angles serves both. */
  function apart(reader, config) {
    const used = new Set(reader.sizes.flatMap(([, , powers]) => powers.map(([key]) => key)));
    const free = Object.entries(reader.free).map(([key, text]) => [key, text === null ? null : JSON.parse(text)]);
    const unused = Object.entries(reader.keys).filter(([key]) => !used.has(key)).map(([key, [value]]) => [key, value]);
    const numbers = [...free, ...unused].filter(([key]) => typeof config[key] === "number");
    for (const [at, [key, own]] of numbers.entries()) {
      for (const [other, theirs] of numbers.slice(at + 1)) {
        if (config[key] === config[other] && own !== theirs) refuse(`\`${key}\` and \`${other}\` are both ${config[key]}`);
      }
    }
  }

  /** What is a quotient, such as the width of a head, stays even where it is: halves of it are turned. */
  function halved(reader, sizes) {
    for (const [symbol, value, powers] of reader.sizes) {
      const quotient = powers.length > 1 || (powers.length === 1 && String(reader.keys[powers[0][0]][0]) !== value);
      if (quotient && BigInt(value) % 2n === 0n && BigInt(sizes[symbol]) % 2n !== 0n) refuse(`${symbol} would be ${sizes[symbol]}, which is odd`);
    }
  }

  /** A size as the product that it is. */
  function product(reader, config, [symbol, value, powers]) {
    let [up, down] = [BigInt(value), 1n];
    for (const [key, power] of powers) {
      const [now, then] = [BigInt(config[key]), BigInt(reader.keys[key][0])];
      up *= power > 0 ? now : then;
      down *= power > 0 ? then : now;
    }
    if (up % down !== 0n) refuse(`${symbol} would be ${up}/${down}, no whole number`);
    return up / down;
  }

  /** The model that a text describes, and what of it was passed over. */
  function read(data, text) {
    let config;
    try {
      config = JSON.parse(text);
    } catch (problem) {
      throw new Error(`this is no JSON: ${problem.message}`);
    }
    if (config === null || typeof config !== "object" || Array.isArray(config)) throw new Error("this is JSON, but no object with keys");
    const family = config.model_type;
    if (typeof family !== "string") throw new Error("`model_type` is missing: it says of which family the model is");
    const readers = data.readers.filter((reader) => data.models[reader.model].family === family);
    if (readers.length === 0) refuse(`the page has no sizes to give to a model of \`model_type\` ${shown(family)}`);
    const named = (reader, key) => Object.hasOwn(reader.keys, key) || Object.hasOwn(reader.fixed, key) || Object.hasOwn(reader.free, key) || reader.absent.includes(key);
    const harmless = new Set(data.harmless);
    const known = new Set(data.known);
    const unknown = Object.keys(config).filter((key) => config[key] !== null && !harmless.has(key) && !known.has(key));
    if (unknown.length) refuse(`the page does not know ${unknown.slice(0, 8).map((key) => `\`${key.slice(0, 60)}\``).join(", ")}`);
    const tried = readers.map((reader) => [reader, differences(reader, config)]).sort(([, a], [, b]) => a.length - b.length);
    const [reader, wrong] = tried[0];
    if (wrong.length) refuse(`nearest is ${data.models[reader.model].name}, but ${wrong.slice(0, 6).join(", ")}`);
    divided(reader, config);
    apart(reader, config);
    const like = data.models[reader.model];
    const sizes = Object.fromEntries(reader.sizes.map((size) => [size[0], String(product(reader, config, size))]));
    halved(reader, sizes);
    const limit = like.positions && [Number(product(reader, config, reader.positions)), like.positions[1], like.positions[2]];
    const passed = Object.keys(config).filter((key) => config[key] !== null && !harmless.has(key) && !named(reader, key));
    const notes = [...like.notes, ...(passed.length ? [`keys taken to change nothing: ${passed.join(", ")}`] : [])];
    return { ...like, name: "config.json", source: `pasted, of the form of ${like.name}`, sizes, positions: limit, notes, tools: null };
  }

  return { read };
})();
if (typeof module !== "undefined") module.exports = Paste;

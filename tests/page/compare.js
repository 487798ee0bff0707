// Holds the formulas of a page against the command, digit for digit.
// node tests/page/compare.js OPLEDGER [SETTINGS [MODELS]]: so many settings drawn for each of so many models.
"use strict";
const { execFileSync } = require("node:child_process");
const { mkdtempSync, rmSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");
const { tmpdir } = require("node:os");
const Ledger = require("../../crates/report/src/page/evaluate.js");
const Attend = require("../../crates/report/src/page/attend.js");
const { read, write } = require("./read.js");
const Paste = require("../../crates/report/src/page/paste.js");

const [command = "target/debug/opledger", settings = "20", models = "1000"] = process.argv.slice(2);

// A generator of Lehmer, so that what is drawn can be drawn again.
let seed = 20261127n;
const draw = (below) => {
  seed = (seed * 48271n) % 2147483647n;
  return Number(seed % BigInt(below));
};

/** A JSON text of the command, whose lines hold one value each, with its integers as BigInt. */
const parse = (text) => JSON.parse(
  text.replace(/^(\s*(?:"[^"]*": )?)(-?\d+)(,?)$/gm, '$1"#$2"$3'),
  (_, value) => (/^#-?\d+$/.test(value) ? BigInt(value.slice(1)) : value),
);

async function page() {
  const folder = mkdtempSync(join(tmpdir(), "page-"));
  const file = join(folder, "page.html");
  write(command, file);
  const { html, packed, text, ledger } = await read(file);
  rmSync(folder, { recursive: true });
  console.log(`page: ${html.length} characters, its data ${text.length}, packed ${packed.length}`);
  return ledger;
}

/** What the command says, and what is refused. */
function said(name, given, options, question = "count") {
  const sets = [...given].flatMap(([name, size]) => ["--set", `${name}=${size}`]);
  try {
    const text = execFileSync(command, [question, name, ...sets, ...options, "--format", "json"], { stdio: "pipe", maxBuffer: 1 << 28 });
    return parse(text.toString());
  } catch (problem) {
    return { refused: problem.stderr.toString() };
  }
}

let ledger, data;
let generations = 0, numbers = 0, refusals = 0, compared = 0, steps = 0, printed = 0, silent = 0;
const wrong = [];

function compare(model, given, past, type, name = model.name) {
  const expected = said(name, given, ["--dtype", type]);
  const at = `${model.name} at ${[...given].map((pair) => pair.join("=")).join(", ")} as ${type}`;
  let counted;
  try {
    counted = ledger.count(model, given, past);
  } catch (problem) {
    if (expected.refused) refusals += 1;
    else wrong.push(`${at}: the page refuses (${problem.message}), the command does not`);
    return;
  }
  if (expected.refused) return void wrong.push(`${at}: the command refuses (${expected.refused.trim()})`);
  const { total } = counted;
  const bits = BigInt(new Map(data.types).get(type));
  const moved = counted.rows.reduce((all, row) => all + ledger.moved(row, bits), 0n);
  const told = expected.memory.moved;
  // Of a window the command says what is held, and half bytes are rounded for each part.
  const whole = told.cache_read === null && bits % 8n === 0n;
  const parts = whole ? [["moved", moved, told.weights_read + told.values_read + told.values_written]] : [];
  const memory = ledger.memory(model, given, total.params, type);
  const pairs = [
    ["macs", total.macs, expected.macs],
    ["flops", total.flops, expected.flops],
    ["matmul-flops", total["matmul-flops"], expected.matmul_flops],
    ["params", total.params, expected.params.total],
    ["read", total.read, expected.bytes.read],
    ["written", total.written, expected.bytes.written],
    ...data.classes.map((name, c) => [name, total.counts[c], expected.counts[name]]),
    ["parameters", memory.parameters, expected.memory.parameters],
    ["active", total.active, expected.memory.active_parameters ?? total.params],
    ["cache", memory.cache, expected.memory.cache],
    ["cache of a token", memory.perToken, expected.memory.cache_per_token],
    ["cache without windows", memory.without ?? null, expected.memory.cache_without_windows],
    ...parts,
    ...["macs", "flops", "params", "read", "written"].map((name) => {
      const rows = ledger.whole(model, name, past);
      return [`formula of ${name}`, Ledger.value(rows, counted.size), total[name]];
    }),
  ];
  for (const [name, found, told] of pairs) {
    numbers += 1;
    if (found !== told) wrong.push(`${at}: ${name} is ${found} on the page, ${told} by the command`);
  }
  compared += 1;
}

/** What tools print, against the command; where the page has no number, it says why. */
function compareTools(model, given) {
  const expected = said(model.name, given, ["--convention", "all"]);
  // Tools that refuse are a list of the answer.
  if (typeof expected.refused === "string") return;
  const told = new Map(expected.conventions.map(({ name, total }) => [name, total]));
  for (const { name, count, why } of ledger.tools(model, given)) {
    if (count === undefined) {
      silent += 1;
      if (told.has(name) && !why.startsWith("no polynomial")) wrong.push(`${model.name}: the page has no number of ${name} (${why}), the command ${told.get(name)}`);
      continue;
    }
    printed += 1;
    numbers += 1;
    if (count !== told.get(name)) wrong.push(`${model.name} at ${[...given].map((pair) => pair.join("=")).join(", ")}: ${name} prints ${count} on the page, ${told.get(name)} by the command`);
  }
}

/** A text that is generated, and how long a device takes for it at least, as `compare`. */
function compareGeneration(model, given) {
  if (model.generating === null) return;
  const news = [1n, 2n, BigInt(3 + draw(40))][draw(3)];
  const devices = data.devices.flatMap((device) => device.peaks.map(([type, peak]) => ({ ...device, type, peak }))).filter(({ type }) => ["f32", "f16", "bf16"].includes(type));
  const device = devices[draw(devices.length)];
  const bits = BigInt(new Map(data.types).get(device.type));
  const expected = said(model.name, given, ["--new-tokens", String(news)]);
  const at = `${news} new tokens of ${model.name} at ${[...given].map((pair) => pair.join("=")).join(", ")}`;
  const least = (part) => Math.max(Number(part["matmul-flops"]) / device.peak, Number(ledger.needed(part, bits)) / device.bandwidth);
  let found;
  try {
    found = ledger.generation(model, given, news, least);
  } catch (problem) {
    if (expected.refused) refusals += 1;
    else wrong.push(`${at}: the page refuses (${problem.message}), the command does not`);
    return;
  }
  if (expected.refused) return void wrong.push(`${at}: the command refuses (${expected.refused.trim()})`);
  const bound = said(model.name, given, ["--new-tokens", String(news), "--device", device.name, "--dtype", device.type]);
  for (const phase of ["prompt", "steps"]) {
    const [run, told] = [found[phase], expected[phase]];
    for (const [name, own, other] of [["macs", run.macs, told.macs], ["flops", run.flops, told.flops], ["read", run.read, told.bytes_read], ["written", run.written, told.bytes_written]]) {
      numbers += 1;
      if (own !== other) wrong.push(`${at}: ${name} of ${phase} is ${own} on the page, ${other} by the command`);
    }
    const { seconds, bytes } = bound.phases.find((one) => one.phase === (phase === "prompt" ? "prompt" : "new tokens")) ?? { seconds: 0, bytes: 0n };
    numbers += 2;
    if (ledger.needed(run, bits) !== bytes) wrong.push(`${at}: ${phase} needs ${ledger.needed(run, bits)} bytes as ${device.type} on the page, ${bytes} by the command`);
    if (Math.abs(run.least - seconds) > 1e-9 * seconds) wrong.push(`${at}: ${phase} takes at least ${run.least} s on ${device.name} as ${device.type} on the page, ${seconds} by the command`);
  }
  generations += 1;
}

/** A training step, as `compare`. */
function compareTraining(model, given, type, name = model.name) {
  if (model.training === null) return;
  const policies = ledger.policies(model);
  const [policy, optimizer] = [policies[draw(policies.length)], ["", "sgd", "adamw"][draw(3)]];
  const options = ["--recompute", policy, "--dtype", type, ...(optimizer ? ["--optimizer", optimizer] : [])];
  const expected = said(name, given, options, "train");
  const at = `a step of ${name} at ${[...given].map((pair) => pair.join("=")).join(", ")}, ${options.join(" ")}`;
  let found;
  try {
    found = ledger.training(model, given, policy, optimizer, type);
  } catch (problem) {
    if (expected.refused) refusals += 1;
    else wrong.push(`${at}: the page refuses (${problem.message}), the command does not`);
    return;
  }
  if (expected.refused) return void wrong.push(`${at}: the command refuses (${expected.refused.trim()})`);
  const pairs = [
    ["what is made smaller", `${found.loss} of ${found.result}`, `${expected.loss} of ${expected.result}`],
    ["its parts", found.phases.map(({ name }) => name).join(), expected.phases.map(({ phase }) => phase).join()],
    ...found.phases.flatMap(({ name, products, all }, at) => [
      [`products of ${name}`, products, expected.phases[at]?.matmul_flops],
      [`flops of ${name}`, all, expected.phases[at]?.flops],
    ]),
    ["matmul-flops without what is computed again", found.model, expected.model_flops],
    ["matmul-flops", found.hardware, expected.hardware_flops],
    ["flops", found.flops, expected.flops],
    ["6·N·T", found.six, expected.terms[0]?.flops ?? null],
    ["weights", found.memory.weights, expected.memory.weights],
    ...(found.memory.gradients === null ? [] : [["gradients", found.memory.gradients, expected.memory.gradients]]),
    ...(found.memory.stateful && found.memory.state === null ? [] : [["state", found.memory.state, expected.memory.state]]),
    ...(found.memory.kept === null ? [] : [["kept", found.memory.kept, expected.memory.kept]]),
  ];
  for (const [name, own, told] of pairs) {
    numbers += 1;
    if (own !== told) wrong.push(`${at}: ${name} is ${own} on the page, ${told} by the command`);
  }
  steps += 1;
}

/** The matrices of the tour, which count themselves, against their formulas and the command. */
function compareTour() {
  for (const [n, c, causal] of [[4, 3, false], [4, 3, true], [7, 5, true], [1, 1, false]]) {
    const rows = Array.from({ length: n }, () => Array.from({ length: c }, () => draw(9) - 4));
    const maps = [0, 1, 2].map(() => Array.from({ length: c }, () => Array.from({ length: c }, () => draw(9) - 4)));
    const { counts } = Attend.attend(rows, maps, (i, j) => !causal || j <= i);
    const pairs = causal ? (n * (n + 1)) / 2 : n * n;
    for (const [name, formula] of Object.entries(Attend.FORMULAS)) {
      numbers += 1;
      const own = Ledger.value(Ledger.terms(formula), (size) => BigInt({ n, c, pairs }[size]));
      if (own !== BigInt(counts[name])) wrong.push(`the tour of n=${n}, c=${c}: ${name} is ${counts[name]} executed, ${own} by its formula`);
    }
  }
}

async function main() {
  ledger = await page();
  data = ledger.data;
  const step = Math.max(1, Math.floor(data.models.length / Number(models)));
  const chosen = data.models.filter((_, at) => at % step === 0).slice(0, Number(models));
  for (const model of chosen) {
    for (let setting = 0; setting < Number(settings); setting += 1) {
      const past = model.cached !== null && setting % 3 === 2;
      const given = new Map(ledger.asked(model, past).map(([name, role]) => {
        const small = role === "batch" || role === "images";
        // Small ones, some beyond windows, some of many digits.
        const size = small ? 1 + draw(64) : [1 + draw(40), 1 + draw(500), 1 + draw(9000), 1 + draw(2000000)][draw(4)];
        return [name, BigInt(size)];
      }));
      const type = data.types[draw(data.types.length)][0];
      compare(model, given, past, type);
      if (past) continue;
      compareTraining(model, given, type);
      compareTools(model, given);
      compareGeneration(model, given);
    }
  }

  // Configurations whose sizes are others than any published model's.
  const folder = mkdtempSync(join(tmpdir(), "page-"));
  const file = join(folder, "config.json");
  const readers = data.readers.filter((_, at) => at % Math.ceil(data.readers.length / Number(models)) === 0);
  let pasted = 0, refused = 0;
  for (const reader of readers) {
    const fixed = Object.entries(reader.fixed).map(([key, text]) => [key, JSON.parse(text)]);
    // Mostly those that may be; some of any value, which are refused or read as the command does.
    const any = draw(4) === 0;
    const keys = Object.entries(reader.keys).map(([key, [value, bound]]) => [key, bound && !any ? value * [1, 1, 2, 3][draw(4)] : 1 + draw(2 * value)]);
    const numbers = Object.entries(reader.free).filter(([, text]) => text !== null).map(([key, text]) => [key, JSON.parse(text)]);
    const free = numbers.map(([key, value]) => [key, any ? numbers[draw(numbers.length)][1] : value * [1, 1.25, 2][draw(3)]]);
    const config = Object.fromEntries([...fixed, ...keys, ...free]);
    writeFileSync(file, JSON.stringify(config));
    let model;
    try {
      model = Paste.read(data, JSON.stringify(config));
    } catch (problem) {
      refused += 1;
      continue;
    }
    const given = new Map(ledger.asked(model, false).map(([name]) => [name, BigInt(1 + draw(40))]));
    compare(model, given, false, "bf16", file);
    compareTraining(model, given, "bf16", file);
    pasted += 1;
  }
  rmSync(folder, { recursive: true });
  for (const text of ["", "{", "[]", "3", "{}", '{"model_type":"llama"}', '{"model_type":"<img src=x onerror=alert(1)>"}', '{"model_type":"llama","__proto__":{"a":1}}']) {
    let read = true;
    try { Paste.read(data, text); } catch { read = false; }
    if (read) wrong.push(`${text} is read as a configuration`);
  }
  compareTour();
  console.log(`pasted: ${pasted} configurations read, ${refused} refused`);
  console.log(`tools: ${printed} numbers, ${silent} times none and why`);
  console.log(`page: ${numbers} numbers of ${chosen.length} models at ${compared} settings and ${steps} training steps and ${generations} generations compared, ${refusals} refused by both, ${wrong.length} wrong`);
  if (wrong.length) {
    console.log(wrong.slice(0, 20).join("\n"));
    process.exit(1);
  }
}

main();

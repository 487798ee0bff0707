// Holds the formulas of a page against the command, digit for digit.
// node tests/page/compare.js OPLEDGER [SETTINGS [MODELS]]: so many settings drawn for each of so many models.
"use strict";
const { execFileSync } = require("node:child_process");
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");
const { tmpdir } = require("node:os");
const Ledger = require("../../crates/report/src/page/evaluate.js");
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

function page() {
  const folder = mkdtempSync(join(tmpdir(), "page-"));
  const file = join(folder, "page.html");
  execFileSync(command, ["page", "-o", file]);
  const html = readFileSync(file, "utf8");
  rmSync(folder, { recursive: true });
  const data = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(html)[1];
  return Ledger.ledger(JSON.parse(data));
}

/** What the command says, and what is refused. */
function said(model, given, type, name = model.name) {
  const sets = [...given].flatMap(([name, size]) => ["--set", `${name}=${size}`]);
  try {
    const text = execFileSync(command, ["count", name, ...sets, "--dtype", type, "--format", "json"], { stdio: "pipe", maxBuffer: 1 << 28 });
    return parse(text.toString());
  } catch (problem) {
    return { refused: problem.stderr.toString() };
  }
}

const ledger = page();
const { data } = ledger;
let numbers = 0, refusals = 0, compared = 0;
const wrong = [];

function compare(model, given, past, type, name = model.name) {
  const expected = said(model, given, type, name);
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
  }
}

// Configurations whose sizes are others than any published model's.
const folder = mkdtempSync(join(tmpdir(), "page-"));
const file = join(folder, "config.json");
const readers = data.readers.filter((_, at) => at % Math.ceil(data.readers.length / Number(models)) === 0);
let pasted = 0, refused = 0;
for (const reader of readers) {
  const fixed = Object.entries(reader.fixed).map(([key, text]) => [key, JSON.parse(text)]);
  const keys = Object.entries(reader.keys).map(([key, [value, bound]]) => [key, bound ? value * [1, 2, 3][draw(3)] : 1 + draw(2 * value)]);
  const config = Object.fromEntries([...fixed, ...keys]);
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
  pasted += 1;
}
rmSync(folder, { recursive: true });
for (const text of ["", "{", "[]", "3", "{}", '{"model_type":"llama"}', '{"model_type":"<img src=x onerror=alert(1)>"}', '{"model_type":"llama","__proto__":{"a":1}}']) {
  let read = true;
  try { Paste.read(data, text); } catch { read = false; }
  if (read) wrong.push(`${text} is read as a configuration`);
}
console.log(`pasted: ${pasted} configurations read, ${refused} refused`);
console.log(`page: ${numbers} numbers of ${chosen.length} models at ${compared} settings compared, ${refusals} refused by both, ${wrong.length} wrong`);
if (wrong.length) {
  console.log(wrong.slice(0, 20).join("\n"));
  process.exit(1);
}

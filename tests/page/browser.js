// Opens a page in Chromium as its readers do: no request, first numbers, keyboard, print, what is pasted, axe-core.
// node tests/page/browser.js OPLEDGER [FOLDER]: pictures go to the folder. Each check is then seen to fail.
"use strict";
const { execFileSync } = require("node:child_process");
const { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");
const { tmpdir } = require("node:os");
const { pathToFileURL } = require("node:url");
const { deflateSync } = require("node:zlib");
const { chromium } = require("playwright-core");
const { ELEMENT, read, write } = require("./read.js");

const [command = "target/debug/opledger", pictures] = process.argv.slice(2);
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const WIDTHS = [390, 768, 1280];
const MARKUP = "<img src=x onerror=window.reached=1>";

/** When the page was loaded, when its first number was there, and what its policy forbade. */
const watch = () => {
  window.seen = { forbidden: [] };
  addEventListener("securitypolicyviolation", (event) => window.seen.forbidden.push(event.blockedURI));
  addEventListener("load", () => { window.seen.loaded = performance.now(); });
  new MutationObserver(() => {
    if (window.seen.first === undefined && document.querySelector("#total td")) window.seen.first = performance.now();
  }).observe(document, { childList: true, subtree: true });
};

/** A page at an address, and what it asked for or threw. */
async function open(browser, file, fragment = "", options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  await context.setOffline(true);
  await context.addInitScript(watch);
  const page = await context.newPage();
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  page.on("pageerror", (problem) => asked.push(`threw ${problem.message}`));
  await page.goto(pathToFileURL(file) + fragment);
  await page.waitForFunction(() => document.querySelector("#rows td") || !document.getElementById("problem").hidden);
  return { page, asked, close: () => context.close() };
}

const text = (page, id) => page.locator(`#${id}`).textContent();

/** The first numbers of a table by their names. */
const numbers = (page, id, column) => page.evaluate(([id, column]) =>
  Object.fromEntries([...document.querySelectorAll(`#${id} tbody tr`)].map((row) => [row.children[0].textContent, row.children[column].textContent.replaceAll(",", "")])), [id, column]);

function said(...words) {
  return execFileSync(command, [...words, "--format", "json"], { stdio: "pipe", maxBuffer: 1 << 28 }).toString();
}
/** Bytes that a pass reads and writes, by the command. */
const moved = (json) => String(["weights_read", "values_read", "values_written"].reduce((sum, name) => sum + BigInt(new RegExp(`"${name}": (\\d+)`).exec(json)[1]), 0n));
const field = (json, name) => new RegExp(`^  "${name}": (\\d+)`, "m").exec(json)[1];

const CHECKS = {
  async "asks nobody"(browser, file) {
    const { page, asked, close } = await open(browser, file);
    const own = pathToFileURL(file).href;
    const forbidden = await page.evaluate(() => window.seen.forbidden);
    await close();
    return [...asked.filter((url) => url !== own), ...forbidden.map((url) => `its policy forbade ${url}`)];
  },

  async "first number within 100 ms after it is loaded"(browser, file) {
    const times = [];
    for (let run = 0; run < 5; run += 1) {
      const { page, close } = await open(browser, file);
      times.push(await page.evaluate(() => window.seen.first - window.seen.loaded));
      await close();
    }
    const best = Math.min(...times);
    return best < 100 ? [] : [`${best.toFixed(0)} ms at best`];
  },

  async "numbers of the command"(browser, file) {
    const wrong = [];
    for (const [name, n] of [["llama-3.1-8b", 4096], ["gpt2", 777], ["mixtral-8x7b", 5000]]) {
      const { page, close } = await open(browser, file, `#model=${name}&n=${n}&type=bf16&recompute=full&optimizer=adamw&new=16`);
      const [count, train] = [said("count", name, "--set", `n=${n}`, "--dtype", "bf16"), said("train", name, "--set", `n=${n}`, "--dtype", "bf16", "--recompute", "full", "--optimizer", "adamw")];
      const generated = said("count", name, "--set", `n=${n}`, "--new-tokens", "16");
      const runs = await numbers(page, "generation-runs", 4);
      const [all, more, step] = [await numbers(page, "total", 2), await numbers(page, "classes", 2), await numbers(page, "step-parts", 1)];
      for (const [own, told] of [[all.flops, field(count, "flops")], [all.macs, field(count, "macs")], [more["bytes read, f32"], /"read": (\d+)/.exec(count)[1]], [all["bytes moved, reals as bf16"], moved(count)], [step.sum, field(train, "hardware_flops")], [runs.all, /"all": \{[^]*?"macs": (\d+)/.exec(generated)[1]]]) {
        if (own !== told) wrong.push(`${name} at n=${n}: ${own} on the page, ${told} by the command`);
      }
      await close();
    }
    return wrong;
  },

  async "each answer at a glance leads to its section"(browser, file) {
    const { page, close } = await open(browser, file);
    const tiles = page.locator("#glance button");
    const wrong = (await tiles.count()) === 7 ? [] : [`${await tiles.count()} answers`];
    for (const tile of await tiles.all()) {
      await tile.focus();
      await page.keyboard.press("Enter");
      const at = await page.evaluate(() => [document.activeElement.tagName, document.activeElement.getBoundingClientRect().top]);
      if (at[0] !== "H2" || at[1] < -1 || at[1] > 900) wrong.push(`${await tile.textContent()} leads to ${at}`);
    }
    await close();
    return wrong;
  },

  async "what is pasted stays text"(browser, file) {
    const wrong = [];
    const { page, asked, close } = await open(browser, file);
    await page.locator("#pasting summary").click();
    const texts = [MARKUP, `{"model_type": ${JSON.stringify(MARKUP)}}`, `{"model_type": "llama", ${JSON.stringify(MARKUP)}: 1}`, "{", "[]", "7", "null", '{"__proto__": {"model_type": "llama"}}', '{"model_type": "llama", "hidden_size": 1e30}'];
    for (const typed of texts) {
      await page.locator("#paste").fill(typed);
      await page.waitForTimeout(20);
      const state = await page.evaluate(() => ({
        reached: window.reached, images: document.querySelectorAll("img, #pasted *, #problem *").length,
        said: document.getElementById("pasted").textContent, typed: document.getElementById("paste").value, shown: !document.getElementById("results").hidden,
      }));
      if (state.reached || state.images) wrong.push(`${typed.slice(0, 40)} became markup`);
      if (state.said === "" || state.shown) wrong.push(`${typed.slice(0, 40)} is not refused`);
      if (state.typed !== typed) wrong.push(`${typed.slice(0, 40)} was not kept`);
    }
    if (asked.length > 1) wrong.push(...asked.slice(1));
    await close();
    return wrong;
  },

  async "what is typed wrongly is told"(browser, file) {
    const wrong = [];
    for (const typed of ["", "abc", "-1", "1.5", "0", "٣"]) {
      const { page, close } = await open(browser, file);
      await page.locator("#size-n").fill(typed);
      const [problem, shown, kept] = [await text(page, "problem"), await page.locator("#results").isVisible(), await page.locator("#size-n").inputValue()];
      if (shown || !problem.includes("n (tokens)") || kept !== typed) wrong.push(`n = “${typed}”: ${shown ? "numbers are shown" : problem}`);
      await close();
    }
    const huge = await open(browser, file, "#model=gpt2&b=10^30&n=1024");
    const all = await numbers(huge.page, "total", 2);
    if (all.macs === undefined || BigInt(all.macs) % 10n ** 30n !== 0n) wrong.push(`10^30 items: ${all.macs}`);
    await huge.close();
    const { page, asked, close } = await open(browser, file, `#model=${encodeURIComponent(MARKUP)}&n=%E0%A4%A&type=bf17&device=none`);
    const problem = await text(page, "problem");
    for (const word of ["model", "type", "device", "cannot be read"]) if (!problem.includes(word)) wrong.push(`a damaged address is not told of ${word}: ${problem}`);
    if (asked.some((one) => one.startsWith("threw"))) wrong.push(...asked);
    await close();
    return wrong;
  },

  async "a keyboard reaches everything"(browser, file) {
    const { page, close } = await open(browser, file);
    const reached = new Set();
    for (let at = 0; at < 80; at += 1) {
      await page.keyboard.press("Tab");
      reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.getAttribute("aria-label") || document.activeElement.textContent));
    }
    const wanted = ["model", "beside", "device", "type", "size-n", "memory", "recompute", "optimizer", "quantity", "sort", "tour-shuffle", "Rows", "The chart as a table"];
    const wrong = wanted.filter((id) => !reached.has(id)).map((id) => `${id} is not reached`);
    const before = (await numbers(page, "total", 2)).macs;
    await page.locator("#size-n").focus();
    await page.keyboard.press("End");
    await page.keyboard.type("0");
    if ((await numbers(page, "total", 2)).macs === before) wrong.push("a digit that is typed changes nothing");
    await close();
    return wrong;
  },

  async "prints its numbers without its setting"(browser, file) {
    const { page, close } = await open(browser, file);
    await page.emulateMedia({ media: "print" });
    const wrong = [];
    if (await page.locator("#setting").isVisible()) wrong.push("the setting is printed");
    for (const id of ["total", "command", "rows", "chart"]) if (!(await page.locator(`#${id}`).isVisible())) wrong.push(`${id} is not printed`);
    const pdf = await page.pdf({ format: "A4" });
    if (pdf.length < 10_000) wrong.push(`a print of ${pdf.length} bytes`);
    await close();
    return wrong;
  },

  async "axe-core finds nothing, and nothing stands out of the page"(browser, file) {
    const wrong = [];
    for (const width of WIDTHS) for (const colorScheme of ["light", "dark"]) {
      if (wrong.length) break;
      const { page, close } = await open(browser, file, "", { viewport: { width, height: 900 }, colorScheme, bypassCSP: true });
      if (pictures && file === own) await picture(page, `${width}-${colorScheme}.png`);
      const beyond = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (beyond > 0) wrong.push(`${width} px: ${beyond} px stand out`);
      await page.evaluate(() => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => window.axe.run());
      wrong.push(...violations.map(({ id, nodes }) => `${width} px, ${colorScheme}: ${id}, ${nodes.length} times, first ${nodes[0].html.slice(0, 120)}`));
      await close();
    }
    return wrong;
  },
};

let own;
async function picture(page, name) {
  mkdirSync(pictures, { recursive: true });
  await page.waitForTimeout(300);
  await page.screenshot({ path: join(pictures, name) });
}

/** Pages that a check has to find something wrong with. */
async function spoilt(folder, file) {
  const { html, text } = await read(file);
  const repacked = (changed) => html.replace(ELEMENT, (_, before, __, after) => before + deflateSync(Buffer.from(changed)).toString("base64") + after);
  const late = html.replace("Show.start(Unpack.text(", "new Promise((then) => setTimeout(then, 400)).then(() => Show.start(Unpack.text(").replace("textContent));</script>", "textContent)));</script>");
  const pages = {
    "asks nobody": html.replace("</main>", '<img src="https://example.invalid/x.png" alt="x"></main>'),
    "first number within 100 ms after it is loaded": late,
    "numbers of the command": repacked(text.replaceAll('"ff":"14336"', '"ff":"14337"')),
    "each answer at a glance leads to its section": html.replace("heading.focus(", "void ("),
    "what is pasted stays text": html.replace("said.textContent = wrong.message", "said.innerHTML = wrong.message"),
    "what is typed wrongly is told": html.replace("return /^\\d{1,60}$/.test(plain) ? BigInt(plain) : null", "return BigInt(parseInt(plain, 10) || 1)"),
    "a keyboard reaches everything": html.replace('<select id="device">', '<select id="device" tabindex="-1">'),
    "prints its numbers without its setting": html.replace("@media print { #glance, form,", "@media print {"),
    "axe-core finds nothing, and nothing stands out of the page": html.replace('<label for="model">Model</label>', "<span>Model</span>"),
  };
  return Object.entries(pages).map(([check, changed], at) => {
    if (changed === html) throw new Error(`nothing of the page was spoilt for “${check}”`);
    const spoiltFile = join(folder, `spoilt-${at}.html`);
    writeFileSync(spoiltFile, changed);
    return [check, spoiltFile];
  });
}

async function main() {
  const folder = mkdtempSync(join(tmpdir(), "page-"));
  own = join(folder, "page.html");
  write(command, own);
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  let failed = 0;
  try {
    for (const [name, check] of Object.entries(CHECKS)) {
      const wrong = await check(browser, own);
      failed += wrong.length;
      console.log(`page in a browser: ${name}: ${wrong.length === 0 ? "yes" : `no\n  ${wrong.slice(0, 10).join("\n  ")}`}`);
    }
    let seen = 0;
    for (const [name, file] of await spoilt(folder, own)) {
      const wrong = await CHECKS[name](browser, file);
      if (wrong.length === 0) {
        failed += 1;
        console.log(`page in a browser: a page spoilt for “${name}” passes`);
      } else seen += 1;
    }
    console.log(`page in a browser: ${Object.keys(CHECKS).length} checks, ${seen} of as many spoilt pages found out, ${failed} wrong`);
  } finally {
    await browser.close();
    rmSync(folder, { recursive: true });
  }
  process.exit(failed === 0 ? 0 : 1);
}

main();

// A text that is generated: the run over the prompt, and one for each further token.
"use strict";
const Generate = (() => {
  const { get, digits, drawn, wide, redraw, table, about, size, bytesOf, seconds } = Dom;
  const MOST = 16384n;
  const BATCHES = 11;

  /** What generating costs; what is seen of it at a glance. */
  function show({ ledger, state, own, sizes, past, counted }) {
    const refuse = (text) => {
      get("generation-problem").textContent = text;
      get("generation-problem").hidden = false;
      get("generation").hidden = true;
      return ["New tokens", "none", text];
    };
    const news = size(state.news);
    get("news").setAttribute("aria-invalid", String(news === null || news === 0n));
    if (own.generating === null) return refuse(own.cached === null ? "This model keeps nothing of earlier tokens: it generates no text." : "An encoder runs first: opledger count --new-tokens counts it.");
    if (past) return refuse("The prompt is the text so far: set p to 0.");
    if (news === null || news === 0n) return refuse(`New tokens: no whole number of at least 1: ${state.news.slice(0, 60)}`);
    if (news > MOST) return refuse(`More than ${digits(MOST)} new tokens are a question for the command: opledger count ${own.name} --new-tokens ${digits(news)}`);
    const device = ledger.data.devices.find(({ name }) => name === state.device);
    const peak = device.peaks.find(([type]) => type === state.type);
    const bits = BigInt(new Map(ledger.data.types).get(state.type));
    const least = peak ? Roofline.least(ledger, peak[1], device.bandwidth, bits) : () => NaN;
    const time = (n) => (peak ? seconds(n) : "unknown");
    let found;
    try {
      found = ledger.generation(own, sizes, news, least);
    } catch (wrong) {
      return refuse(wrong.message);
    }
    get("generation-problem").hidden = true;
    get("generation").hidden = false;
    const { prompt, steps } = found;
    const line = (name, runs, { flops, macs, least }, moved) => [name, digits(runs), time(least), digits(moved), digits(macs), digits(flops)];
    const moved = (run) => ledger.needed(run, bits);
    const both = Object.fromEntries(Object.keys(prompt).map((name) => [name, prompt[name] + steps[name]]));
    table("generation-runs", ["phase", "runs#", "at least#", `bytes, reals as ${state.type}#`, "macs#", "flops#"], [
      line("prompt", 1n, prompt, moved(prompt)), line("new tokens", news - 1n, steps, moved(steps)), line("all", news, both, moved(prompt) + moved(steps)),
    ]);
    const sets = [...sizes].map(([name, n]) => ` --set ${name}=${n}`).join("");
    get("generation-command").textContent = `opledger count ${own.name}${sets} --new-tokens ${news}${peak ? ` --dtype ${state.type} --device ${device.name}` : ""}`;
    const { batch, tokens } = ledger.data.structures[own.generating].roles;
    get("generation-chart").closest("figure").hidden = !peak || batch === undefined;
    if (!peak) return ["New tokens", "unknown", `no figure of ${device.name} for ${state.type}`];
    const p = sizes.get(tokens);
    const rates = batch === undefined ? [] : rate({ ledger, state, own, sizes, counted }, batch, tokens, p, least);
    if (rates.length) chart(rates, sizes.get(batch), bytesOf(state.memory));
    const one = ledger.step(own, sizes, 1n, p, least);
    const items = batch === undefined ? 1n : sizes.get(batch);
    const many = Number(items) / one.least;
    return ["New tokens", many < 1000 ? many.toPrecision(3) : about(BigInt(Math.round(many))), `a second at most; the first after ${time(prompt.least)}`];
  }

  /** New tokens a second at most, and memory, for batches that double. */
  function rate({ ledger, state, own, sizes, counted }, batch, tokens, p, least) {
    return Array.from({ length: BATCHES }, (_, power) => {
      const items = 2n ** BigInt(power);
      const at = new Map([...sizes, [batch, items]]);
      const { parameters, cache } = ledger.memory(own, at, counted.total.params, state.type);
      return { items, rate: Number(items) / ledger.step(own, at, 1n, p, least).least, bytes: parameters + (cache ?? 0n) };
    });
  }

  function chart(rates, items, memory) {
    const [width, height, left, bottom] = [wide("generation-chart"), 260, 64, 36];
    const top = Math.max(...rates.map(({ rate }) => rate));
    const x = (power) => left + ((width - left - 20) * power) / (BATCHES - 1);
    const y = (rate) => 16 + (height - bottom - 16) * (1 - rate / top);
    const fits = ({ bytes }) => memory === null || bytes <= memory;
    const parts = [drawn("polyline", { points: rates.map(({ rate }, at) => `${x(at)},${y(rate)}`).join(" "), class: "roof" })];
    for (const share of [0, 0.5, 1]) {
      parts.unshift(drawn("line", { x1: left, x2: width - 20, y1: y(share * top), y2: y(share * top), class: "axis" }));
      parts.push(drawn("text", { x: left - 6, y: y(share * top) + 4, "text-anchor": "end" }, about(BigInt(Math.round(share * top)))));
    }
    rates.forEach((one, at) => {
      const dot = drawn("circle", { cx: x(at), cy: y(one.rate), r: one.items === items ? 8 : 5, class: `dot ${fits(one) ? "k0" : "k2"}` });
      dot.append(drawn("title", {}, `${digits(one.items)} items: ${Math.round(one.rate)} tokens a second at most, ${digits(one.bytes)} bytes`));
      parts.push(dot);
      if (at % 2 === 0) parts.push(drawn("text", { x: x(at), y: height - 14, "text-anchor": "middle" }, digits(one.items)));
    });
    redraw("generation-chart", width, height, parts, "New tokens a second at most, by the number of items; the table below has the numbers");
    table("generation-rates", ["items#", "tokens a second, at most#", "bytes of parameters and cache#", "fits"], rates.map((one) => [digits(one.items), one.rate.toPrecision(4), digits(one.bytes), fits(one) ? "yes" : "no"]));
  }

  return { show };
})();

// What each tool would print, beside what the model computes.
"use strict";
const Tools = (() => {
  const { get, digits, drawn, wide, redraw, table, about } = Dom;
  const OWN = ["macs", "flops"];

  /** Every printed number as a bar, the two of the ledger marked by their colour. */
  function bars(all) {
    const width = wide("tool-bars");
    const [line, left, right] = [22, Math.min(236, width * 0.45), 62];
    const most = all.reduce((most, [, count]) => (count > most ? count : most), 1n);
    const parts = all.flatMap(([name, count], at) => {
      const y = at * line + 4;
      const long = (Number((count * 100000n) / most) / 100000) * (width - left - right);
      return [
        drawn("text", { x: left - 8, y: y + 13, "text-anchor": "end" }, name),
        drawn("rect", { x: left, y, width: Math.max(long, 1), height: line - 6, class: OWN.includes(name) ? "k2" : "k0" }),
        drawn("text", { x: left + Math.max(long, 1) + 6, y: y + 13 }, about(count)),
      ];
    });
    redraw("tool-bars", width, all.length * line + 8, parts, `Printed numbers: ${all.map(([name, count]) => `${name} ${digits(count)}`).join(", ")}`);
  }

  /** What each prints; what is seen of it at a glance. */
  function show({ ledger, own, sizes, counted, past }) {
    const refuse = (text) => {
      get("tools-problem").textContent = text;
      get("tools-problem").hidden = false;
      get("tools").hidden = true;
      return ["Tools would print", "unknown", text];
    };
    if (own.tools === null) return refuse("What tools print is known here of published models; of a configuration the command says it.");
    if (past) return refuse("Tools watch a run without a cache: set p to 0.");
    get("tools-problem").hidden = true;
    get("tools").hidden = false;
    const all = ledger.tools(own, sizes);
    const printed = all.filter(({ count }) => count !== undefined);
    const { macs, flops } = counted.total;
    bars([["macs", macs], ["flops", flops], ...printed.map(({ name, count }) => [name, count])].sort(([, a], [, b]) => (a < b ? 1 : a > b ? -1 : 0)));
    table("tool-counts", ["tool", "prints#", "of macs#", "counted in"], [
      ["macs", digits(macs), "1.000", "multiply-accumulate"],
      ["flops", digits(flops), times(flops, macs), "scalar operation"],
      ...printed.map(({ name, unit, count }) => [name, digits(count), times(count, macs), unit]),
    ]);
    const silent = all.filter(({ why }) => why !== undefined);
    get("tools-silent").hidden = silent.length === 0;
    table("tool-refusals", ["tool", "why it has no number here"], silent.map(({ name, why }) => [name, why]));
    const sets = [...sizes].map(([name, n]) => ` --set ${name}=${n}`).join("");
    const [first] = printed;
    get("tools-command").textContent = `opledger count ${own.name}${sets} --convention all`;
    const counts = printed.map(({ count }) => count).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    get("tools-why").textContent = first ? `opledger explain macs ${first.name.split("@")[0]} ${own.name}${sets}` : "";
    const different = new Set(counts).size;
    if (!different) return ["Tools would print", "no number", `${silent.length} have none for this model`];
    return ["Tools would print", different === 1 ? about(counts[0]) : String(different), different === 1 ? "all of them" : `numbers, from ${about(counts[0])} to ${about(counts.at(-1))}`];
  }

  const times = (count, macs) => (macs === 0n ? "" : (Number((count * 10000n) / macs) / 10000).toFixed(3));

  return { show };
})();

// How long a device takes at least, module by module: a lower bound and no prediction.
"use strict";
const Roofline = (() => {
  const { get, digits, drawn, wide, redraw, table, about, seconds, element } = Dom;

  /** How long a part takes at least on a device: its operations or its bytes. */
  const least = (ledger, peak, bandwidth, bits) => (part) => Math.max(Number(part["matmul-flops"]) / peak, Number(ledger.needed(part, bits)) / bandwidth);

  /** Rows, each bounded part by part. */
  function bounds(ledger, parts, peak, bandwidth, bits) {
    const time = least(ledger, peak, bandwidth, bits);
    const rows = ledger.merged(parts.map((part) => ({ ...part, moved: ledger.needed(part, bits), least: time(part) })));
    return rows.map((row) => {
      const [flops, bytes] = [Number(row["matmul-flops"]), Number(row.moved)];
      return { ...row, intensity: bytes === 0 ? 0 : flops / bytes, by: flops / peak > bytes / bandwidth ? "operations" : "memory" };
    });
  }

  function picture(rows, peak, bandwidth, all) {
    const [width, height, left, bottom] = [wide("roofline"), 320, 64, 40];
    const [low, high] = [-4, 14];
    const top = Math.log2(peak) + 2;
    const base = Math.log2(bandwidth) + low;
    const x = (power) => left + ((width - left - 14) * (power - low)) / (high - low);
    const y = (power) => 12 + ((height - bottom - 12) * (top - power)) / (top - base);
    const corner = Math.log2(peak / bandwidth);
    const parts = [
      drawn("polyline", { points: `${x(low)},${y(base)} ${x(corner)},${y(Math.log2(peak))} ${x(high)},${y(Math.log2(peak))}`, class: "roof" }),
      drawn("line", { x1: x(corner), x2: x(corner), y1: y(Math.log2(peak)), y2: height - bottom, class: "mark" }),
    ];
    for (let power = low; power < high; power += width < 500 ? 6 : 2) parts.push(drawn("text", { x: x(power), y: height - bottom + 18, "text-anchor": "middle" }, power < 0 ? `1/${2 ** -power}` : digits(BigInt(2 ** power))));
    parts.push(drawn("text", { x: width - 14, y: height - 4, "text-anchor": "end" }, "matmul-flops a byte"));
    for (let ten = Math.ceil(base * Math.LOG10E * Math.LN2); ten < top * Math.LOG10E * Math.LN2; ten += 1) parts.push(drawn("text", { x: left - 6, y: y(ten * Math.log2(10)) + 4, "text-anchor": "end" }, about(10n ** BigInt(ten)).replace(".0", "")));
    parts.push(drawn("text", { x: left, y: 12 }, "matmul-flops a second"));
    for (const row of [...rows].sort((a, b) => b.least - a.least)) {
      if (row.intensity === 0) continue;
      const power = Math.max(low, Math.min(high, Math.log2(row.intensity)));
      const dot = drawn("circle", { cx: x(power), cy: y(Math.min(Math.log2(peak), Math.log2(bandwidth) + power)), r: 4 + 14 * Math.sqrt(row.least / all), class: `dot k${row.kind}` });
      dot.append(drawn("title", {}, `${row.path}: ${row.intensity.toPrecision(3)} matmul-flops a byte, at least ${seconds(row.least)}`));
      parts.push(dot);
    }
    redraw("roofline", width, height, parts, `Roofline: matmul-flops a second against matmul-flops a byte, a dot for each module; the corner is at ${corner < 0 ? 2 ** corner : Math.round(2 ** corner)} matmul-flops a byte. The table below has the numbers`);
  }

  /** The bound; what is seen of it at a glance. */
  function show({ ledger, state, counted }) {
    const device = ledger.data.devices.find(({ name }) => name === state.device);
    const peak = device.peaks.find(([type]) => type === state.type);
    get("device-sources").replaceChildren(...device.sources.map((source) => element("li", source)));
    const bits = BigInt(new Map(ledger.data.types).get(state.type));
    get("bound").hidden = !peak;
    if (!peak) {
      get("bound-said").textContent = `No figure was read for what ${device.name} does in products of ${state.type}; it is known for ${device.peaks.map(([type]) => type).join(", ")} (“Stored as” chooses).`;
      return ["Time, at least", "unknown", `no figure of ${device.name} for ${state.type}`];
    }
    const rows = bounds(ledger, counted.parts, peak[1], device.bandwidth, bits);
    const all = rows.reduce((sum, row) => sum + row.least, 0);
    get("bound-said").textContent = `${device.name} does at most ${digits(BigInt(peak[1]))} operations a second in products of ${state.type} (dense) and moves at most ${digits(BigInt(device.bandwidth))} bytes a second. One after the other, with nothing fused, each module reading its operands and writing its results once, the whole takes at least ${seconds(all)}. A run that fuses modules moves less than this, and takes less where memory is the bound.`;
    picture(rows, peak[1], device.bandwidth, all || 1);
    rows.sort((a, b) => b.least - a.least);
    const share = ({ least }) => (all === 0 ? "" : least > 0 && least / all < 0.0005 ? "< 0.1 %" : `${((100 * least) / all).toFixed(1)} %`);
    table("bounds", ["module or operation", "kind", "matmul-flops#", `bytes moved, reals as ${state.type}#`, "matmul-flops a byte#", "bound by", "at least#", "share#"], rows.map((row) => [
      row.path, ledger.data.kinds[row.kind], digits(row["matmul-flops"]), digits(row.moved), row.intensity.toPrecision(4), row.by, seconds(row.least), share(row),
    ]));
    const moving = rows.reduce((sum, row) => sum + (row.by === "memory" ? row.least : 0), 0);
    return ["Time, at least", seconds(all), `on ${device.name}; ${2 * moving > all ? "memory" : "operations"} for most of it`];
  }

  return { least, show };
})();

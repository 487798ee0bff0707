// A short tour: what attention does when its tokens change places, with small matrices and their counts.
"use strict";
const Tour = (() => {
  const { get, table } = Dom;
  const WIDTH = 3;
  // Tokens of a text, where they stand, and the three maps, as small numbers.
  const TOKENS = [["the", [1, 0, 2]], ["cat", [2, 1, 0]], ["saw", [0, 3, 1]], ["me", [1, 1, 1]]];
  const PLACES = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]];
  const MAPS = [[[1, 0, 1], [0, 1, 0], [1, 1, 0]], [[0, 1, 0], [1, 0, 0], [0, 1, 1]], [[1, 0, 0], [0, 2, 0], [0, 0, 1]]];
  let order = [2, 0, 3, 1];

  function rowsOf(sequence, positions) {
    return sequence.map((token, at) => TOKENS[token][1].map((x, c) => (positions ? x + PLACES[at][c] : x)));
  }

  function show() {
    const [positions, causal] = [get("tour-positions").checked, get("tour-causal").checked];
    const sees = (i, j) => !causal || j <= i;
    const plain = TOKENS.map((_, at) => at);
    const [first, second] = [plain, order].map((sequence) => Attend.attend(rowsOf(sequence, positions), MAPS, sees));
    const said = (row) => row.map((x) => x.toFixed(4)).join("  ");
    let largest = 0;
    const rows = plain.map((token) => {
      const [a, b] = [first.result[token], second.result[order.indexOf(token)]];
      const apart = Math.max(...a.map((x, c) => Math.abs(x - b[c])));
      largest = Math.max(largest, apart);
      return [TOKENS[token][0], said(a), said(b), apart < 1e-12 ? "same" : apart.toFixed(4)];
    });
    const texts = [plain, order].map((sequence) => sequence.map((token) => TOKENS[token][0]).join(" "));
    table("tour-results", ["token", `its result in “${texts[0]}”`, `in “${texts[1]}”`, "largest difference#"], rows);
    get("tour-said").textContent = largest < 1e-12
      ? "Each token has the same result wherever it stands: attention alone does not know the order of its tokens."
      : `Results change with the order: ${[positions ? "positions were added to the tokens" : "", causal ? "a token sees only those before it" : ""].filter(Boolean).join(", and ")}.`;
    const [n, c] = [BigInt(TOKENS.length), BigInt(WIDTH)];
    const pairs = causal ? (n * (n + 1n)) / 2n : n * n;
    const size = (name) => ({ n, c, pairs })[name];
    table("tour-counts", ["class", "executed in the first text#", "in the second#", "formula", "its value#"], Object.entries(Attend.FORMULAS).map(([name, formula]) => [
      name, String(first.counts[name]), String(second.counts[name]), formula.replaceAll("*", "·"), String(Ledger.value(Ledger.terms(formula), size)),
    ]));
    get("tour-pairs").textContent = `n = ${n} tokens of c = ${c} numbers; pairs = ${pairs}, ${causal ? "n·(n + 1)/2" : "n²"}. The loops on this page counted what they did; no order changes a count.`;
  }

  function start() {
    for (const id of ["tour-positions", "tour-causal"]) get(id).addEventListener("change", show);
    get("tour-shuffle").addEventListener("click", () => {
      // The next order of all 24.
      const at = order.findLastIndex((x, i) => i + 1 < order.length && x < order[i + 1]);
      if (at < 0) order.reverse();
      else {
        const last = order.findLastIndex((x) => x > order[at]);
        [order[at], order[last]] = [order[last], order[at]];
        order = [...order.slice(0, at + 1), ...order.slice(at + 1).reverse()];
      }
      show();
    });
    show();
  }

  return { start };
})();

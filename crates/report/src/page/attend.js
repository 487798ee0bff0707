// Attention of one head over small matrices, which counts each operation as it does it.
"use strict";
const Attend = (() => {
  /** Arithmetic that counts itself. */
  function counter() {
    const counts = { add: 0, mul: 0, div: 0, max: 0, exp: 0 };
    const op = (name, of) => (...values) => { counts[name] += 1; return of(...values); };
    return {
      counts,
      add: op("add", (a, b) => a + b),
      sub: op("add", (a, b) => a - b),
      mul: op("mul", (a, b) => a * b),
      div: op("div", (a, b) => a / b),
      max: op("max", (a, b) => Math.max(a, b)),
      exp: op("exp", (a) => Math.exp(a)),
    };
  }

  const dot = (by, a, b) => a.slice(1).reduce((sum, x, at) => by.add(sum, by.mul(x, b[at + 1])), by.mul(a[0], b[0]));
  const times = (by, rows, weights) => rows.map((row) => weights.map((column) => dot(by, row, column)));

  /** softmax(Q·Kᵀ·scale)·V of rows; `sees` says which row sees which. */
  function attend(rows, [wq, wk, wv], sees) {
    const by = counter();
    const [q, k, v] = [wq, wk, wv].map((weights) => times(by, rows, weights));
    const scale = 1 / Math.sqrt(wq.length);
    const result = q.map((query, i) => {
      const seen = rows.map((_, j) => j).filter((j) => sees(i, j));
      const scores = seen.map((j) => by.mul(dot(by, query, k[j]), scale));
      const most = scores.slice(1).reduce(by.max, scores[0]);
      const raised = scores.map((score) => by.exp(by.sub(score, most)));
      const sum = raised.slice(1).reduce(by.add, raised[0]);
      const weights = raised.map((own) => by.div(own, sum));
      return v[0].map((_, c) => dot(by, weights, seen.map((j) => v[j][c])));
    });
    return { result, counts: by.counts };
  }

  /** What the same takes by formulas, of n rows of c numbers; `pairs` are those that are seen. */
  const FORMULAS = {
    add: "3*n*c² - 3*n*c + 2*pairs*c + pairs - n*c - n",
    mul: "3*n*c² + 2*pairs*c + pairs",
    div: "pairs",
    max: "pairs - n",
    exp: "pairs",
  };

  return { attend, FORMULAS };
})();
if (typeof module !== "undefined") module.exports = Attend;

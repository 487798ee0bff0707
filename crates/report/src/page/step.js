// A training step: forward against gradients, and what it holds, by what is computed again.
"use strict";
const Step = (() => {
  const { get, digits, percent, drawn, wide, redraw, table, element, about } = Dom;
  const SHADES = { forward: 0, loss: 5, backward: 2, recomputation: 3, update: 4 };

  /** The parts of a step as one bar, by their scalar operations. */
  function bar(step) {
    const width = wide("step-bar");
    let x = 4;
    const parts = step.phases.map(({ name, all }) => {
      const part = (Number((all * 100000n) / (step.flops || 1n)) / 100000) * (width - 8);
      const made = drawn("rect", { x, y: 6, width: part, height: 32, class: `k${SHADES[name]}` });
      x += part;
      return made;
    });
    redraw("step-bar", width, 44, parts, `Scalar operations of a step: ${step.phases.map(({ name, all }) => `${name} ${percent(all, step.flops)}`).join(", ")}`);
    get("step-legend").replaceChildren(...step.phases.map(({ name, all }) => {
      const item = element("span");
      item.append(element("i", undefined, { class: `k${SHADES[name]}` }), `${name} ${percent(all, step.flops)}`);
      return item;
    }));
  }

  const factor = (products, forward) => (Number((products * 1000n) / (forward.products || 1n)) / 1000).toFixed(3);

  /** The step; what is seen of it at a glance. */
  function show({ ledger, state, own, sizes, past }) {
    const refuse = (text) => {
      get("step-problem").textContent = text;
      get("step-problem").hidden = false;
      get("step").hidden = true;
      return ["A training step", "none", text];
    };
    if (past) return refuse("With tokens in a cache nothing is trained: set p to 0.");
    let steps;
    try {
      steps = ledger.policies(own).map((policy) => [policy, ledger.training(own, sizes, policy, state.optimizer, state.type)]);
    } catch (wrong) {
      return refuse(wrong.message);
    }
    get("step-problem").hidden = true;
    get("step").hidden = false;
    const [, chosen] = steps.find(([policy]) => policy === state.recompute) ?? steps[0];
    bar(chosen);
    const forward = chosen.phases.find(({ name }) => name === "forward");
    table("step-parts", ["part of the step", "matmul-flops#", "flops#", "share of flops#"], [
      ...chosen.phases.map(({ name, products, all }) => [name, digits(products), digits(all), percent(all, chosen.flops)]),
      ["sum", digits(chosen.hardware), digits(chosen.flops), "100.0 %"],
    ]);
    const six = chosen.six === null ? "" : ` 6·N·T, N all parameters and T all tokens, says ${digits(chosen.six)}.`;
    get("step-said").textContent = `Loss: ${chosen.loss}, of ${chosen.result}. Without what is computed again the step is ${digits(chosen.model)} matmul-flops, ${factor(chosen.model, forward)} times the forward pass.${six}`;
    const told = (bytes) => (bytes === null ? "asks the command" : digits(bytes));
    table("step-memory", ["computed again", "weights, bytes#", "gradients, bytes#", "state, bytes#", "kept for gradients, bytes#", "matmul-flops#"], steps.map(([policy, step]) => [
      policy === state.recompute ? `${policy} (chosen)` : policy, digits(step.memory.weights), told(step.memory.gradients), step.memory.stateful ? told(step.memory.state) : "none", told(step.memory.kept), digits(step.hardware),
    ]));
    const sets = [...sizes].map(([name, n]) => ` --set ${name}=${n}`).join("");
    get("step-command").textContent = `opledger train ${own.name}${sets} --recompute ${state.recompute}${state.optimizer ? ` --optimizer ${state.optimizer}` : ""} --dtype ${state.type}`;
    return ["A training step", about(chosen.hardware), `matmul-flops; ${factor(chosen.hardware, forward)} × the forward pass`];
  }

  return { show };
})();

// Exact evaluation of the formulas of a page: integers are BigInt, nothing is rounded.
"use strict";
const Ledger = (() => {
  const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const gcd = (a, b) => (b === 0n ? (a < 0n ? -a : a) : gcd(b, a % b));
  const floor = (a, b) => (a - (((a % b) + b) % b)) / b;
  const OPERATIONS = {
    add: (a, b) => a + b,
    sub: (a, b) => a - b,
    mul: (a, b) => a * b,
    floor,
    min: (a, b) => (a < b ? a : b),
    max: (a, b) => (a > b ? a : b),
    gcd,
  };

  /** A formula as the command writes it but for its stars, `5/2*b*n²*h - 3*b`, as terms: whole / divisor · powers. */
  function terms(text) {
    if (text === "0") return [];
    const signed = text.replace(/ - /g, " + -").split(" + ");
    return signed.map((written) => {
      const term = { whole: 1n, divisor: 1n, powers: [] };
      const negative = written.startsWith("-");
      for (const factor of (negative ? written.slice(1) : written).split("*")) {
        const number = /^(\d+)(?:\/(\d+))?$/.exec(factor);
        if (number) {
          term.whole *= BigInt(number[1]);
          term.divisor *= BigInt(number[2] ?? 1);
          continue;
        }
        const [, name, raised] = /^([^⁰¹²³⁴⁵⁶⁷⁸⁹]+)([⁰¹²³⁴⁵⁶⁷⁸⁹]*)$/.exec(factor);
        const power = [...raised].map((digit) => RAISED.indexOf(digit)).join("");
        term.powers.push([name, power === "" ? 1 : Number(power)]);
      }
      if (negative) term.whole = -term.whole;
      return term;
    });
  }

  /** The sum of formulas, like terms together, in the order in which they are met. */
  function sum(formulas) {
    const all = new Map();
    for (const { whole, divisor, powers } of formulas.flat()) {
      const key = powers.map(([name, power]) => `${name}^${power}`).sort().join("·");
      const found = all.get(key) ?? { whole: 0n, divisor: 1n, powers };
      const top = found.whole * divisor + whole * found.divisor;
      const common = gcd(top, found.divisor * divisor) || 1n;
      all.set(key, { whole: top / common, divisor: (found.divisor * divisor) / common, powers });
    }
    return [...all.values()].filter((term) => term.whole !== 0n);
  }

  const product = (term, size) =>
    term.powers.reduce((all, [name, power]) => all * size(name) ** BigInt(power), term.whole);

  /** The value of a formula, which is whole. */
  function value(formula, size) {
    const divisor = formula.reduce((all, t) => (all * t.divisor) / gcd(all, t.divisor), 1n);
    const top = formula.reduce((all, t) => all + product(t, size) * (divisor / t.divisor), 0n);
    if (top % divisor !== 0n) throw new Error("a count is not whole");
    return top / divisor;
  }

  /** Answers from the data of a page. */
  function ledger(data) {
    const paths = [];
    for (let i = 0; i < data.paths.length; i += 2) {
      paths.push((paths.at(-1) ?? "").slice(0, data.paths[i]) + data.paths[i + 1]);
    }

    const read = new Map();
    const formula = (at) => {
      if (!read.has(at)) read.set(at, terms(data.formulas[at]));
      return read.get(at);
    };

    /** Sizes by name: those given, and those that follow, worked out when they are asked for. */
    function sizes(structure, given) {
      const known = new Map(given);
      const steps = new Map(structure.steps);
      const expressed = (own) =>
        typeof own === "number"
          ? value(formula(own), size)
          : OPERATIONS[own[0]](expressed(own[1]), expressed(own[2]));
      /** What a size is by a product of two, of which the whole and the other are known. */
      const factor = (name) => {
        for (const [whole, a, b] of structure.products) {
          const other = name === a ? b : name === b ? a : null;
          if (other !== null && known.has(whole) && known.has(other) && known.get(other) > 0n) return known.get(whole) / known.get(other);
        }
        throw new Error(`${name} has no size`);
      };
      const size = (name) => {
        if (!known.has(name)) {
          known.set(name, steps.has(name) ? expressed(steps.get(name)) : factor(name));
        }
        return known.get(name);
      };
      return size;
    }

    const own = (model) => Object.entries(model.sizes).map(([name, n]) => [name, BigInt(n)]);
    const model = (name) => data.models.find((model) => model.name === name);
    const structureOf = (model, past) => data.structures[past ? model.cached : model.plain];

    /** The sizes that a user gives, and what they are. */
    function asked(model, past) {
      const structure = structureOf(model, past);
      const roles = Object.entries(structure.roles).map(([role, name]) => [name, role]);
      const names = structure.free.filter((name) => !(name in model.sizes));
      return names.map((name) => [name, new Map(roles).get(name) ?? "size"]);
    }

    /** What is wrong with sizes, as the command refuses them. */
    function problem(model, structure, given, size) {
      const of = (role) => given.get(structure.roles[role]) ?? 0n;
      const memory = structure.roles.memory in model.sizes ? 0n : of("memory");
      const tokens = of("past") + of("tokens") > memory ? of("past") + of("tokens") : memory;
      if (model.positions && !model.positions[2] && tokens > BigInt(model.positions[0])) {
        return `${model.name} has ${model.positions[0]} positions (${model.positions[1]}): ${tokens} tokens are too many`;
      }
      for (const [whole, a, b] of structure.products) {
        if (![whole, a, b].every((name) => given.has(name) || name in model.sizes)) continue;
        if (size(whole) !== size(a) * size(b)) return `${whole} = ${size(whole)}, but ${a}·${b} = ${size(a) * size(b)}`;
      }
      for (const [at, least, what] of structure.least) {
        const found = value(formula(at), size);
        if (found < BigInt(least)) return `${what} is ${found}, and at least ${least} is needed`;
      }
      return null;
    }

    /** All counts of a model at sizes, row by row and as a whole. */
    function count(model, given, past) {
      const structure = structureOf(model, past);
      const size = sizes(structure, [...own(model), ...given]);
      const wrong = problem(model, structure, given, size);
      if (wrong) throw new Error(wrong);
      const at = (id) => value(formula(id), size);
      const [places, costs] = structure.rows.map((list) => data.lists[list]);
      const parts = costs.map((cost, i) => {
        const [kind, classes, [macs, params, read, written, narrow, unseen]] = data.costs[cost];
        const counts = data.classes.map(() => 0n);
        for (let j = 0; j < classes.length; j += 2) counts[classes[j]] = at(classes[j + 1]);
        const flops = counts.reduce((all, one) => all + one, 0n);
        const others = { macs: at(macs), params: at(params), read: at(read), written: at(written), narrow: at(narrow), unseen: at(unseen) };
        return { path: paths[places[i]], kind, counts, flops, ...others, "matmul-flops": 2n * others.macs };
      });
      const rows = merged(parts);
      const total = {};
      for (const name of ["flops", "macs", "params", "read", "written"]) {
        total[name] = rows.reduce((all, row) => all + row[name], 0n);
      }
      total["matmul-flops"] = 2n * total.macs;
      total.counts = data.classes.map((_, c) => rows.reduce((all, row) => all + row.counts[c], 0n));
      total.active = at(structure.active);
      return { parts, rows, total, size };
    }

    /** Parts of one place and one kind as one row. */
    function merged(parts) {
      const rows = new Map();
      for (const part of parts) {
        const key = `${part.kind} ${part.path}`;
        const row = rows.get(key);
        if (!row) {
          rows.set(key, { ...part, counts: [...part.counts] });
          continue;
        }
        for (const [name, n] of Object.entries(part)) if (typeof n === "bigint" || name === "least") row[name] += n;
        part.counts.forEach((n, at) => { row.counts[at] += n; });
      }
      return [...rows.values()];
    }

    /** The costs of a run and how often each occurs; those that change with the cache apart from those that do not. */
    function costsOf(structure) {
      const times = new Map();
      for (const cost of data.lists[structure.rows[1]]) times.set(cost, (times.get(cost) ?? 0n) + 1n);
      const steps = new Map(structure.steps);
      const known = new Map([[structure.roles.past, true]]);
      const mentions = (own) => (typeof own === "number" ? formula(own).some(({ powers }) => powers.some(([name]) => changes(name))) : own.slice(1).some(mentions));
      const changes = (name) => {
        if (!known.has(name)) {
          known.set(name, false);
          const product = structure.products.some(([whole, a, b]) => [whole, a, b].includes(name) && [whole, a, b].some((other) => other !== name && changes(other)));
          known.set(name, product || (steps.has(name) && mentions(steps.get(name))));
        }
        return known.get(name);
      };
      const all = [...times].map(([cost, times]) => {
        const [, classes, others] = data.costs[cost];
        const flops = sum(classes.filter((_, at) => at % 2 === 1).map(formula));
        return { times, formulas: [flops, ...others.map(formula)], changing: [...classes.filter((_, at) => at % 2 === 1), ...others].some(mentions) };
      });
      return [all.filter(({ changing }) => changing), all.filter(({ changing }) => !changing)];
    }

    const none = () => ({ flops: 0n, macs: 0n, read: 0n, written: 0n, narrow: 0n, unseen: 0n, least: 0 });

    /** What costs sum to at sizes; how long a part takes at least is asked. */
    function summed(costs, size, least) {
      const all = none();
      for (const { times, formulas } of costs) {
        const [flops, macs, , read, written, narrow, unseen] = formulas.map((own) => value(own, size));
        const part = { flops, macs, read, written, narrow, unseen, "matmul-flops": 2n * macs };
        for (const name of Object.keys(all)) all[name] += name === "least" ? Number(times) * least(part) : times * part[name];
      }
      return all;
    }

    /** One run while a model generates: so many tokens against so many in the cache. */
    function step(model, given, n, p, least) {
      const structure = data.structures[model.generating];
      const at = new Map([...given, [structure.roles.tokens, n], [structure.roles.past, p]]);
      const size = sizes(structure, [...own(model), ...at]);
      const wrong = problem(model, structure, at, size);
      if (wrong) throw new Error(wrong);
      return summed(costsOf(structure).flat(), size, least);
    }

    /** A run over the prompt, which gives the first of the new tokens, and a run for each of the others. */
    function generation(model, given, news, least) {
      const structure = data.structures[model.generating];
      const { tokens, past } = structure.roles;
      const prompt = given.get(tokens);
      const [changing, same] = costsOf(structure);
      const steps = none();
      const add = (run, times) => { for (const name of Object.keys(steps)) steps[name] += name === "least" ? Number(times) * run[name] : times * run[name]; };
      const sizesAt = (p) => sizes(structure, [...own(model), ...given, [tokens, 1n], [past, p]]);
      const first = step(model, given, prompt, 0n, least);
      if (news > 1n) {
        step(model, given, 1n, prompt + news - 2n, least);
        add(summed(same, sizesAt(prompt), least), news - 1n);
        for (let p = prompt; p < prompt + news - 1n; p += 1n) add(summed(changing, sizesAt(p), least), 1n);
      }
      return { prompt: first, steps };
    }

    /** The formulas of all scalar operations, kind by kind. */
    const byKind = new Map();
    function kinds(model, past) {
      const structure = structureOf(model, past);
      if (!byKind.has(structure)) {
        const all = data.kinds.map(() => []);
        for (const cost of data.lists[structure.rows[1]]) {
          const [kind, classes] = data.costs[cost];
          for (let j = 1; j < classes.length; j += 2) all[kind].push(formula(classes[j]));
        }
        byKind.set(structure, all.map(sum));
      }
      return byKind.get(structure);
    }

    /** Scalar operations at sizes, kind by kind; null where the model refuses the sizes. */
    function shares(model, given, past) {
      const structure = structureOf(model, past);
      const size = sizes(structure, [...own(model), ...given]);
      if (problem(model, structure, given, size)) return null;
      return kinds(model, past).map((formula) => value(formula, size));
    }

    /** The formula of a quantity of the whole model. */
    function whole(model, quantity, past) {
      const structure = structureOf(model, past);
      const place = { macs: 0, params: 1, read: 2, written: 3 }[quantity];
      const all = [];
      for (const cost of data.lists[structure.rows[1]]) {
        const [, classes, others] = data.costs[cost];
        if (place !== undefined) all.push(formula(others[place]));
        else for (let j = 1; j < classes.length; j += 2) all.push(formula(classes[j]));
      }
      return sum(all);
    }

    /** Bytes of so many elements. */
    const bytes = (elements, bits) => (elements * bits + 7n) / 8n;

    /** Bytes of parameters and of the cache after all tokens, where there is a cache. */
    function memory(model, given, params, type) {
      const bits = BigInt(new Map(data.types).get(type));
      const parameters = bytes(params, bits);
      if (model.cached === null) return { parameters, cache: null, perToken: null };
      const structure = data.structures[model.cached];
      const { batch, tokens, past } = structure.roles;
      const elements = (kept, items) => {
        const at = [...own(model), ...given, [tokens, 1n], [past, kept], [batch, items]];
        const size = sizes(structure, at);
        const [held, all, states] = ["held", "given", "states"].map((name) =>
          value(formula(structure.cache[name]), size));
        const stored = (some) => bytes(some - states, bits) + bytes(states, 32n);
        return { held: stored(held), given: stored(all), all };
      };
      const plain = data.structures[model.plain].roles;
      const kept = (given.get(plain.tokens) ?? 0n) + (given.get(past) ?? 0n);
      const { held, given: computed } = elements(kept, given.get(batch) ?? 1n);
      const perToken = bytes(elements(1n, 1n).all - elements(0n, 1n).all, bits);
      return { parameters, cache: held, perToken, without: computed === held ? null : computed };
    }

    /** Bytes that a row moves where reals take so many bits: those of f32 and of 16 bits are known. */
    function moved(row, bits) {
      const wide = row.read + row.written;
      return wide + ((wide - row.narrow) * (bits - 32n)) / 16n;
    }

    /** Bytes of those that a row moves which it needs. */
    const needed = (row, bits) => moved(row, bits) - (row.unseen * bits) / 8n;

    /** What tools print for a published model without a cache: a count, or why there is none. */
    function tools(model, given) {
      return data.tools.map((tool, at) => {
        const own = model.tools[at];
        return typeof own === "number" ? { ...tool, count: value(formula(own), (name) => given.get(name)) } : { ...tool, why: own };
      });
    }

    /** The names of what can be computed again in a training step. */
    function policies(model) {
      if (model.training === null) throw new Error(model.untrained);
      return data.trainings[model.training].policies.map((policy) => policy.name);
    }

    /** A training step of one batch: its parts, and the bytes of what it holds. */
    function training(model, given, policy, optimizer, type) {
      if (model.training === null) throw new Error(model.untrained);
      const step = data.trainings[model.training];
      const plain = structureOf(model, false);
      const structure = { ...plain, products: [...plain.products, ...step.products], steps: [...plain.steps, ...step.steps], least: [...plain.least, ...step.least] };
      const size = sizes(structure, [...own(model), ...given]);
      const wrong = problem(model, structure, given, size);
      if (wrong) throw new Error(wrong);
      const at = (id) => value(formula(id), size);
      const chosen = step.policies.find(({ name }) => name === policy);
      const update = step.optimizers.find(({ name }) => name === optimizer);
      const phases = chosen.phases.map(([name, products, all]) => ({ name, products: at(products), all: at(all) }));
      if (update?.update) phases.push({ name: "update", products: at(update.update[0]), all: at(update.update[1]) });
      const total = (of) => phases.reduce((all, phase) => all + of(phase), 0n);
      const hardware = total(({ products }) => products);
      const again = total(({ name, products }) => (name === "recomputation" ? products : 0n));
      const bits = BigInt(new Map(data.types).get(type));
      const { batch, tokens } = plain.roles;
      const many = batch !== undefined && tokens !== undefined;
      return {
        loss: step.loss, result: step.result, phases, hardware, model: hardware - again, flops: total(({ all }) => all),
        six: many ? 6n * at(step.weights) * size(batch) * size(tokens) : null,
        memory: {
          weights: bytes(at(step.weights), bits),
          // Bytes that are no whole number are rounded up tensor by tensor, which a sum does not know.
          gradients: bits % 8n === 0n ? bytes(at(step.trained), bits) : null,
          stateful: update !== undefined,
          state: update && bits % 8n === 0n ? bytes(at(update.state), bits) : null,
          kept: bits % 8n === 0n ? (at(chosen.kept[0]) * bits) / 8n + at(chosen.kept[1]) : null,
        },
      };
    }

    return { data, model, asked, count, generation, merged, shares, step, whole, memory, moved, needed, policies, tools, training };
  }

  return { terms, sum, value, product, ledger };
})();
if (typeof module !== "undefined") module.exports = Ledger;

"""The results as Markdown."""

import statistics

from cases import GROUPS


def measured(results, quantity, threads):
    """The greatest value that `opledger machine` measured with some threads; None when it did not."""
    found = results["machine"].get("measured", [])
    values = [m["value"] for m in found if m["quantity"] == quantity and m["threads"] == threads]
    return max(values, default=None)


def peak(results, threads):
    """Multiply-add peak in GFLOP/s."""
    return measured(results, "fma-peak", threads)


def bandwidth(results):
    """Read bandwidth in GB/s of all threads."""
    return measured(results, "read-bandwidth", results["threads"])


def time(seconds):
    for factor, unit in [(1, "s"), (1e3, "ms"), (1e6, "µs")]:
        if seconds * factor >= 1:
            break
    return f"{seconds * factor:.3g} {unit}" if seconds * factor < 100 else f"{seconds * factor:.0f} {unit}"


def ratio(row):
    if not row.get("ratio"):
        return "–"
    return "{:.2f} [{:.2f}, {:.2f}]".format(*row["ratio"])


def share(value, whole):
    return f"{value / whole:.0%}" if whole else "not measured"


def brief(case):
    """A line per entry, while the comparison runs."""
    lines = [f"{case['group']}. {case['title']}"]
    for row in case["rows"]:
        entry = row["entry"]
        name = f"  {entry['engine']:<14} {entry['variant']:<15}"
        if row["error"]:
            lines.append(f"{name} {row['error'][:150]}")
            continue
        rate, unit = (case["bytes"] or case["flops"]) / row["seconds"] / 1e9, "GB/s" if case["bytes"] else "GFLOP/s"
        lines.append(
            f"{name} {time(row['seconds']):>9} {rate:6.1f} {unit}  ours/theirs {ratio(row)}"
            f"  differs {row.get('difference', 0.0):.1e}"
        )
    lines.append(f"  other programs {case['foreign']:.2f} cores, idle engines {case['idle']:.2f} cores")
    return "\n".join(lines)


def head(results):
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    busy = max((case["foreign"] for case in results["cases"]), default=0.0)
    idle = max((case["idle"] for case in results["cases"]), default=0.0)
    return [
        "# Opledger and other engines",
        "",
        f"- {results['date']}, {results['processor']}, {results['cores']} cores, {results['threads']} threads",
        f"- {versions}",
        machine_line(results),
        f"- {results['turns']} turns" + (", a smoke run of small cases" if results["quick"] else ""),
        f"- At most {busy:.2f} cores were busy with other programs during a case, {idle:.2f} with engines that"
        " were not being timed",
        "",
        "Time: median over the turns of the fastest run of a turn. Ratio: our time divided by theirs, turn by"
        " turn, median [least, greatest]; below 1 Opledger is faster. GFLOP/s: two for each multiply-accumulate of"
        " a matrix product, the softmax left out. Difference: greatest absolute difference to the result of"
        f" Opledger's first row; above {results['tolerance']:g} of the greatest result it is an error.",
    ]


def machine_line(results):
    n = results["threads"]
    peaks = [f"P{t} = {peak(results, t):.0f} GFLOP/s" for t in sorted({1, n}) if peak(results, t)]
    peaks = ", ".join(peaks) or "not measured"
    read = bandwidth(results)
    read = f"{read:.1f} GB/s" if read else "not measured"
    return f"- Multiply-add peak: {peaks}; read bandwidth: {read}"


def markdown(results):
    lines = head(results)
    for group, name in GROUPS.items():
        cases = [case for case in results["cases"] if case["group"] == group]
        if not cases and not (group == "j" and "memory" in results):
            continue
        lines += ["", f"## {group}. {name}", "", machine_line(results)]
        if group == "g":
            lines += products(results, cases)
            continue
        for case in cases:
            lines += ["", f"### {case['title']}", "", *table(results, case)]
            lines += ["", *case["notes"]] if case["notes"] else []
        if group == "e" and len(cases) > 1:
            lines += ["", *causal(*cases[:2])]
        if group == "j":
            memory = results["memory"]
            lines += [
                "",
                f"One head of 64, {memory['tokens']:,} tokens, one run of a fresh process:"
                f" {memory['bytes'] / 2**20:.0f} MiB peak resident set, {memory['seconds']:.2f} s.",
            ]
    return "\n".join(lines) + "\n"


def table(results, case):
    limited, top = case["bytes"], peak(results, results["threads"])
    rate = "GB/s | share of read bandwidth" if limited else f"GFLOP/s | share of P{results['threads']}"
    lines = [f"| engine | feature | time | {rate} | ours/theirs | difference |", "|---|---|--:|--:|--:|--:|--:|"]
    for row in case["rows"]:
        entry = row["entry"]
        start = f"| {entry['engine']} {results['versions'][entry['engine']]} | {entry['feature']} |"
        if row["error"]:
            lines.append(f"{start} {row['error'][:90].replace('|', '/')} | | | | |")
            continue
        value = (limited or case["flops"]) / row["seconds"] / 1e9
        part = share(value, bandwidth(results) if limited else top)
        own = row is case["rows"][0]
        difference = "" if own else f"{row['difference']:.1e}"
        lines.append(
            f"{start} {time(row['seconds'])} | {value:.1f} | {part} | {'' if own else ratio(row)} | {difference} |"
        )
    return lines


def products(results, cases):
    """Per shape our best row against the best row of the other crates, PyTorch apart."""
    lines = []
    for threads in sorted({case["rows"][0]["entry"]["threads"] for case in cases}):
        some = [case for case in cases if case["rows"][0]["entry"]["threads"] == threads]
        lines += [
            "",
            f"### {threads} threads",
            "",
            f"GFLOP/s; share of P{threads} of our packed product; ratio of times to the best other crate for weights"
            " as stored and packed before, and to PyTorch (MKL). gemmkit also runs with packed weights, its result then stored by columns.",
            "",
            f"| m×k×n | ours | ours, packed | share of P{threads} | best other crate | its GFLOP/s | ratio, stored |"
            " ratio, packed | PyTorch | ratio to PyTorch, packed |",
            "|---|--:|--:|--:|---|--:|--:|--:|--:|--:|",
        ]
        ratios = []
        for case in some:
            cells, against = product(results, case, threads)
            lines.append(cells)
            ratios.append(against)
        for name, kind in [("stored weights", 0), ("packed weights", 1), ("packed weights, PyTorch", 2)]:
            known = [r[kind] for r in ratios if r[kind]]
            if known:
                lines += [
                    "",
                    f"Ratio over the shapes, {name}: median {statistics.median(known):.2f}, least {min(known):.2f},"
                    f" greatest {max(known):.2f}; below 1 in {sum(r < 1 for r in known)} of {len(known)}.",
                ]
    return lines


def product(results, case, threads):
    rows = {(row["entry"]["worker"], row["entry"]["variant"]): row for row in case["rows"]}
    done = lambda row: row is not None and row.get("seconds")
    speed = lambda row: f"{case['flops'] / row['seconds'] / 1e9:.1f}" if done(row) else "–"
    ours, packed, mm = rows["ours", "gemm"], rows["ours", "packed"], rows["torch", "mm"]
    others = [r for r in case["rows"] if r["entry"]["worker"] == "crates" and done(r)]
    best = min(others, key=lambda row: row["seconds"], default=None)

    def against(row, other):
        if not done(row) or not done(other):
            return None
        return statistics.median(a / b for a, b in zip(row["times"], other["times"]))

    ratios = [against(ours, best), against(packed, best), against(packed, mm)]
    shown = [f"{r:.2f}" if r else "–" for r in ratios]
    top = peak(results, threads)
    part = share(case["flops"] / packed["seconds"] / 1e9, top) if done(packed) else "–"
    name = best["entry"]["variant"] if best else "–"
    wrong = [f"{v}: {r['error'][:60]}" for (_, v), r in rows.items() if r["error"]]
    title = case["title"].split(",")[0] + (f" ({'; '.join(wrong)})" if wrong else "")
    cells = [title, speed(ours), speed(packed), part, name, speed(best), *shown[:2], speed(mm), shown[2]]
    return f"| {' | '.join(cells)} |", ratios


def causal(full, causal):
    """How much of the time a causal mask saves."""
    lines = []
    for row in causal["rows"]:
        entry = row["entry"]
        of = lambda row: (row["entry"]["worker"], row["entry"]["variant"])
        same = [r for r in full["rows"] if of(r) == of(row) and r.get("times")]
        if not same or not row.get("times"):
            continue
        ratios = [a / b for a, b in zip(row["times"], same[0]["times"])]
        text = f"- {entry['engine']}, {entry['feature']}: causal takes {statistics.median(ratios):.2f} of the time of all pairs"
        facts = row.get("facts") or {}
        if facts.get("useful"):
            text += f"; executed/useful {facts['executed'] / facts['useful']:.3f}"
        lines.append(text)
    return lines

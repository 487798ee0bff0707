"""The results as a bar chart: GFLOP/s by case, with the measured peak."""

from html import escape

import report

COLOURS = {
    "Opledger": "#1b6ca8",
    "PyTorch": "#e07b39",
    "onnxruntime": "#7d7d7d",
    "candle": "#5b9b57",
    "burn": "#b5524a",
}
LEFT, RIGHT, TOP = 320, 70, 74
WIDTH, BAR, GAP = 980, 15, 26


def chosen(case):
    """The fastest row of each engine, of Opledger the first, which counts."""
    best = {}
    for row in case["rows"]:
        engine = row["entry"]["engine"]
        if row.get("seconds") and not row["error"]:
            better = engine not in best or row["seconds"] < best[engine]["seconds"]
            if better and (engine != "Opledger" or row is case["rows"][0]):
                best[engine] = row
    return list(best.values())


def label(case):
    """The title in lines that fit beside the bars."""
    words, lines = f"{case['group']}. {case['title']}".split(", "), [""]
    for word in words:
        joined = f"{lines[-1]}, {word}" if lines[-1] else word
        if len(joined) > 42:
            lines.append(word)
        else:
            lines[-1] = joined
    return lines


def text(x, y, content, anchor="start", size=12, colour="#222", weight="normal"):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"'
        f' font-weight="{weight}">{escape(content)}</text>'
    )


def rectangle(x, y, width, height, colour):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def line(x1, y1, x2, y2, colour, dash=""):
    dash = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dash}/>'


def step(greatest):
    """A round distance between lines of the grid."""
    return next((s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if greatest / s <= 8), 5000)


def svg(results):
    cases = [(case, chosen(case)) for case in results["cases"] if case["chart"] and case["flops"]]
    cases = [(case, rows) for case, rows in cases if rows]
    top = report.peak(results, results["threads"])
    rates = [case["flops"] / row["seconds"] / 1e9 for case, rows in cases for row in rows]
    greatest = max([*rates, top or 0.0, 1.0]) * 1.02
    scale = (WIDTH - LEFT - RIGHT) / greatest
    heights = [max(len(rows) * BAR, len(label(case)) * 15) + GAP for case, rows in cases]
    bottom = TOP + sum(heights)
    height = bottom + 44
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}"'
        f' height="{height:.0f}" font-family="Helvetica, Arial, sans-serif">',
        rectangle(0, 0, WIDTH, height, "#ffffff"),
        text(16, 26, f"GFLOP/s in f32 with {results['threads']} threads", size=17, weight="bold"),
        text(WIDTH - 16, 26, f"{results['processor']}, {results['date']}", "end", 11, "#555"),
    ]
    x = 16.0
    for engine, colour in COLOURS.items():
        version = results["versions"].get(engine, "")
        parts += [rectangle(x, 40, 12, 12, colour), text(x + 17, 50, f"{engine} {version}")]
        x += 17 + 7.0 * (len(engine) + len(version) + 1) + 18
    marks = step(greatest)
    for number in range(int(greatest // marks) + 1):
        at = LEFT + number * marks * scale
        parts += [line(at, TOP - 6, at, bottom, "#e4e4e4"), text(at, bottom + 16, str(number * marks), "middle", 11, "#555")]
    parts.append(text(LEFT, bottom + 34, "GFLOP/s: two for each multiply-accumulate of a matrix product; fastest variant of each engine", size=11, colour="#555"))
    y = TOP + GAP / 2
    for (case, rows), tall in zip(cases, heights):
        lines = label(case)
        first = y + (tall - GAP - 15 * len(lines)) / 2 + 12
        parts += [text(LEFT - 12, first + 15 * i, part, "end") for i, part in enumerate(lines)]
        bar = y + (tall - GAP - BAR * len(rows)) / 2
        for row in rows:
            rate = case["flops"] / row["seconds"] / 1e9
            parts.append(rectangle(LEFT, bar, rate * scale, BAR - 2, COLOURS[row["entry"]["engine"]]))
            # A number that would cross the line of the peak stands inside its bar.
            inside = top and rate < top and LEFT + rate * scale + 34 > LEFT + top * scale
            at = (LEFT + rate * scale - 4, "end", "#fff") if inside else (LEFT + rate * scale + 4, "start", "#222")
            parts.append(text(at[0], bar + BAR - 4.5, f"{rate:.0f}", at[1], 11, at[2]))
            bar += BAR
        y += tall
    if top:
        at = LEFT + top * scale
        parts += [
            line(at, TOP - 6, at, bottom, "#c00", "5 4"),
            text(at, TOP - 10, f"peak of {results['threads']} cores: {top:.0f}", "middle", 11, "#c00"),
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"

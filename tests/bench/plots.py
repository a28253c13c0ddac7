"""Pictures of what was measured, as SVG and PNG. Needs matplotlib (Debian: python3-matplotlib).

    plots.py BENCH.JSON DIRECTORY"""

import json
import pathlib
import sys

try:
    import matplotlib
except ImportError:
    sys.exit("no matplotlib (Debian: python3-matplotlib)")
matplotlib.use("svg")
from matplotlib import pyplot

COLOURS = {"anasazi": "#2563a8", "in-process": "#58a5d8", "in-loop": "#9ccbe8",
           "corosync": "#c05a2b"}


def draw(rows, raw, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in (("throughput", throughput(rows, raw)), ("latency", latency(rows))):
        for kind in ("svg", "png"):
            # Without a date, so that equal figures give equal files.
            figure.savefig(folder / f"{name}.{kind}", dpi=120, bbox_inches="tight",
                           metadata={"Date": None} if kind == "svg" else None)
        pyplot.close(figure)


def throughput(rows, raw):
    figure, axes = pyplot.subplots(figsize=(7, 3.6))
    for cluster in clusters(rows):
        points = sorted((row["length"], row["mb_s"]) for row in rows
                        if row["cluster"] == cluster and not row["rate"] and not row["safe"]
                        and not row["one"] and not row.get("loss"))
        axes.plot(*zip(*points), marker="o", label=cluster, color=COLOURS.get(cluster))
    for senders, mb_s in raw.items():
        axes.axhline(mb_s, color="#888888", linestyle=":" if int(senders) == 1 else "--",
                     label=f"no protocol, {senders} sending")
    axes.set(xscale="log", yscale="log", xlabel="bytes of a message",
             ylabel="MB/s delivered at each host", title="Total order, all members sending")
    axes.set_xticks([64, 1024, 8192, 65536, 1 << 20], ["64", "1 Ki", "8 Ki", "64 Ki", "1 Mi"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def latency(rows):
    paced = [row for row in rows if row["rate"]]
    rates = sorted({row["rate"] for row in paced})
    names = clusters(paced)
    figure, axes = pyplot.subplots(figsize=(7, 3.6))
    for at, cluster in enumerate(names):
        mine = {row["rate"]: row for row in paced if row["cluster"] == cluster}
        places = [place + 0.8 * at / len(names) for place, rate in enumerate(rates) if rate in mine]
        for what, alpha in (("p99_us", 0.35), ("p50_us", 1.0)):
            axes.bar(places, [mine[rate][what] for rate in rates if rate in mine],
                     0.7 / len(names), color=COLOURS.get(cluster), alpha=alpha,
                     label=cluster if what == "p50_us" else None)
    axes.set(yscale="log", ylabel="microseconds, p50 and p99 (pale)",
             title="From send to delivery at the slowest member, 256 bytes")
    axes.set_xticks([place + 0.3 for place in range(len(rates))],
                    [f"{rate}/s of each member" for rate in rates])
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    return figure


def draw_domains(results, folder):
    """Of `domains.py`: the fast members beside a host that is well, and beside one that is sick."""
    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = pyplot.subplots(figsize=(7, 3.6))
    for at, result in enumerate(results):
        for what, mark in (("p50_us", "o"), ("p99_us", "^")):
            for half, colour in (("well", "#2563a8"), ("sick", "#c05a2b")):
                values = [pair[half]["fast"][what] for pair in result["pairs"]]
                shift = (what == "p99_us") * 0.3 + (half == "sick") * 0.15
                axes.plot([at + shift] * len(values), values, mark, color=colour, alpha=0.4,
                          label=None if at else f"{what[:3]}, the other host {half}")
    axes.set(yscale="log", ylabel="microseconds from send to delivery",
             title="Fast members, while a slow one is well or sick")
    axes.set_xticks([at + 0.22 for at in range(len(results))],
                    [result["cluster"] for result in results])
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    for kind in ("svg", "png"):
        figure.savefig(folder / f"domains.{kind}", dpi=120, bbox_inches="tight",
                       metadata={"Date": None} if kind == "svg" else None)
    pyplot.close(figure)


def clusters(rows):
    return sorted({row["cluster"] for row in rows}, key=lambda name: (name == "corosync", name))


if __name__ == "__main__":
    measured = json.loads(pathlib.Path(sys.argv[1]).read_text())
    into = pathlib.Path(sys.argv[2])
    if "domains" in measured:
        draw_domains(measured["domains"], into)
    else:
        draw(measured["rows"], measured["raw_mb_s"], into)

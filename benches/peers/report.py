"""python report.py FILE.json OUT [--layers FILE.json ..]: what run.py measured as OUT/peers.md and SVG charts.

--layers: the output of `kolibri bench NETWORKS --lone --json` for the roofline and, like that with `--int8`, for what
networks would take at the peak of a core.
"""
import argparse
import json
import math
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "kolibri", "font.size": 9, "font.family": "sans-serif"}
NAMES = {
    "kolibri": "Kolibri", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "openvino_default": "OpenVINO, bf16",
    "litert": "LiteRT (XNNPACK)", "ncnn": "ncnn", "mnn": "MNN", "tract": "tract", "rten": "rten", "candle": "candle"}
RUST = ["tract", "rten", "candle"]
# Of fewer bits than f32 and more than a byte: shown beside both, and the best peer of neither.
FEWER_BITS = ["openvino_default"]
COLOURS = dict(zip(NAMES, ["#d1495b", "#2e4057", "#66a182", "#9fc5a8", "#edae49", "#8d96a3", "#b5bdc8", "#6f5e76", "#a491ab", "#cfc2d4"]))


def label(network):
    return network.replace("_1x_", " ").replace("_mobile_4at1056", " mobile").replace("_1.0x", "").replace("_1.0", "").replace("_", " ")


class Matrix:
    """The results of one data type, number of threads and hold, by network and engine."""

    def __init__(self, results):
        self.cells = {(r["network"], r["engine"]): r for r in results}
        self.networks = list(dict.fromkeys(r["network"] for r in results))
        self.engines = [name for name in NAMES if any(self.time(n, name) for n in self.networks)]

    def time(self, network, engine, only_right=False, by="median_ms"):
        r = self.cells.get((network, engine), {})
        return r.get(by) if r.get("right") or not only_right else None

    def best_peer(self, network, among=None, by="median_ms"):
        among = among or [e for e in self.engines if e not in ["kolibri", *FEWER_BITS]]
        times = [(self.time(network, e, only_right=True, by=by), e) for e in among]
        return min((t for t in times if t[0]), default=(None, None))

    def cell(self, network, engine):
        r = self.cells.get((network, engine), {})
        if "median_ms" not in r:
            return "-"
        best = min(filter(None, (self.time(network, e, only_right=True) for e in self.engines if e not in FEWER_BITS)), default=None)
        text = f'{r["median_ms"]:.2f}'
        if not r["right"]:
            return f'{text} (wrong: {r["cosine"]:.2f})'
        return f"**{text}**" if r["median_ms"] == best else text

    def table(self, limits):
        lines = ["| | " + " | ".join(map(label, self.networks)) + " |", "|---" * (len(self.networks) + 1) + "|"]
        for engine in self.engines:
            lines.append(f"| {NAMES[engine]} | " + " | ".join(self.cell(n, engine) for n in self.networks) + " |")
        ours = {n: self.time(n, "kolibri") for n in self.networks}
        for title, among in [("the best peer that is right", None), ("the best in Rust", RUST), ("OpenVINO in bf16", FEWER_BITS)]:
            lines += self.ratios(f"times as fast as {title}", ours, among)
        fastest = {n: self.time(n, "kolibri", by="min_ms") for n in self.networks}
        lines += self.ratios("times as fast as the best peer, each by its fastest run", fastest, by="min_ms")
        if limits:
            times = [f"{limits[n]:.2f}" if n in limits else "-" for n in self.networks]
            lines.append("| all multiply-adds at the measured peak of a core | " + " | ".join(times) + " |")
            lines += self.ratios("times as fast as the best peer, were that reached", limits)
        return lines

    def ratios(self, title, ours, among=None, by="median_ms"):
        """How many times as long as `ours` the best peers take: a row, or none."""
        theirs = {n: self.best_peer(n, among, by)[0] for n in self.networks}
        ratios = {n: theirs[n] / ours[n] for n in self.networks if theirs[n] and ours.get(n)}
        if not ratios:
            return []
        mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
        cells = [f"{ratios[n]:.2f}" if n in ratios else "-" for n in self.networks]
        return [f"| {title}, geometric mean {mean:.2f} | " + " | ".join(cells) + " |"]

    def chart(self, path, title):
        engines = [e for e in self.engines if e not in RUST + FEWER_BITS]
        figure, axes = plt.subplots(figsize=(9, 3.4))
        width = 0.84 / len(engines)
        for i, engine in enumerate(engines):
            times = [self.time(n, engine) or 0 for n in self.networks]
            places = [x + (i - (len(engines) - 1) / 2) * width for x in range(len(times))]
            ours = [self.time(n, "kolibri") for n in self.networks]
            heights = [t / o if o else 0 for t, o in zip(times, ours)]
            wrong = [not self.cells.get((n, engine), {}).get("right", True) for n in self.networks]
            bars = axes.bar(places, heights, width, color=COLOURS[engine], label=NAMES[engine])
            for bar, is_wrong in zip(bars, wrong):
                if is_wrong:
                    bar.set(hatch="////", edgecolor="white")
        axes.set_xticks(range(len(self.networks)), [f"{label(n)}\n{self.time(n, 'kolibri'):.2f} ms" for n in self.networks], fontsize=7.5)
        axes.set_ylabel("time, Kolibri = 1")
        axes.set_ylim(0, min(axes.get_ylim()[1], 6))
        axes.axhline(1, color=COLOURS["kolibri"], linewidth=0.8)
        axes.set_title(title + " (hatched: wrong answer)", fontsize=9)
        axes.legend(ncols=len(engines), fontsize=7.5, frameon=False, loc="upper left")
        axes.spines[["top", "right"]].set_visible(False)
        figure.tight_layout()
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def at_peak(reports):
    """Milliseconds of each network's operations at the peak, by data type."""
    times = {}
    for r in (r for r in reports if "network" in r):
        dtype, rate, peak = ("int8", "gops", r["int8_peak_gops"]) if "int8_peak_gops" in r else ("f32", "gflops", r["peak_gflops"])
        rows = [row for row in r["tables"][0]["rows"] if row.get(rate)]
        times.setdefault(dtype, {})[r["network"]] = sum(row[rate] * row["us"] * row["count"] for row in rows) / peak * 1e-3
    return times


def roofline(reports, path):
    """Layers alone with hot caches: rate over operations for each byte of input, output and weights."""
    figure, axes = plt.subplots(figsize=(9, 4))
    facts = next(r for r in reports if "read_GB_per_s_L1" in r)
    peak = facts["peak_gflops"]
    intensities = [2**e for e in range(-2, 11)]
    for key, where in [("read_GB_per_s_L1", "L1"), ("read_GB_per_s_L2", "L2"), ("read_GB_per_s_L3", "L3"), ("read_GB_per_s_DRAM", "DRAM")]:
        axes.plot(intensities, [min(peak, facts[key] * i) for i in intensities], color="#8d96a3", linewidth=0.8)
        axes.annotate(f"{where} {facts[key]:.0f} GB/s", (0.27, facts[key] * 0.28), fontsize=7, rotation=33)
    axes.annotate(f"peak {peak:.0f} GFLOP/s", (300, peak * 1.05), fontsize=7)
    colours = dict(zip(["pwconv", "gconv", "dwconv", "conv", "fc"], ["#d1495b", "#edae49", "#2e4057", "#66a182", "#6f5e76"]))
    points = {}
    for report in reports:
        for row in (row for table in report["tables"] for row in table["rows"] if "layer" in row):
            if row.get("gflops"):
                points.setdefault(row["op"], []).append((row["ops_per_byte"], row["gflops"]))
    for kind, found in points.items():
        axes.scatter(*zip(*found), s=9, color=colours[kind], label=kind)
    axes.set(xscale="log", yscale="log", xlabel="operations for each byte", ylabel="GFLOP/s", xlim=(0.25, 1024), ylim=(1, peak * 1.4))
    axes.legend(fontsize=7.5, frameon=False, loc="lower right")
    axes.set_title("Kolibri's layers, f32, one thread, hot caches", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    run = json.loads(arguments.results.read_text())
    results, machine = run["results"], run["machine"]
    layers = [json.loads(path.read_text()) for path in arguments.layers]
    limits = at_peak(sum(layers, []))
    arguments.out.mkdir(exist_ok=True)
    versions = {NAMES[r["engine"]]: r["version"] for r in results if "version" in r}
    lines = [
        f'{machine["cpu"]}; {machine["cores"]} cores; {" ".join(machine["flags"])}; {run["date"]}.',
        "", "Medians in milliseconds, batch 1, 224x224x3, in turns; in bold the fastest with the right answer. In bytes, *wrong* means",
        "a cosine with the answer in f32 below 0.95. In bf16 OpenVINO computes networks in f32 by default, where the CPU can: it is",
        "beside f32 and bytes, and the best peer of neither.", "",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + "."]
    groups = {}
    for r in results:
        groups.setdefault((r["hold"], r["dtype"], r["threads"]), []).append(r)
    for (hold, dtype, threads), group in groups.items():
        beside = [r for r in groups.get((hold, "f32", threads), []) if r["engine"] in FEWER_BITS]
        matrix = Matrix(group + beside if dtype == "int8" else group)
        held = "" if hold == "full" else f", held to {hold}"
        title = f'{dtype}, {threads} thread{"s" if threads > 1 else ""}{held}'
        first = hold == "full" and threads == 1
        lines += ["", f"## {title}", "", *matrix.table(limits.get(dtype, {}) if first else {})]
        if first:
            matrix.chart(arguments.out / f"peers-{dtype}.svg", title)
    scaling = {}
    for r in results:
        if r["engine"] == "kolibri" and r["hold"] == "full" and "median_ms" in r:
            scaling.setdefault((r["dtype"], r["network"]), {})[r["threads"]] = r["median_ms"]
    both = {key: times[1] / times[2] for key, times in scaling.items() if 1 in times and 2 in times}
    if both:
        lines += ["", "## Kolibri, two threads against one", "", "| | f32 | int8 |", "|---|---|---|"]
        for network in dict.fromkeys(network for _, network in both):
            cells = [f"{both[d, network]:.2f}" if (d, network) in both else "-" for d in ["f32", "int8"]]
            lines.append(f"| {label(network)} | " + " | ".join(cells) + " |")
    errors = [r for r in results if "error" in r]
    if errors:
        lines += ["", "## Not measured", ""]
        seen = dict.fromkeys(f'- {NAMES[r["engine"]]}, {r["dtype"]}, {label(r["network"])}: {r["error"]}' for r in errors)
        lines += seen
    (arguments.out / "peers.md").write_text("\n".join(lines) + "\n")
    if layers:
        roofline(layers[0], arguments.out / "roofline.svg")


if __name__ == "__main__":
    main()

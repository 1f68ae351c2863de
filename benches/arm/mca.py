#!/usr/bin/env python3
"""What the NEON kernels of a compiled library reach on models of Arm cores, by llvm-mca.

The library is disassembled rather than compiled to assembly text: that is the code that ships, built without flags of
its own, and branches are plain addresses.

Of each kernel one steady state is simulated, the body of a loop, over and over with all loads from L1:
- of a product the loop over k: the innermost loop with the most multiply-adds;
- of a depthwise kernel the loop over blocks of channels: a whole block for the pixels of a step, from biases to stores,
  with the loop over kernel rows unrolled. Where it forks the shortest way is taken: that of a whole block, and of bytes
  that need no zero point and no clamp. Where two output rows share what is interleaved: both, and the interleaving of as
  many columns.

Multiply-adds are counted as instructions do them, so an `sdot` of three rows counts four. The limit is what the same
model does of the same instruction, by vectors or by a lane, on independent sums. Models know no cache but L1, nor all
that there is to know of a core: what they say are bounds with which to choose between variants, not speeds."""

import argparse, heapq, json, re, subprocess, sys
from collections import defaultdict
from itertools import product

CORES = ["cortex-a55", "neoverse-n1", "neoverse-v1", "apple-m1"]
# Multiply-adds of one instruction, by its name and the arrangement of its sums; and its forms, to find the limit with.
MACS = {("fmla", "4s"): 4, ("smlal", "4s"): 4, ("smlal2", "4s"): 4, ("sdot", "4s"): 16, ("smmla", "4s"): 32}
FORMS = {
    "fmla": ["fmla v{}.4s, v30.4s, v31.4s", "fmla v{}.4s, v30.4s, v31.s[0]"],
    "smlal": ["smlal v{}.4s, v30.4h, v31.4h", "smlal v{}.4s, v30.4h, v15.h[0]"],
    "sdot": ["sdot v{}.4s, v30.16b, v31.16b", "sdot v{}.4s, v30.16b, v31.4b[0]"],
    "smmla": ["smmla v{}.4s, v30.16b, v31.16b"],
}
# Depthwise: the instruction of each family and level, the rows that it adds up, the channels of a block.
DEPTHWISE = {"f32_neon": ("fmla", 1, 4), "i8_neon": ("smlal", 1, 16), "i8_neon_dotprod": ("sdot", 4, 16)}
# Of a kernel's name what is computed: kernel size, stride, output rows if it says so, pixels, level.
DWCONV = re.compile(r"dwconv_(f32|i8)_k(\d)s(\d)(?:_(\d))?x(\d)_(\w+)")


def macs(insn):
    m = re.match(r"(\w+)\s+v\d+\.(\w+)", insn)
    return MACS.get(m.groups(), 0) if m else 0


# --- what to simulate ------------------------------------------------------------------------------------------------
def functions(objdump, library):
    """Each kernel's instructions, by name: address, text, the address that it may branch to."""
    run = [objdump, "-d", "-C", "--no-show-raw-insn", library]
    listing = subprocess.run(run, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    found, body = {}, None
    for line in listing.splitlines():
        if m := re.match(r"\w+ <.*::(\w+_neon\w*)(::h\w+)?>:", line):
            body = found[m[1]] = []
        elif m := re.match(r"\s*(\w+):\s+(\S.*)", line):
            if body is not None:
                text = m[2].split("//")[0].strip().replace("\t", " ")
                target = re.match(r"(?:b|b\.\w+|cbn?z|tbn?z) (?:.*, )?0x(\w+) <", text)
                text = re.sub(r"0x\w+ <.*", ".Lthere", text)
                body.append((int(m[1], 16), text, int(target[1], 16) if target else None))
        elif "<" in line:
            body = None
    return found


# What no instruction follows.
ENDS = ("b", "br", "ret", "brk", "udf")


class Flow:
    """The blocks of a function, by number: instructions `code`, successors `next`. Of `loops` each head's blocks."""

    def __init__(self, body):
        at = {address: i for i, (address, _, _) in enumerate(body)}
        cut = {0}
        for i, (_, text, target) in enumerate(body):
            if target is not None:
                cut |= {at[target], i + 1}
            elif text.split()[0] in ENDS:
                cut.add(i + 1)
        starts = sorted(i for i in cut if i < len(body))
        block = {i: b for b, i in enumerate(starts)}
        self.code, self.next = [], []
        for start, end in zip(starts, [*starts[1:], len(body)]):
            _, last, target = body[end - 1]
            self.code.append([text for _, text, _ in body[start:end]])
            on = [] if last.split()[0] in ENDS or end == len(body) else [block[end]]
            self.next.append(on + ([] if target is None else [block[at[target]]]))
        self.find_loops()

    def find_loops(self):
        before = defaultdict(list)
        for b, on in enumerate(self.next):
            for n in on:
                before[n].append(b)
        # Depth first: an edge to a block that is being visited closes a loop.
        self.loops, self.latches = defaultdict(set), defaultdict(set)
        visiting, done, stack = {0}, set(), [(0, iter(self.next[0]))]
        while stack:
            b, rest = stack[-1]
            n = next(rest, None)
            if n is None:
                visiting.discard(b), done.add(b), stack.pop()
            elif n in visiting:
                self.latches[n].add(b)
            elif n not in done:
                visiting.add(n)
                stack.append((n, iter(self.next[n])))
        for head, latches in self.latches.items():
            self.loops[head].add(head)
            open_ = list(latches)
            while open_:
                b = open_.pop()
                if b not in self.loops[head]:
                    self.loops[head].add(b)
                    open_ += before[b]

    def inside(self, head):
        """The loops directly in a loop."""
        inner = [h for h in self.loops if h != head and h in self.loops[head]]
        return [h for h in inner if not any(h != o and h in self.loops[o] for o in inner)]

    def depth(self, head):
        return sum(head in blocks for blocks in self.loops.values())

    def turn(self, head, times):
        """One turn of a loop by the shortest way, loops in it taken `times`: the instructions, the last block."""
        inner = {h: self.turn(h, times) for h in self.inside(head)}
        ways, seen = [(0, head, [])], set()
        while ways:
            cost, b, way = heapq.heappop(ways)
            if b in seen:
                continue
            seen.add(b)
            code, last = (inner[b][0] * times, inner[b][1]) if b in inner else (self.code[b], b)
            way = way + code
            if last in self.latches[head]:
                return way, last
            skip = self.loops[b] if b in inner else {head}
            for n in self.next[last]:
                if n in self.loops[head] and n not in skip:
                    heapq.heappush(ways, (cost + len(code), n, way))
        raise ValueError("a loop without an end")


def interleaving(flow, rows):
    """A turn of the loop that does nothing but interleave rows, and how many columns that does; 0 if there is no such."""
    of = lambda code, name: sum(insn.startswith(name) for insn in code)
    turns = [flow.turn(head, 1)[0] for head in flow.loops if not flow.inside(head)]
    turn = max((turn for turn in turns if not any(map(macs, turn))), key=lambda turn: of(turn, "zip"), default=[])
    return turn, of(turn, "ldr q") // rows if of(turn, "zip") else 0


def steady_state(name, body):
    """The instructions of the loop that counts."""
    flow = Flow(body)
    count = lambda code: sum(map(macs, code))
    if not name.startswith("dwconv"):
        turns = [flow.turn(head, 1)[0] for head in flow.loops if not flow.inside(head)]
        return max(turns, key=count)
    kind, k, stride, outputs, pixels, level = DWCONV.match(name).groups()
    k, stride, outputs, pixels = int(k), int(stride), int(outputs or 1), int(pixels)
    _, rows, channels = DEPTHWISE[f"{kind}_{level}"]
    units = -(-k // rows)
    total = outputs * pixels * k * units * rows * channels
    # The loop over kernel rows, or those that two output rows see, or units of them, is there, or was unrolled.
    for head, times in product(sorted(flow.loops, key=flow.depth, reverse=True), (k, k - stride, units, 1)):
        code = flow.turn(head, times)[0]
        if count(code) == total:
            turn, columns = interleaving(flow, k + stride)
            return columns * 2 * code + pixels * turn if columns else code
    raise ValueError(f"{name}: no loop has {total} multiply-adds a turn")


def chosen(names):
    """Of each family the widest: the most rows of a tile, the most rows and pixels."""
    best = {}
    for name in names:
        if m := re.match(r"(gem[mv]_(?:f32|i8))_(\d+)x(\d+)_(.+)", name):
            key, size = (m[1], m[4], int(m[3])), (int(m[2]),)
        elif m := DWCONV.match(name):
            kind, k, stride, outputs, pixels, level = m.groups()
            key, size = (f"dwconv_{kind}", level, k, stride), (int(outputs or 1), int(pixels))
        else:
            continue
        best[key] = max(best.get(key, ((), "")), (size, name))
    family = lambda key: ["gemm_f32", "gemv_f32", "gemm_i8", "dwconv_f32", "dwconv_i8"].index(key[0])
    return [best[key][1] for key in sorted(best, key=lambda key: (family(key), key[1:]))]


# --- simulation ------------------------------------------------------------------------------------------------------
def cycles(mca, core, code):
    """Cycles of one turn; nothing where the core lacks an instruction."""
    turns = max(30, 30_000 // len(code))
    brief = ["-instruction-info=0", "-resource-pressure=0"]
    run = [*mca, "-mtriple=aarch64-linux-gnu", f"-mcpu={core}", f"-iterations={turns}", *brief]
    result = subprocess.run(run, input="\n".join([".Lthere:", *code, ""]), capture_output=True, text=True)
    if "instruction requires" in result.stderr:
        return None
    if result.returncode:
        sys.exit(result.stderr)
    return int(re.search(r"Total Cycles:\s+(\d+)", result.stdout)[1]) / turns


def peak(mca, core, insn):
    """Multiply-adds in a cycle by the fastest form of an instruction, on more sums than cover its latency."""
    probes = [[form.format(i) for i in range(30) if i != 15] for form in FORMS[insn]]
    rates = [sum(map(macs, probe)) / takes for probe in probes if (takes := cycles(mca, core, probe))]
    return round(max(rates, default=0), 1)


def main():
    args = argparse.ArgumentParser(description="NEON kernels on models of Arm cores")
    args.add_argument("library")
    args.add_argument("--llvm", default="22", help="version of llvm-mca and llvm-objdump")
    args.add_argument("--json", action="store_true")
    args.add_argument("--only", default="", help="kernels whose names contain this")
    args.add_argument("--dispatch", type=int, help="micro-ops that are dispatched in a cycle, in place of the models'")
    args.add_argument("--code", action="store_true", help="print what is simulated, not how fast it is")
    args = args.parse_args()
    mca, objdump = [f"llvm-mca-{args.llvm}"], f"llvm-objdump-{args.llvm}"
    if args.dispatch:
        mca.append(f"-dispatch={args.dispatch}")

    bodies = functions(objdump, args.library)
    results, limits = [], {}
    for name in (name for name in chosen(bodies) if args.only in name):
        code = steady_state(name, bodies[name])
        if args.code:
            print(f"# {name}", *code, "", sep="\n")
            continue
        done = sum(map(macs, code))
        insn = next(insn.split()[0] for insn in code if macs(insn)).removesuffix("2")
        for core in CORES:
            if (insn, core) not in limits:
                limits[insn, core] = peak(mca, core, insn)
            takes, limit = cycles(mca, core, code), limits[insn, core]
            result = {"kernel": name, "core": core, "instructions": len(code), "product": insn, "multiply_adds": done}
            if takes:
                rate = done / takes
                result |= {"cycles": takes, "per_cycle": rate, "limit": limit, "percent": 100 * rate / limit}
            results.append(result)
    if args.json:
        print(json.dumps(results, indent=1))
    elif results:
        table(results)


def table(results):
    print("Cycles of one turn of the loop, multiply-adds in a cycle of the core's limit, percent of it; simulated.\n")
    print("| kernel | multiply-adds a turn |", " | ".join(CORES), "|")
    print("| --- " * (2 + len(CORES)) + "|")
    rows = defaultdict(list)
    for r in results:
        cell = "{cycles:.1f}, {per_cycle:.1f} of {limit:.0f}, {percent:.0f} %".format(**r) if "cycles" in r else "-"
        rows[f"`{r['kernel']}` | {r['multiply_adds']} `{r['product']}`"].append(cell)
    for row, cells in rows.items():
        print(f"| {row} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()

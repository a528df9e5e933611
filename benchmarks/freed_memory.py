"""What a process gains that keeps the memory it frees (`whatwhere.memory`), as training does.

python benchmarks/freed_memory.py [--repeats 5] [--threads 1]

Work: a training step of MobileNetV2 from end to end (32 pictures of 128 x 128, random pixels), and
a pass without gradients over the same. Keeping cannot be undone, so each way runs in a process of
its own, taking turns; medians over the processes of each one's median of 5.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from whatwhere.encoders.mobilenet_v2 import MobileNetV2
from whatwhere.memory import keep_freed
from whatwhere.records import Sizes

WAYS = ("usual", "kept")


def median_seconds(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(way: str, threads: int) -> dict[str, float]:
    torch.set_num_threads(threads)
    if way == "kept":
        keep_freed()
    torch.manual_seed(0)
    tower = MobileNetV2(stride=32, frozen=False).build(Sizes()).train()
    pictures = torch.rand(32, 3, 128, 128)

    def step() -> None:
        tower(pictures).patches.square().mean().backward()

    return {
        "training step": median_seconds(step),
        "pass": median_seconds(torch.no_grad()(lambda: tower(pictures))),
    }


def in_a_process(way: str, threads: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--way", way, "--threads", str(threads)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--way", choices=WAYS, help="measure this way alone and print JSON")
    args = parser.parse_args()
    if args.way:
        print(json.dumps(measure(args.way, args.threads)))
        return
    found = {way: [] for way in WAYS}
    for _ in range(args.repeats):
        for way in WAYS:
            found[way].append(in_a_process(way, args.threads))
    for work in found["usual"][0]:
        usual, kept = (statistics.median(run[work] for run in found[way]) for way in WAYS)
        print(f"{work}: {usual:.3f} s, {kept:.3f} s with memory kept; {usual / kept:.2f}x as fast")


if __name__ == "__main__":
    main()

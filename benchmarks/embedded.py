"""What a small model costs to keep and to use, beside its bare network.

python benchmarks/embedded.py [MODEL] [--repeats 7] [--threads 2]

MODEL is the name of a model that the package holds (default: tiny), a folder or a file. One photo
of 448x448 with random pixels. Disk: what reading needs, so no optimizer. Image side: the photo
through image encoder, head and pooling (`encode_images`) in float32, under bfloat16 autocast and,
where the extra `onnx` is installed, by onnxruntime. Whole call: `segment(photo, names)` with 20
names, whose vectors are kept after the first call, against that network in float32 and against
0.3 s; the first call, which encodes the names, by itself. Medians, taking turns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import whatwhere
from whatwhere.runs import onnx
from whatwhere.segmenter import Segmenter
from whatwhere.training import checkpoints

SIDE = 448
TARGET = 0.3  # seconds a whole call may take
NAMES = (
    "person, dog, cat, bird, horse, sheep, cow, car, bus, train, boat, bicycle, chair, table, "
    "bottle, tree, grass, sky, road, building"
)


def a_photo() -> Image.Image:
    torch.manual_seed(0)
    return Image.fromarray(torch.randint(256, (SIDE, SIDE, 3), dtype=torch.uint8).numpy())


def place(model: str) -> Path:
    given = Path(model)
    return given if given.exists() else Path(whatwhere.__file__).parent / "models" / model


def megabytes(model: Path) -> float:
    files = [model]
    if model.is_dir():
        folder = checkpoints.newest(model)
        files = [folder / checkpoints.WEIGHTS, folder / checkpoints.ABOUT]
    return sum(file.stat().st_size for file in files) / 1e6


def by_onnxruntime(segment: Segmenter, pixels: Tensor, threads: int) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "image.onnx"
        onnx.image_side(segment.model, file)
        session = onnxruntime.InferenceSession(file, options)
    given = {"pixels": pixels.numpy()}
    return lambda: session.run(None, given)


def ways(segment: Segmenter, threads: int) -> dict[str, Callable[[], object]]:
    """What is timed, by name. The first is the bare network that others are compared with."""
    photo = a_photo()
    pixels = torch.rand(1, 3, SIDE, SIDE)

    def in_bfloat16() -> object:
        with torch.autocast("cpu", torch.bfloat16):
            return segment.model.encode_images(pixels)

    found = {
        "image side, float32": lambda: segment.model.encode_images(pixels),
        "image side, bfloat16": in_bfloat16,
        "whole call, 20 names": lambda: segment(photo, NAMES),
    }
    if all(find_spec(package) for package in onnx.NEEDED):
        found["image side, onnxruntime"] = by_onnxruntime(segment, pixels, threads)
    return found


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="tiny")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = place(args.model)
    segment = whatwhere.load(model, device="cpu")
    runs = ways(segment, args.threads)
    first = {name: seconds(run) for name, run in runs.items()}
    taken = {name: [] for name in runs}
    for _ in range(args.repeats):
        for name, run in runs.items():
            taken[name].append(seconds(run))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    network = medians["image side, float32"]
    print(f"{'':<26}{'time':>10}{'/ network':>12}")
    for name, median in medians.items():
        print(f"{name:<26}{1e3 * median:>7.0f} ms{median / network:>11.2f}x")
    whole = medians["whole call, 20 names"]
    print(f"first call, which encodes the names: {1e3 * first['whole call, 20 names']:.0f} ms")
    print(f"whole call: {whole / TARGET:.2f} of the target of {TARGET} s")
    print(f"disk: {megabytes(model):.2f} MB")
    print(f"{SIDE}x{SIDE}, {args.threads} threads, medians of {args.repeats}")


if __name__ == "__main__":
    main()

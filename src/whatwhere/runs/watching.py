"""What a person sees of a run while it trains: mIoU on labelled pictures, and some of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from whatwhere.benchmarks import Benchmark
from whatwhere.benchmarks.score import evaluate
from whatwhere.runs.evaluating import labeller
from whatwhere.runs.training import Watch
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.segmentation import Segmentation


def watch_benchmark(
    benchmark: Benchmark, folder: str | Path | None, *, limit: int = 50, pictures: int = 4
) -> Watch:
    """mIoU (0 to 100) over `limit` photos spread over the benchmark, and overlays of a few."""
    some = _Spread(benchmark, limit)

    def watch(segment: Segmenter, done: int) -> dict[str, float]:
        scores = evaluate(labeller(segment, some), some, progress=False)
        if folder is not None:
            _draw(segment, some, Path(folder) / f"step-{done:08d}", pictures)
        return {"miou": 100 * scores.miou, "pixel_accuracy": 100 * scores.accuracy}

    return watch


class _Spread:
    """Every n-th photo of a benchmark, as a benchmark."""

    def __init__(self, benchmark: Benchmark, limit: int):
        self.all = benchmark
        count = min(limit, len(benchmark))
        self.rows = np.linspace(0, len(benchmark) - 1, count).round().astype(int).tolist()
        self.name, self.classes, self.names = benchmark.name, benchmark.classes, benchmark.names
        self.background, self.ignore, self.official = benchmark.background, benchmark.ignore, None

    def __len__(self) -> int:
        return len(self.rows)

    def items(self, indices=None):
        chosen = self.rows if indices is None else [self.rows[i] for i in indices]
        return self.all.items(chosen)


def _draw(segment: Segmenter, benchmark: Benchmark, folder: Path, count: int) -> None:
    label = labeller(segment, benchmark)
    shown = tuple(names[0] for names in benchmark.names)
    for item in benchmark.items(range(min(count, len(benchmark)))):
        labels = label(item.image)
        found = Segmentation(labels, np.ones(labels.shape, np.float32), shown, item.image)
        folder.mkdir(parents=True, exist_ok=True)
        found.overlay().save(folder / f"{item.key}.jpg", quality=90)

"""What a person sees of a run while it trains: mIoU on labelled pictures, and some of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from whatwhere.benchmarks import Benchmark, Item
from whatwhere.benchmarks.score import Tally
from whatwhere.runs.evaluating import Question, labeller
from whatwhere.runs.training import Watch
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.segmentation import Segmentation


def watch_benchmark(
    benchmark: Question, folder: str | Path | None, *, limit: int = 50, pictures: int = 4
) -> Watch:
    """mIoU (0 to 100) over `limit` photos spread over the benchmark, and overlays of a few."""
    if not isinstance(benchmark, Benchmark):
        raise ValueError(
            f"{benchmark.name} has no masks, and training is watched by mIoU; take a benchmark "
            "with masks, and measure this one afterwards with `whatwhere evaluate`"
        )
    some = _Spread(benchmark, limit)

    def watch(segment: Segmenter, done: int) -> dict[str, float]:
        label, tally = labeller(segment, some), Tally(some)
        for item in some.items():
            labels = label(item.image)
            if folder is not None and tally.total < pictures:
                _draw(item, labels, some, Path(folder) / f"step-{done:08d}")
            tally.add(item, labels)
        scores = tally.scores
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


def _draw(item: Item, labels: np.ndarray, benchmark: Benchmark, folder: Path) -> None:
    shown = tuple(names[0] for names in benchmark.names)
    found = Segmentation(labels, np.ones(labels.shape, np.float32), shown, item.image)
    folder.mkdir(parents=True, exist_ok=True)
    found.overlay().save(folder / f"{item.key}.jpg", quality=90)

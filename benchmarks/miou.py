"""How fast label maps are counted, against torchmetrics and scikit-learn, in one run.

python benchmarks/miou.py [repeats]. Results are asserted to agree before they are timed; times are
medians, the contenders taking turns, one thread each.
"""

import importlib
import importlib.util
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from whatwhere.benchmarks.score import Scores, confusion

HAS_SKLEARN = importlib.util.find_spec("sklearn") is not None


def photo(names: int, height: int, width: int, ignore: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth in blocks with ignored edges, as in real masks; a guess that is right three in four."""
    draw = np.random.default_rng(0)
    blocks = draw.integers(names, size=(height // 25 + 1, width // 25 + 1))
    truth = np.kron(blocks, np.ones((25, 25), np.int64))[:height, :width].copy()
    guess = np.where(draw.random(truth.shape) < 0.75, truth, draw.integers(names, size=truth.shape))
    truth[::25] = truth[:, ::25] = ignore
    return truth, guess


def contenders(
    truth: np.ndarray, guess: np.ndarray, names: int, ignore: int
) -> dict[str, Callable[[], np.ndarray]]:
    """Each adds a photo to its running (names, names) counts, as an evaluation does."""
    metric = MulticlassJaccardIndex(names, ignore_index=ignore, validate_args=False)
    tensors = torch.from_numpy(guess), torch.from_numpy(truth)
    counts = np.zeros((2, names, names), np.int64)

    def ours() -> np.ndarray:
        counts[0] += confusion(truth, guess, names=names, ignore=ignore)
        return counts[0]

    def torchmetrics() -> np.ndarray:
        metric.update(*tensors)
        return metric.confmat.numpy()

    def sklearn() -> np.ndarray:
        count = importlib.import_module("sklearn.metrics").confusion_matrix
        keep = truth != ignore
        counts[1] += count(truth[keep], guess[keep], labels=np.arange(names))
        return counts[1]

    runs: dict[str, Callable[[], np.ndarray]] = {"whatwhere": ours, "torchmetrics": torchmetrics}
    if HAS_SKLEARN:
        runs["scikit-learn"] = sklearn
    return runs


def medians(runs: dict[str, Callable[[], np.ndarray]], repeats: int) -> dict[str, float]:
    """Milliseconds."""
    taken = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            taken[name].append(1000 * (time.perf_counter() - start))
    return {name: float(np.median(times)) for name, times in taken.items()}


def check(
    runs: dict[str, Callable[[], np.ndarray]],
    names: int,
    ignore: int,
    pair: tuple[np.ndarray, np.ndarray],
) -> float:
    """The mIoU of the first photo, which all must share."""
    counts = {name: run() for name, run in runs.items()}
    for name, theirs in counts.items():
        assert np.array_equal(theirs, counts["whatwhere"]), f"{name} counts otherwise"
    classes = tuple(map(str, range(names)))
    ours = Scores(classes, counts["whatwhere"], np.ones(names, np.int64), 1).miou
    metric = MulticlassJaccardIndex(names, ignore_index=ignore)
    theirs = metric(*(torch.from_numpy(labels) for labels in reversed(pair))).item()
    assert abs(ours - theirs) < 1e-5, f"mIoU {ours} here and {theirs} in torchmetrics"
    return ours


def main() -> None:
    torch.set_num_threads(1)
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 31
    others = "" if HAS_SKLEARN else "; scikit-learn is not installed"
    print(f"counting one photo, medians of {repeats}{others}")
    for names, ignore in ((21, 255), (150, 255), (847, 65535)):
        for height, width in ((375, 500), (512, 683)):
            pair = photo(names, height, width, ignore)
            runs = contenders(*pair, names, ignore)
            miou = check(runs, names, ignore, pair)
            times = medians(runs, repeats)
            shown = ", ".join(
                f"{name} {ms:.2f} ms ({ms / times['whatwhere']:.1f}x)" for name, ms in times.items()
            )
            print(f"K={names:<4} {height}x{width}  mIoU {100 * miou:.3f}  {shown}")


if __name__ == "__main__":
    main()

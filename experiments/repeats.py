"""Runs that are repeated with other seeds: kept once made, told one by one and then as a spread."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Found = dict[str, float]


def once(file: Path, make: Callable[[], Found]) -> Found:
    """What `make` finds, or has found before."""
    if not file.is_file():
        found = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found))
    return json.loads(file.read_text())


def tell(name: str, found: Found) -> None:
    print(name, {key: round(value, 1) for key, value in found.items()}, flush=True)


def tell_spread(runs: Mapping[str, Sequence[Found]]) -> None:
    """Mean and standard deviation of everything that the runs of a name found."""
    for name, several in runs.items():
        for key in several[0]:
            values = [one[key] for one in several]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            print(f"{name:<14} {key:<36} {statistics.mean(values):5.1f} ± {spread:.1f}")

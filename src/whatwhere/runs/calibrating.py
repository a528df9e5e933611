"""A trained model with the background rule that held-out captions teach it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from whatwhere.captions.sources import open_pairs, split
from whatwhere.concepts.bank import Bank
from whatwhere.recipes import Recipe, override, paths, to_json
from whatwhere.runs.loading import restore, segmenter
from whatwhere.runs.thresholds import Learned, learn_threshold
from whatwhere.training import checkpoints, pick_device


def calibrate(
    name: str | Path,
    captions: str,
    *,
    kind: str | None = None,
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    device: str = "auto",
    imports: Sequence[str] = (),
) -> Learned:
    """Learn the threshold from the pictures that the run held out; `out` gets the model with it."""
    if out is not None and Path(out).expanduser().exists():
        raise ValueError(f"{out} exists already; choose another --out")
    restored = restore(name, overrides=overrides, imports=imports)
    if not restored.said["concepts"]:
        raise ValueError(
            f"{name} learned no concepts, so nothing says what its captions mention; train with "
            "concepts=whatwhere.concepts.bank:Concepts"
        )
    held_out = split(
        open_pairs(captions, kind=kind), held_out=restored.recipe.held_out, seed=0
    ).held_out
    if not len(held_out):
        raise ValueError(f"{name} held out no pictures; train with held_out=0.05")
    segment = segmenter(restored.step, restored.recipe.reading, device=pick_device(device))
    learned = learn_threshold(segment, held_out, Bank.parse(restored.said["concepts"]))
    if out is not None:
        rule = [
            "reading.background.rule=score",
            f"reading.background.threshold={learned.threshold:.4f}",
        ]
        recipe = override(restored.recipe, [*rule, *_elsewhere(restored.recipe)])
        said = {k: v for k, v in restored.said.items() if k not in ("format", "step")}
        said |= {"recipe": to_json(recipe), "captions": Path(captions).name}
        checkpoints.pack(Path(out).expanduser(), restored.said["step"], restored.step, said)
    return learned


def _elsewhere(recipe: Recipe) -> list[str]:
    """Settings without files that only the machine has that trained it; the weights are here."""
    files = [path for path, value in paths(recipe).items() if path[-1] == "weights" and value]
    return [f"{'.'.join(path)}=none" for path in (*files, ("caching", "folder"))]

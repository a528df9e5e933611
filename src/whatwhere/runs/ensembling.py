"""Runs of one recipe that differ by their seed, as one model of the same parts, only wider.

An ensemble (arXiv 1612.01474): what the runs agree on stays, what each learned by chance averages
out. Vectors stand side by side, each run's about as long as the others', so that a cosine is the
mean of the runs'. One pass of the common image encoder serves all, and the result is a checkpoint
like any other. Possible where a text encoder only looks words up (`layers=0`) and the head is
linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from whatwhere.encoders.clip_text import ClipText
from whatwhere.heads.linear import Linear
from whatwhere.recipes import Recipe, to_json
from whatwhere.runs.loading import Restored, build, differ_only_in, restore
from whatwhere.training import checkpoints

HEAD, TEXT, MEANS = "model.head.", "model.text_encoder.", "model.similarity.readout."
MAY_DIFFER = ("training", "caching", "image.weights")


def ensemble(runs: Sequence[str | Path], out: str | Path, *, imports: Sequence[str] = ()) -> Path:
    """Write the model of all `runs` to `out`, a folder as of a run, and return it.

    ValueError where the runs were not trained alike, on the same image encoder and captions.
    """
    target = Path(out).expanduser()
    if target.exists():
        raise ValueError(f"{target} exists already; choose another --out")
    if len(runs) < 2:
        raise ValueError("an ensemble needs two runs or more, of seeds of their own")
    members = [restore(run, imports=imports) for run in runs]
    for run, member in zip(runs, members, strict=True):
        _refuse_unlike(members[0], member, said=f"{run} and {runs[0]}")
    recipe = _wider(members[0].recipe, len(members))
    said = members[0].said
    step = build(recipe, concepts=len(said["concepts"]), pretrained=False)
    step.load_state_dict(_side_by_side(members, step.state_dict()))
    kept = {key: value for key, value in said.items() if key not in ("format", "step")}
    about = kept | {"recipe": to_json(recipe)}
    checkpoints.save(target, said["step"], step, None, about)
    return target


def _wider(recipe: Recipe, times: int) -> Recipe:
    text, head = recipe.text, recipe.head
    if not isinstance(text, ClipText) or text.layers or text.hidden:
        raise ValueError(
            "an ensemble needs a text encoder that only looks words up; train with text="
            "whatwhere.encoders.clip_text:ClipText text.layers=0, as the recipe tiny does"
        )
    if not isinstance(head, Linear) or head.cls:
        raise ValueError(
            "an ensemble needs head=whatwhere.heads.linear:Linear without a class token"
        )
    return replace(
        recipe,
        text=replace(text, width=times * text.width, members=times * text.members),
        head=replace(head, size=times * head.size),
    )


def _refuse_unlike(first: Restored, other: Restored, *, said: str) -> None:
    if not differ_only_in(first.recipe, other.recipe, *MAY_DIFFER):
        raise ValueError(
            f"{said} are of different recipes; only settings of training may differ, such as "
            "training.seed"
        )
    if first.said["concepts"] != other.said["concepts"]:
        raise ValueError(f"{said} learned other concepts; train them on the same captions")
    one, two = first.step.state_dict(), other.step.state_dict()
    for name in _common(one):
        if not torch.equal(one[name], two[name]):
            raise ValueError(
                f"{said} differ in {name}; train them on the same captions and with the same "
                "frozen image encoder (image.weights)"
            )


def _common(state: dict[str, Tensor]) -> list[str]:
    """What all members must have alike."""
    return [
        name
        for name in state
        if name.startswith("model.image_encoder.") or name.startswith(f"{TEXT}kept_")
    ]


@torch.no_grad()
def _side_by_side(members: Sequence[Restored], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of the wider model; `own` is what it was built with."""
    states = [member.step.state_dict() for member in members]

    def of(name: str) -> list[Tensor]:
        return [state[name] for state in states]

    head, projection = f"{HEAD}project.weight", f"{TEXT}text_projection"
    found = {
        head: torch.cat([weight / weight.norm() for weight in of(head)]),
        projection: torch.block_diag(*map(_unit_projection, members)),
    }
    for name in own:
        if name.startswith(TEXT) and name not in (projection, *_common(own)):
            found[name] = torch.cat(of(name), dim=-1)
    for name in (f"{MEANS}region_mean", f"{MEANS}caption_mean"):  # means of unit vectors
        found[name] = torch.cat(of(name)) / len(members) ** 0.5
    first = states[0]
    shared = {name: x for name, x in first.items() if name in own and x.shape == own[name].shape}
    return own | shared | found


def _unit_projection(member: Restored) -> Float[Tensor, "width dim"]:
    """Scaled so that words come out about one long."""
    text: Any = member.step.model.text_encoder
    words = text.normed(text.token_embedding.weight[None]) @ text.text_projection
    return text.text_projection / words.norm(dim=-1).mean()

"""CLIPpy's golden weights as files of both layouts: what they give, and each as the other."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from golden import Golden
from torch.testing import assert_close

from whatwhere.encoders.tower import STATISTICS
from whatwhere.released import clippy_flax
from whatwhere.runs.loading import Restored, restore
from whatwhere.weights import write

ELSEWHERE = {
    **dict.fromkeys(["infer.*", "native*", "pdrop.*", "dense.*", "zs.*"], "in other tests"),
    **dict.fromkeys(["loss.*", "lr.*", "voc.*", "metric.*"], "in other tests"),
    **dict.fromkeys(["img.tokens", "txt.token_embeddings"], "inside; in tests of encoders"),
    **dict.fromkeys(["txt.pooled_mean", "txt.dense"], "inside; in tests of encoders"),
    **dict.fromkeys(["txt.embed_maxpool", "txt.embed_unmasked_mean"], "options; there too"),
}


def close(found, expected, *, atol=1e-5):
    assert_close(found, expected, rtol=1e-4, atol=atol)


def in_unit_range(pixels: torch.Tensor) -> torch.Tensor:
    """Undoes the normalisation that the encoder will do."""
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in STATISTICS["clip"])
    return pixels * std + mean


def captions_of(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return F.normalize(model.text_encoder(ids, mask).caption, dim=-1)


def restored_from(golden: Golden, folder: Path) -> Restored:
    """A torch file does not say how many attention heads its ViT has."""
    state = golden.under("sd.")
    write({f"module.{name}": tensor for name, tensor in state.items()}, folder / "torch.pt")
    return restore(folder / "torch.pt", overrides=[f"image.vit.heads={golden.config['heads']}"])


@torch.no_grad()
def test_golden_clippy_torch_file(tmp_path):
    golden = Golden("clippy", ELSEWHERE)
    restored = restored_from(golden, tmp_path)
    model: Any = restored.step.model.eval()
    seen, images = (
        model.encode_images(in_unit_range(golden["img.input"])),
        model.features(in_unit_range(golden["img.input"])),
    )
    close(model.pool(images).image, golden["img.embed"], atol=2e-5)
    close(seen.image, golden["img.embed_norm"])
    close(seen.regions, golden["img.tokens_norm"][:, 1:], atol=2e-5)
    ids, mask = golden["txt.input_ids"].long(), golden["txt.attention_mask"].bool()
    close(captions_of(model, ids, mask), golden["txt.embed"])
    objective: Any = restored.step.objective
    (contrastive,) = objective.parts
    close(contrastive.logit_scale[0], golden["sd.logit_scale"])
    golden.all_compared()


@torch.no_grad()
def test_golden_clippy_flax_tree(tmp_path):
    golden = Golden("clippy_jax")
    state = {f"params/{name}": tensor for name, tensor in golden.under("flax.params/").items()}
    write(state, tmp_path / "flax.pt")
    restored = restore(tmp_path / "flax.pt")
    assert restored.recipe.image.vit.heads == golden.config["heads"]
    model: Any = restored.step.model.eval()
    features = model.features(in_unit_range(golden["img.input"]))
    regions, cls, highest = features.patches.flatten(1, 2), features.cls, model.pool(features).image
    for name, found in (("all", regions), ("cls", cls), ("gmp", highest)):
        close(found, golden[f"jax.image_{name}"], atol=2e-5)
        unit = F.normalize(found, dim=-1)
        close(unit, golden[f"jax.image_{name}_norm"])
    seen = model.encode_images(in_unit_range(golden["img.input"]))
    close(seen.image, golden["jax.image_gmp_norm"])
    close(seen.regions, golden["jax.image_all_norm"])
    ids, mask = golden["txt.input_ids"].long(), golden["txt.attention_mask"].bool()
    captions = captions_of(model, ids, mask)
    for i, caption in enumerate(captions):
        close(caption[None], golden[f"jax.text_{i}_unpadded"])
    # The port's mean counts padding; ours never does, but its words can be averaged so.
    unmasked = model.text_encoder(ids, mask).words.mean(dim=1)
    unmasked = F.normalize(unmasked, dim=-1)
    close(unmasked, golden["jax.text_padded_unmasked_mean"])
    written = clippy_flax.written(restored.step, restored.recipe)
    assert written.keys() == state.keys()
    assert all(torch.equal(written[name], state[name]) for name in state)
    golden.all_compared()


@torch.no_grad()
def test_golden_clippy_torch_and_flax_are_the_same_weights(tmp_path):
    golden = Golden("clippy_jax", dict.fromkeys(["jax.*", "img.*", "txt.*"], "the test before"))
    state = {f"params/{name}": tensor for name, tensor in golden.under("flax.params/").items()}
    found = clippy_flax.tensors(restored_from(Golden("clippy"), tmp_path).step)
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        close(found[name], tensor, atol=0)
    golden.all_compared()

"""DINO's positions at other sizes, and the released CLIPpy at other sizes with and without them."""

from typing import Any

import pytest
import torch
from golden import Golden
from torch.testing import assert_close

from whatwhere.encoders.positions import dino_positions
from whatwhere.encoders.timm_model import Timm, Vit
from whatwhere.encoders.tower import STATISTICS
from whatwhere.records import Sizes


def clippy_vit(golden: Golden, positions) -> Any:
    sizes = golden.config
    vit = Vit(sizes["width"], sizes["depth"], sizes["heads"], sizes["patch"], sizes["img"])
    name = "vit_base_patch16_224.dino"
    encoder: Any = Timm(name, vit=vit, statistics="clip", positions=positions).build(
        Sizes(pretrained=False)
    )
    encoder.trunk.trunk.model.load_state_dict(golden.under("sd.visual.trunk."))
    return encoder


def test_golden_clippy_other_sizes():
    """Rows and columns in their places ("fixed"), and swapped as in the released code."""
    others = ("sd.t", "sd.l", "txt", "img", "native", "loss", "lr", "dense", "voc", "metric", "zs")
    excused = dict.fromkeys([f"{name}*" for name in (*others, "pdrop")], "in other tests")
    pooled = ("cls", "gap", "gmp", "all")
    excused |= dict.fromkeys([f"infer.{name}*" for name in pooled], "in the test of poolings")
    golden = Golden("clippy", excused)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in STATISTICS["clip"])
    for name in ("square_up", "square_down", "wide", "tall"):
        pixels = golden[f"infer.{name}.input"]
        fixed = "_fixed" if name in ("wide", "tall") else ""
        for positions, suffix in (("dino", fixed), ("dino_transposed", "")):
            encoder = clippy_vit(golden, positions)
            grid = encoder.grid(*pixels.shape[2:])
            table = dino_positions(
                encoder.trunk.trunk.model.pos_embed,
                grid=grid,
                transposed=positions == "dino_transposed",
            )
            assert_close(table, golden[f"infer.{name}.pos_embed{suffix}"], rtol=1e-4, atol=1e-5)
            found = encoder(pixels * std + mean).patches.flatten(1, 2)
            assert_close(found, golden[f"infer.{name}.tokens{suffix}"], rtol=1e-4, atol=2e-5)
    golden.all_compared()


def test_a_grid_of_the_table_itself_changes_nothing():
    table = torch.randn(1, 17, 3)
    assert torch.equal(dino_positions(table, grid=(4, 4)), table)
    assert not torch.equal(dino_positions(table, grid=(2, 8)), table), "as many, elsewhere"


def test_rows_stretch_along_rows_and_columns_along_columns():
    """A table that grows downwards only stays the same along each row."""
    rows = torch.arange(4.0).repeat_interleave(4)[None, :, None].expand(1, 16, 3)
    table = torch.cat([torch.full((1, 1, 3), 7.0), rows], dim=1)
    found = dino_positions(table, grid=(6, 5))
    assert_close(found[:, 0], table[:, 0])
    grid = found[0, 1:, 0].unflatten(0, (6, 5))
    assert_close(grid, grid[:, :1].expand(6, 5))
    assert (grid[:, 0].diff() > 0).all()
    swapped = dino_positions(table, grid=(6, 5), transposed=True)[0, 1:, 0].unflatten(0, (5, 6))
    assert_close(swapped, swapped[:, :1].expand(5, 6))


@pytest.mark.parametrize("name", ["vit_small_patch14_reg4_dinov2", "convnext_atto"])
def test_other_tables_are_refused(name):
    with pytest.raises(ValueError, match=r"antialiased"):
        Timm(name, positions="dino").build(Sizes(pretrained=False))

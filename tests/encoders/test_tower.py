"""What an image tower does around its network: pixels as SimZSS's evaluation prepares them."""

import torch
from einops import rearrange
from golden import Golden
from PIL import Image
from torch import nn

from whatwhere.encoders.tower import STATISTICS, ImageTower
from whatwhere.records import ImageFeatures
from whatwhere.transforms import centre_square, to_tensor


class Pixels(nn.Module):
    """Every patch is the pixel that it is."""

    def forward(self, pixels, inject=None):
        return ImageFeatures(rearrange(pixels, "batch rgb rows cols -> batch rows cols rgb"))


def test_golden_simzss_preprocess():
    golden = Golden("simzss_preprocess")
    mean, std = STATISTICS["clip"]
    tower = ImageTower(Pixels(), mean=mean, std=std, patch=1, size=56, width=3, frozen=True)
    for name in ("landscape", "portrait"):
        picture = Image.fromarray(golden[f"{name}.image_uint8_hwc"].numpy())
        expected = golden[f"{name}.out"]
        square = to_tensor(centre_square(picture, side=expected.shape[1]))
        found = tower(square[None]).patches[0].permute(2, 0, 1)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    golden.all_compared()

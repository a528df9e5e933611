"""A class token beside a network's patches: what it is, and that it moves nothing else."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from whatwhere.class_attention import ClassAttention
from whatwhere.encoders.conv import Conv
from whatwhere.records import Sizes


def test_it_is_what_a_loop_over_heads_makes_of_the_patches():
    torch.manual_seed(0)
    layer = ClassAttention(8, heads=2).double()
    torch.nn.init.normal_(layer.token)
    patches = torch.randn(3, 2, 5, 8, dtype=torch.float64)
    attention = layer.attention
    to_query, to_key, to_value = attention.in_proj_weight.chunk(3)
    seen = []
    for picture in patches.flatten(1, 2):
        heads = []
        for part in (slice(0, 4), slice(4, 8)):
            query = (to_query @ layer.token[0, 0])[part]
            keys, values = (picture @ matrix.T for matrix in (to_key, to_value))
            weights = torch.softmax(keys[:, part] @ query / 4**0.5, dim=0)
            heads.append(weights @ values[:, part])
        seen.append(attention.out_proj(torch.cat(heads)))
    assert_close(layer(patches), F.layer_norm(layer.token[0, 0] + torch.stack(seen), (8,)))


def test_patches_are_those_of_the_tower_without_it():
    torch.manual_seed(0)
    tower = Conv(width=48, cls=True).build(Sizes()).eval()
    plain = Conv(width=48).build(Sizes()).eval()
    plain.load_state_dict({k: v for k, v in tower.state_dict().items() if ".cls." not in k})
    images = torch.rand(2, 3, 32, 48)
    found = tower(images)
    assert found.cls.shape == (2, tower.width)
    assert not torch.equal(found.cls[0], found.cls[1])
    assert_close(found.patches, plain(images).patches)


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="width 50 does not divide into 4 heads"):
        Conv(width=50, cls=True).build(Sizes())

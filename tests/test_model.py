"""What the model does with prompts beside captions."""

import torch
from torch.testing import assert_close

from whatwhere.encoders.clip_text import ClipText
from whatwhere.encoders.conv import Conv
from whatwhere.heads.identity import Identity
from whatwhere.model import Model
from whatwhere.pooling.patches import PatchPool
from whatwhere.records import Batch, Losses, Sizes
from whatwhere.similarity.cosine import Cosine
from whatwhere.training import Step


def a_model():
    torch.manual_seed(0)
    text = ClipText(width=16, layers=1, heads=2, context=9, hidden=11)
    tower = Conv(width=8, blocks=1).build(Sizes())
    sizes = Sizes(dim=8, width=8)
    parts = (PatchPool("mean"), text.build(sizes), Cosine().build(sizes))
    return Model(tower, Identity().build(sizes), *parts)


def a_batch(model):
    tokenize = model.text_encoder.tokenizer
    prompts = tokenize(["a dog", "a photo of a cat", "one", "two", "a", "the old sofa"])
    return Batch(tokenize(["dogs", "a red sofa", "a b c"]), torch.rand(3, 3, 16, 24)), prompts


def test_prompts_are_encoded_like_captions_and_change_nothing_else():
    model = a_model().eval()
    batch, prompts = a_batch(model)
    plain = model(batch)
    found = model(Batch(batch.tokens, batch.images, prompts=prompts))
    assert plain.prompts is None
    assert_close(found.prompts, model.encode_texts(prompts).caption)
    assert_close(found.texts.caption, plain.texts.caption)
    assert_close(found.pairs.image_to_text, plain.pairs.image_to_text)


def test_a_batch_norm_sees_captions_and_prompts_together():
    model = a_model().train()
    batch, prompts = a_batch(model)
    norm = model.text_encoder.head.norm
    model(Batch(batch.tokens, batch.images, prompts=prompts))
    encoder, both = model.text_encoder, []
    hook = encoder.head.hidden.register_forward_hook(lambda m, i, o: both.append(o))
    encoder.eval()
    for tokens in (batch.tokens, prompts):
        encoder(tokens.ids, tokens.mask)
    hook.remove()
    rows = torch.cat([x for x in both if x.ndim == 2])
    assert len(rows) == 9
    assert_close(norm.running_mean, 0.1 * rows.mean(dim=0))
    assert_close(norm.running_var, 0.9 + 0.1 * rows.var(dim=0))


def test_scores_and_losses_are_float32_products_in_a_bf16_step():
    model = a_model().eval()
    batch, _ = a_batch(model)
    seen = []

    class Watched(torch.nn.Module):
        def forward(self, batch, encoded):
            seen.append((encoded, encoded.images.image @ encoded.texts.caption.mT))
            return Losses({"one": encoded.pairs.image_to_text.sum()})

    with torch.autocast("cpu", torch.bfloat16):
        Step(model, Watched())(batch)
    encoded, product = seen[0]
    exact = encoded.images.image.double() @ encoded.texts.caption.double().mT
    for scores in (encoded.pairs.image_to_text, product):
        assert scores.dtype == torch.float32
        assert_close(scores, exact.float(), rtol=1e-5, atol=1e-6)

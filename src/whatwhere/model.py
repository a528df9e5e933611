"""The model: two encoders that meet in one space, by a head, a pooling and a similarity."""

from dataclasses import fields

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.records import (
    Batch,
    Encoded,
    EncodedImages,
    EncodedTexts,
    ImageFeatures,
    PackedFeatures,
    Tokens,
)


class Model(nn.Module):
    def __init__(self, image_encoder, head, pool, text_encoder, similarity):
        super().__init__()
        self.image_encoder = image_encoder
        self.head = head
        self.pool = pool
        self.text_encoder = text_encoder
        self.similarity = similarity

    @property
    def device(self) -> torch.device:
        return next(iter(self.state_dict().values())).device

    def forward(self, batch: Batch) -> Encoded:
        features = batch.features
        if features is None:
            assert batch.images is not None
            features = self.features(batch.images)
        elif isinstance(features, PackedFeatures):
            features = features.unpack()
        images = self.encode_features(features)
        texts, prompts = self._captions_and_prompts(batch)
        if self.training:
            self.similarity.readout.watch(images, texts)
        with torch.autocast(images.image.device.type, enabled=False):  # logits in float32
            pairs = self.similarity.pairs(images, texts)
        return Encoded(images, texts, pairs, prompts)

    def _captions_and_prompts(
        self, batch: Batch
    ) -> tuple[EncodedTexts, Float[Tensor, "prompts dim"] | None]:
        """In one call, because a text encoder with a batch norm shall see them together."""
        if batch.prompts is None:
            return self.encode_texts(batch.tokens), None
        count, both = len(batch.tokens.ids), (batch.tokens, batch.prompts)
        found = self.encode_texts(
            Tokens(*(torch.cat([getattr(t, f.name) for t in both]) for f in fields(Tokens)))
        )
        texts = EncodedTexts(words=found.words[:count], caption=found.caption[:count])
        return texts, found.caption[count:]

    def features(self, images: Float[Tensor, "batch 3 height width"]) -> ImageFeatures:
        """What pictures in [0, 1] become before any weight that captions teach.

        The image encoder, and the head if it has nothing to learn. Behind a frozen encoder this is
        the same in every step, so it is what a cache holds.
        """
        features = self.image_encoder(images)
        return self.head(features) if self.head.fixed else features

    def encode_features(self, features: ImageFeatures) -> EncodedImages:
        pooled = self.pool(features if self.head.fixed else self.head(features))
        return EncodedImages(
            image=F.normalize(pooled.image.float(), dim=-1),
            regions=F.normalize(pooled.regions.float(), dim=-1),
            where=pooled.where,
            grid=(features.patches.shape[1], features.patches.shape[2]),
        )

    def encode_images(self, images: Float[Tensor, "batch 3 height width"]) -> EncodedImages:
        return self.encode_features(self.features(images))

    def encode_texts(self, tokens: Tokens) -> EncodedTexts:
        embeddings = self.text_encoder.embed(tokens.ids)
        features = self.text_encoder.encode(embeddings, tokens.mask)
        return EncodedTexts(
            words=F.normalize(features.words.float(), dim=-1),
            caption=F.normalize(features.caption.float(), dim=-1),
        )

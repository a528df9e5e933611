"""What an image encoder can learn from photos without captions. One file each.

Settings have `build(sizes)`, where `sizes.width` is the encoder's; what is built takes
`(Views, Look)` and returns `Losses`.
"""

from whatwhere.records import ImageFeatures


def refuse_sampled(features: ImageFeatures) -> None:
    """ValueError if patches were dropped: those left have lost their places."""
    if features.sampled:
        raise ValueError(
            "this pretext knows patches by their places; set image.patch_drop=0 while pretraining"
        )

"""Made-up pools to borrow from: unit vectors, and captions as lists of concepts."""

import numpy as np


def unit(draw, *shape):
    vectors = draw.normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def captions(draw, pictures, concepts, most=4):
    """Up to `most` concepts a picture, in any order; some pictures have none."""
    return [
        draw.permutation(concepts)[: draw.integers(most + 1)].astype(int).tolist()
        for _ in range(pictures)
    ]

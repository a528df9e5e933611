"""How long, how fast and how often: the settings of a training run."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Training:
    """AdamW with linear warm-up and half a cosine to zero, counted in steps.

    steps, epochs how long: steps, or passes over the data; the other one is 0
    lr_for        batch size that `lr` is given for: the rate used is lr * batch / lr_for, as
                  SimZSS scales it (by 256); 0: `lr` as it is
    warmup        share of all steps below 1, or a number of steps
    clip          largest norm of the gradient; 0 leaves it as it is
    precision     bf16: matrix products in bfloat16, logits and losses in float32. auto: bf16 where
                  the device multiplies such numbers, which else takes four times as long as fp32
    device        "auto" takes a GPU if there is one
    *_every       in steps; 0 is never (the last step is always kept and validated)
    """

    steps: int = 1000
    epochs: float = 0.0
    lr: float = 1e-3
    lr_for: int = 0
    warmup: float = 0.1
    weight_decay: float = 0.2
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    clip: float = 1.0
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    device: str = "auto"
    log_every: int = 10
    checkpoint_every: int = 500
    validate_every: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"training.steps={self.steps}; take 1 or more, or 0 with epochs")
        if self.lr <= 0 or min(self.warmup, self.clip, self.epochs, self.lr_for) < 0:
            raise ValueError("training.lr must be above 0; warmup, clip, epochs, lr_for 0 or more")

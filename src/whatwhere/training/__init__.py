"""Training: the loop. It knows batches, models and objectives, and no method by name."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from whatwhere.model import Model
from whatwhere.parallel import rank, total, world
from whatwhere.records import Batch, Losses, to
from whatwhere.training import checkpoints
from whatwhere.training.logs import Log
from whatwhere.training.schedule import lr_at, optimizer
from whatwhere.training.settings import Training

Validate = Callable[[int], dict[str, float]]  # after so many steps


class Step(nn.Module):
    """A model and what it must lose, as the one module that is trained, wrapped and saved."""

    def __init__(self, model: Model, objective: nn.Module):
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: Batch) -> Losses:
        encoded = self.model(batch)
        with torch.autocast(encoded.images.image.device.type, enabled=False):
            return self.objective(batch, encoded)


def pick_device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.zeros((), device=wanted).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"no device {wanted!r} here ({reason}); use auto, cpu or cuda") from None


def autocast(device: torch.device, settings: Training) -> torch.autocast:
    """Matrix products in bfloat16, if the settings say so."""
    wanted = settings.precision == "bf16" or (
        settings.precision == "auto" and _multiplies_bfloat16(device)
    )
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted)


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it, and need not emulate them."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        can = torch.cpu.get_capabilities()
        return any(can.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return False


def train(
    step: nn.Module,
    batches: Callable[[int, int], Iterator[Any]],
    settings: Training,
    *,
    run: Path,
    about: dict,
    resume: bool = False,
    validate: Validate | None = None,
) -> dict[str, float]:
    """Train until `settings.steps`; what was reported last is returned.

    `step` makes `Losses` of a batch. `batches(first, last)` gives the batches of those steps, which
    are records with a length. Randomness inside a step (dropout)
    follows from seed, process and step, so an interrupted and resumed run ends bit for bit like an
    uninterrupted one on the same machine. Ctrl-C keeps the steps done so far. `validate` is called
    in every process, because comparing pictures with captions asks all of them.
    """
    assert not settings.epochs and not settings.lr_for, "only schedule.for_data knows the data"
    device = pick_device(settings.device)
    step.to(device).train()
    adam = optimizer(step, settings)
    done = _continue(run, step, adam) if resume else 0
    wrapped = DistributedDataParallel(step) if world() > 1 else step
    main = rank() == 0
    log = Log(run, done=done) if main else None
    latest: dict[str, float] = {}

    def keep() -> None:
        if main:
            checkpoints.save(run, done, step, adam, about)

    def check() -> None:
        if validate is None:
            return
        step.eval()
        with torch.no_grad():
            found = validate(done)
        step.train()
        if log is not None:
            log.write(done, found)
            latest.update(found)

    bar = tqdm(total=settings.steps, initial=done, unit=" steps", disable=not main, desc="training")
    before = signal.getsignal(signal.SIGINT)
    try:
        if done == 0:
            check()
        stop = stop_asked()
        clock, timed = time.perf_counter(), done
        for batch in batches(done, settings.steps):
            try:
                losses = _take(wrapped, adam, to(batch, device), settings, done)
            except NotFiniteError:
                if all(weight.isfinite().all() for weight in step.parameters()):
                    keep()  # what was learned before that step
                raise
            done += 1
            bar.update()
            last = done == settings.steps
            if last or _every(settings.log_every, done):
                report = _report(losses, settings, done)
                pace = len(batch) * world() * (done - timed)
                report["samples_per_second"] = pace / (time.perf_counter() - clock)
                if log is not None:
                    log.write(done, report)
                bar.set_postfix({name: f"{value:.3g}" for name, value in report.items()})
                latest |= report
                clock, timed = time.perf_counter(), done
            away = time.perf_counter()
            if last or _every(settings.checkpoint_every, done):
                keep()
            if last or _every(settings.validate_every, done):
                check()
            clock += time.perf_counter() - away  # not part of the throughput
            if _anywhere(stop(), device):
                keep()
                raise KeyboardInterrupt
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)
        bar.close()
        if log is not None:
            log.close()
    return latest


def stop_asked() -> Callable[[], bool]:
    """Tells whether Ctrl-C was pressed since; the step in hand is finished first.

    A second Ctrl-C stops at once, as always.
    """
    asked = []
    if threading.current_thread() is not threading.main_thread():
        return lambda: False

    def note(number, frame):
        asked.append(True)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, note)
    return lambda: bool(asked)


def _anywhere(flag: bool, device: torch.device) -> bool:
    """Whether any process says so: all must stop after the same step."""
    if world() == 1:
        return flag
    said = torch.tensor(float(flag), device=device)
    dist.all_reduce(said, op=dist.ReduceOp.MAX)
    return bool(said.item())


def _every(steps: int, done: int) -> bool:
    return steps > 0 and done % steps == 0


def _continue(run: Path, step: nn.Module, adam: torch.optim.Optimizer) -> int:
    folder = checkpoints.newest(run)
    checkpoints.read_weights(folder, step)
    checkpoints.read_optimizer(folder, step, adam)
    return checkpoints.read_about(folder)["step"]


def _take(
    step: nn.Module, adam: torch.optim.Optimizer, batch: Any, settings: Training, done: int
) -> Losses:
    """One step of gradient descent."""
    device = next(step.parameters()).device
    torch.manual_seed((settings.seed * 1_000_003 + done) * 1_009 + rank())
    for group in adam.param_groups:
        group["lr"] = lr_at(done, settings)
    with autocast(device, settings):
        losses = step(batch)
    loss = losses.total
    _refuse_broken(loss, losses, "loss", done)
    adam.zero_grad(set_to_none=True)
    loss.backward()
    _refuse_unused(step)
    weights = [w for group in adam.param_groups for w in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(weights, settings.clip or math.inf)
    _refuse_broken(norm, losses, "gradient", done)  # before it is in the weights
    adam.step()
    return losses


class NotFiniteError(ValueError):
    """A loss or a gradient is infinite, or no number. It is not in the weights."""


def _refuse_broken(value: Tensor, losses: Losses, what: str, done: int) -> None:
    """Infinite, or no number."""
    if not torch.isfinite(value):
        terms = {name: term.item() for name, term in losses.terms.items()}
        raise NotFiniteError(
            f"the {what} is not finite in step {done} ({terms}); the weights before it are kept. "
            "Start again in another --out with a lower training.lr or a smaller training.clip"
        )


def _refuse_unused(step: nn.Module) -> None:
    """Several processes wait for the gradient of every weight, so there must be one."""
    if world() == 1:
        return
    learning = (item for item in step.named_parameters() if item[1].requires_grad)
    unused = [name.removeprefix("module.") for name, weight in learning if weight.grad is None]
    if unused:
        raise ValueError(
            f"nothing depends on {', '.join(unused[:3])}, which stops training in several "
            "processes; leave that part out (a CLS token needs pool.how=cls or pool.with_cls=True)"
        )


def _report(losses: Losses, settings: Training, done: int) -> dict[str, float]:
    """Averages over processes."""
    values = {"loss": losses.total} | losses.terms | losses.report
    means = total(torch.stack([value.detach().float() for value in values.values()])) / world()
    return dict(zip(values, means.tolist(), strict=True)) | {"lr": lr_at(done - 1, settings)}

"""Pieces of work on the actors of a Ray cluster, beyond one process and one machine."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whatwhere.curation.pieces import Each, Work, progress

PLACE = re.compile(r"(?:ray://)?\[?([^\[\]/]+)\]?:(\d{1,5})")  # host and port
SHARE = 0.5  # processors an actor reserves: whole ones left Ray Data none to feed them with


def on_ray(address: str, *, workers: int | None = None, gpu: bool = False) -> Each:
    """Does all pieces in `workers` actors: those of a cluster, or started here for "local".

    Every machine must see the folders that are read and written, under the same paths. With `gpu`
    each actor has one of the cluster's GPUs, if there are any. By default there are as many actors
    as GPUs, else as processors.
    """
    _refuse_unreachable(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Under `uv run`, Ray would send this folder to its workers and wait for `uv run` to work there.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    ray = _ray()

    def each(work: Work, sizes: Mapping[int, int], *, doing: str, unit: str) -> None:
        if not sizes:
            return
        try:
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level="error",
                **({"num_cpus": workers, "include_dashboard": False} if address == "local" else {}),
            )
        except (ConnectionError, ValueError) as error:
            raise ValueError(f"no Ray cluster at {address!r}: {error}") from None
        try:
            _spread(ray, work, sizes, workers=workers, gpu=gpu, doing=doing, unit=unit)
        finally:
            ray.shutdown()

    return each


def _refuse_unreachable(address: str) -> None:
    """ValueError where nothing answers: Ray would try for minutes and print a page of warnings."""
    if address in ("local", "auto"):
        return
    place = PLACE.fullmatch(address)
    if place is None or int(place[2]) > 65535:
        raise ValueError(
            f"{address!r} is no address of a Ray cluster; give HOST:PORT, ray://HOST:PORT or auto"
        )
    try:
        socket.create_connection((place[1], int(place[2])), timeout=5).close()
    except OSError as error:
        raise ValueError(f"no Ray cluster at {address!r}: {error}") from None


def _spread(
    ray: Any,
    work: Work,
    sizes: Mapping[int, int],
    *,
    workers: int | None,
    gpu: bool,
    doing: str,
    unit: str,
) -> None:
    there = ray.cluster_resources()
    gpus = int(there.get("GPU", 0)) if gpu else 0
    actors = min(workers or gpus or int(there["CPU"]), len(sizes))
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    pieces = ray.data.from_items([{"number": n} for n in sizes], override_num_blocks=len(sizes))
    done = pieces.map_batches(
        _actor(ray.cloudpickle.dumps(work), home=str(Path.cwd())),
        compute=ray.data.ActorPoolStrategy(size=actors),
        batch_size=1,
        num_cpus=SHARE,
        num_gpus=1 if gpus else None,
    )
    with progress(sizes, doing=doing, unit=unit) as bar:
        for batch in done.iter_batches(batch_size=1, prefetch_batches=0):
            if reason := str(batch["reason"][0]):
                raise ValueError(f"{reason} (in a Ray worker; what is finished is kept)")
            bar.update(sizes[int(batch["number"][0])])


def _actor(packed: bytes, *, home: str) -> type:
    """What does one piece after the other, in the folder where the command was typed."""

    class Actor:
        def __init__(self) -> None:
            self.work: Work | None = None

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            try:
                if self.work is None:
                    os.chdir(home)
                    self.work = _ray().cloudpickle.loads(packed)
                for _ in self.work(int(batch["number"][0])):
                    pass
            except (ValueError, ImportError, OSError) as error:  # what users are told in one line
                return batch | {"reason": [str(error)]}
            return batch | {"reason": [""]}

    return Actor


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError:
        raise ImportError("--ray needs Ray: pip install 'whatwhere[ray,curate]'") from None
    return ray

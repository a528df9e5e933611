"""What a run reports: a row a step in log.csv, the same to TensorBoard, and a progress bar."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

COLUMNS = ("step", "name", "value")


class Log:
    """Long format (step, name, value), so that a new term never changes the file's columns."""

    def __init__(self, run: Path, *, done: int):
        """Go on after `done` steps: rows of later steps, which will be taken again, are cut off."""
        run.mkdir(parents=True, exist_ok=True)
        self.path = run / "log.csv"
        rows = [row for row in read_log(self.path) if row[0] <= done] if done else []
        with self.path.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])
        self.board = _board(run, done)

    def write(self, step: int, values: dict[str, float]) -> None:
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerows((step, name, repr(v)) for name, v in values.items())
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)
            self.board.flush()

    def close(self) -> None:
        if self.board is not None:
            self.board.close()


def read_log(path: Path) -> list[tuple[int, str, float]]:
    """Rows of a log.csv, oldest first; a row cut off by a crash is left out."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    values = [_parsed(row) for row in rows]
    return [row for row in values if row is not None]


def _parsed(row: list[str]) -> tuple[int, str, float] | None:
    try:
        step, name, value = row
        return int(step), name, float(value)
    except ValueError:
        return None


def _board(run: Path, done: int):
    """A TensorBoard writer, if TensorBoard is installed (extra `track`)."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard.writer import SummaryWriter

    return SummaryWriter(str(run / "tensorboard"), purge_step=done + 1 if done else None)

"""The log of a run: one row a number, cut where a resumed run begins."""

import time

import pytest

from whatwhere.training.logs import Log, read_log


def written(run, rows, *, done=0):
    log = Log(run, done=done)
    for step, values in rows:
        log.write(step, values)
    log.close()
    return read_log(run / "log.csv")


def test_numbers_come_back_as_they_were(tmp_path):
    found = written(tmp_path, [(1, {"loss": 0.1 + 0.2, "lr": 1e-9}), (2, {"miou": 40.0})])
    assert found == [(1, "loss", 0.1 + 0.2), (1, "lr", 1e-9), (2, "miou", 40.0)]


def test_a_resumed_run_cuts_what_it_will_do_again_and_keeps_the_rest(tmp_path):
    written(tmp_path, [(step, {"loss": float(step)}) for step in (0, 1, 2, 3)])
    found = written(tmp_path, [(3, {"loss": 30.0})], done=2)
    assert found == [(0, "loss", 0.0), (1, "loss", 1.0), (2, "loss", 2.0), (3, "loss", 30.0)]


def test_a_new_run_begins_an_empty_log(tmp_path):
    written(tmp_path, [(0, {"loss": 1.0}), (1, {"loss": 2.0})])
    assert written(tmp_path, [(0, {"loss": 3.0})]) == [(0, "loss", 3.0)]


@pytest.mark.parametrize("cut", ["3", "3,lo", "3,loss,"])
def test_a_row_that_a_crash_cut_off_is_left_out(tmp_path, cut):
    written(tmp_path, [(2, {"loss": 0.5})])
    with (tmp_path / "log.csv").open("a") as file:
        file.write(cut)
    assert read_log(tmp_path / "log.csv") == [(2, "loss", 0.5)]


def test_no_log_has_no_rows(tmp_path):
    assert read_log(tmp_path / "log.csv") == []


def test_tensorboard_shows_each_step_once_after_a_resumed_run(tmp_path):
    pytest.importorskip("tensorboard", reason="needs the extra `track`")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    written(tmp_path, [(step, {"loss": float(step)}) for step in (1, 2, 3)])
    time.sleep(1)  # files are read in the order of their names, which begin with the second
    written(tmp_path, [(step, {"loss": 10.0 * step}) for step in (3, 4)], done=2)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    shown = [(event.step, event.value) for event in events.Scalars("loss")]
    assert shown == [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0)]

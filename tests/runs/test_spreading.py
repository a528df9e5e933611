"""Curation on two Ray actors leaves the very files that one process leaves, and says what fails."""

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runs.small import small
from whatwhere.commands import main
from whatwhere.runs.training import run_training

pytest.importorskip("pyarrow")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for i in range(1500):  # more than one shard
        Image.fromarray(draw.integers(256, size=(8, 12, 3), dtype=np.uint8)).save(
            folder / f"{i:04d}.png"
        )
        (folder / f"{i:04d}.txt").write_text(f"a {('dog', 'boat', 'tree')[i % 3]} on grass")
    (folder / "0007.png").write_bytes(b"no picture")
    return folder


def alone(*argv):
    """Python in a process of its own: functions that pytest checks the types of do not travel."""
    return subprocess.run([sys.executable, *argv], capture_output=True, text=True)


@pytest.mark.slow  # Ray takes 10 s to start, and starts twice
def test_two_actors_leave_the_same_files_as_one_process(photos, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="needs the extra `ray`")
    monkeypatch.chdir(tmp_path)  # paths are typed relative to here
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run_training(small("training.steps=1"), out="model")
    for name in ("one", "two"):
        here = ["--out", name]
        captions = ["--captions", "photos", *here]
        embed = ["embed", *captions, "--model", "model", "--device", "cpu"]
        rewrite = ["rewrite", *here, "--clusters"]
        for step in (["concepts", *captions], embed, ["index", *here], rewrite):
            if name == "two" and step in (embed, rewrite):
                done = alone("-m", "whatwhere", "curate", *step, "--ray", "--workers", "2")
                assert done.returncode == 0, done.stderr
            else:
                assert main(["curate", *step]) == 0
    files = [file.relative_to("one") for file in Path("one").rglob("*") if file.is_file()]
    assert {"00000.npz", "00001.npz", "part-00000.parquet"} <= {file.name for file in files}
    for file in files:
        assert (Path("one") / file).read_bytes() == (Path("two") / file).read_bytes(), file


FAILS = """
from whatwhere.runs.spreading import on_ray
def full(number):
    raise OSError("the disk is full")
    yield number
try:
    on_ray("local", workers=1)(full, {0: 5, 1: 7}, doing="writing", unit="things")
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
def test_what_fails_in_an_actor_is_said_in_one_line():
    pytest.importorskip("ray", reason="needs the extra `ray`")
    assert alone("-c", FAILS).stdout == (
        "the disk is full (in a Ray worker; what is finished is kept)\n"
    )


def test_without_ray_the_extra_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    here = ["--out", str(tmp_path), "--ray"]
    assert main(["curate", "rewrite", *here]) == 2
    assert "--ray needs Ray: pip install 'whatwhere[ray,curate]'" in capsys.readouterr().err


def test_workers_are_refused_without_ray(capsys, tmp_path):
    assert main(["curate", "rewrite", "--out", str(tmp_path), "--workers", "2"]) == 2
    assert "--workers counts Ray actors; give --ray too" in capsys.readouterr().err


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_place_where_no_cluster_answers_is_told_at_once_in_one_line(scheme, capfd, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"{scheme}127.0.0.1:{taken.getsockname()[1]}"
        assert main(["curate", "rewrite", "--out", str(tmp_path), "--ray", address]) == 2
    printed = capfd.readouterr()
    assert f"no Ray cluster at '{address}': " in printed.err and "refused" in printed.err
    assert printed.err.count("\n") == 1 and printed.out == ""


@pytest.mark.parametrize("address", ["head-node", "head-node:ray", "127.0.0.1:99999", ":6379"])
def test_an_address_that_is_none_is_refused(address, capfd, tmp_path):
    assert main(["curate", "rewrite", "--out", str(tmp_path), "--ray", address]) == 2
    said = capfd.readouterr().err
    assert f"{address!r} is no address of a Ray cluster; give HOST:PORT" in said
    assert said.count("\n") == 1

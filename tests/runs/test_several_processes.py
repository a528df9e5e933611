"""torchrun: two processes share the work of one run, and learn what one process would."""

import json
import os
import subprocess
import sys
from contextlib import redirect_stderr
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

from runs.processes import as_torchrun_does, ended, free_port, start
from runs.small import SETTINGS
from whatwhere.captions.samples import Skipped
from whatwhere.commands import main
from whatwhere.runs.training import hear_others
from whatwhere.training import checkpoints
from whatwhere.training.logs import read_log


def command(run, *settings):
    return ["train", "scenes", "--out", str(run), "--json", "--set", *SETTINGS, *settings]


def test_two_processes_learn_what_one_does(tmp_path, capsys):
    together, alone = tmp_path / "together", tmp_path / "alone"
    port = free_port()
    both = [
        start(as_torchrun_does, rank, 2, port, tmp_path, command(together)) for rank in range(2)
    ]
    assert main(command(alone)) == 0
    assert [ended(process) for process in both] == [0, 0]
    one, two = (load_file(checkpoints.newest(r) / "model.safetensors") for r in (alone, together))
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-4)
    logs = [
        [row for row in read_log(run / "log.csv") if row[1].startswith("validation")]
        for run in (alone, together)
    ]
    assert len(logs[0]) == 3 * 4 and [row[:2] for row in logs[0]] == [row[:2] for row in logs[1]]
    assert logs[0][:4] == logs[1][:4], "before the first step both know the same"
    said = json.loads((tmp_path / "0.txt").read_text())
    assert said["report"].keys() == json.loads(capsys.readouterr().out)["report"].keys()
    assert (tmp_path / "1.txt").read_text() == ""
    lost = [
        [value for _, name, value in read_log(run / "log.csv") if name == "loss"]
        for run in (alone, together)
    ]
    assert lost[1] == pytest.approx(lost[0], rel=1e-4), "the log shows the mean of all processes"


def test_two_processes_fit_one_head_and_share_its_cache(tmp_path):
    settings = ["head=whatwhere.heads.whiten:Whiten", "head.size=8", "head.pictures=6"]
    settings += ["image.frozen=True", f"caching.folder={tmp_path / 'cache'}"]
    port, argv = free_port(), command(tmp_path / "run", *settings)
    both = [start(as_torchrun_does, rank, 2, port, tmp_path, argv) for rank in range(2)]
    assert [ended(process) for process in both] == [0, 0]
    assert len(list((tmp_path / "cache").glob("head-*.safetensors"))) == 1
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 1


def hear(rank, port, folder):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    skipped = Skipped()
    skipped.add("broken image", f"{rank}.jpg")
    hear_others(skipped)
    Path(folder, f"{rank}.txt").write_text(skipped.report())
    dist.destroy_process_group()


def test_what_any_process_left_out_is_known_to_all(tmp_path):
    port = free_port()
    both = [start(hear, rank, port, str(tmp_path)) for rank in range(2)]
    assert [ended(process) for process in both] == [0, 0]
    for rank in range(2):
        said = (tmp_path / f"{rank}.txt").read_text()
        assert said.startswith("2 broken images") and "0.jpg" in said and "1.jpg" in said


def test_weights_that_nothing_depends_on_are_told_instead_of_waited_for(tmp_path):
    argv = [*command(tmp_path / "run", "image.cls=True")]
    port = free_port()
    both = [start(refused, rank, port, tmp_path, argv) for rank in range(2)]
    assert [ended(process) for process in both] == [2, 2]
    assert "nothing depends on model.image_encoder" in (tmp_path / "0.err").read_text()


def refused(rank, port, folder, argv):
    with Path(folder, f"{rank}.err").open("w") as file, redirect_stderr(file):
        as_torchrun_does(rank, 2, port, folder, argv)


def test_ctrl_c_in_one_process_stops_all_after_the_same_step(tmp_path):
    idea = tmp_path / "an_impatient_idea.py"
    idea.write_text(IMPATIENT)
    argv = ["train", str(idea), "--out", str(tmp_path / "run"), "--set", *SETTINGS]
    port = free_port()
    both = [start(as_torchrun_does, rank, 2, port, tmp_path, argv) for rank in range(2)]
    assert [ended(process) for process in both] == [130, 130]
    assert checkpoints.newest(tmp_path / "run").name == "step-00000003"


IMPATIENT = """
import os, signal
from dataclasses import dataclass, replace
from whatwhere.recipes import load
from whatwhere.records import Losses

@dataclass
class Impatient:
    calls: int = 0

    def build(self, sizes):
        return self

    def __call__(self, batch, encoded):
        self.calls += 1
        if self.calls == 3 and os.environ["RANK"] == "1":
            signal.raise_signal(signal.SIGINT)
        return Losses({})

scenes = load("scenes")
recipe = replace(scenes, objectives=(*scenes.objectives, Impatient()))
"""


@pytest.mark.slow
def test_torchrun_itself_starts_two_processes(tmp_path):
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "whatwhere"]
    run = tmp_path / "run"
    argv = [*command(run, "training.steps=2")]
    subprocess.run([sys.executable, *torchrun, *argv], check=True, timeout=300)
    assert checkpoints.newest(run).name == "step-00000002"

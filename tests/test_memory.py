"""Memory that is freed and kept."""

import subprocess
import sys

import pytest

FREED = """
import torch
from whatwhere.memory import keep_freed

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

if {keep}:
    keep_freed()
before = resident()
torch.ones(100_000_000)
print(resident() - before > 300e6)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("keep", [False, True])
def test_what_a_large_tensor_took_stays_only_if_asked_for(keep):
    code = FREED.format(keep=keep)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == str(keep)


def test_where_malloc_has_no_such_way_nothing_happens(monkeypatch):
    from whatwhere import memory

    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    memory.keep_freed()
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    monkeypatch.setattr(memory.ctypes, "CDLL", None)
    memory.keep_freed()

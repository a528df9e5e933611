"""House rules: what may be in the repository, and that formatting, lint and types are clean."""

import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "src" / "whatwhere" / "models"  # these few weights belong to the package
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def tracked():
    """Files that git knows, or would know after `git add`."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so nothing says which files belong to the repository")
    found = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True)
    return [ROOT / name for name in found.stdout.splitlines() if (ROOT / name).is_file()]


def lines_with(pattern):
    found = []
    for file in tracked():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
            for number, line in enumerate(text.splitlines(), 1)
            if re.search(pattern, line)
        ]
    return found


def test_no_file_names_a_registry_of_packages():
    hosts = (
        "py" + "pi.org",
        "python" + "hosted",
        "download.py" + "torch.org",
        "conda." + "anaconda",
    )
    flags = r"--(extra-)?index" + r"-url\b|\bindex" + r"[-_]url\s*="
    assert lines_with("|".join([*map(re.escape, hosts), flags])) == []


def test_no_file_names_a_path_of_one_machine():
    folders = "work|root|tmp|home/\\w+|Users/\\w+|mnt"
    assert lines_with(rf"(?<![\w.~/-])/({folders})/\w") == []


def test_lock_files_and_binaries_stay_outside():
    names = [file.relative_to(ROOT).as_posix() for file in tracked()]
    assert "uv.lock" not in names
    most = {file: 2**25 if file.parent.parent == MODELS else 2**20 for file in tracked()}
    assert [file.name for file, size in most.items() if file.stat().st_size > size] == []
    foreign = (".jpg", ".jpeg", ".pth", ".pt", ".npy", ".tar", ".pkl")
    assert [name for name in names if name.endswith(foreign)] == []


def test_the_licence_is_apache_2():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text and "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["project"]["license"] == "Apache-2.0"


def test_the_readme_begins_with_the_two_commands():
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert [block.strip() for block in blocks[:2]] == [
        "pip install uv && uv run whatwhere demo",
        "uv run pytest -n auto",
    ]


def test_the_commands_of_the_readme_exist():
    from whatwhere.commands import verbs

    said = re.findall(r"uv run whatwhere (\w+)", (ROOT / "README.md").read_text())
    assert set(said) <= set(verbs()) and {"demo", "train", "segment", "evaluate"} <= set(said)


def test_pip_and_uv_get_the_same_pins():
    file = ROOT / "constraints.txt"
    assert file.is_file(), "no constraints.txt; `make pins` writes it"
    lines = [line.replace('"', "'") for line in file.read_text().splitlines() if line.strip()]
    assert lines == PROJECT["tool"]["uv"]["constraint-dependencies"]
    assert all(re.match(r"[a-z0-9-]+==[\w.]+( ; .+)?$", line) for line in lines), "names, versions"


def test_every_direct_dependency_is_pinned():
    extras = PROJECT["project"]["optional-dependencies"].values()
    groups = PROJECT["dependency-groups"].values()
    direct = list(chain(PROJECT["project"]["dependencies"], *extras, *groups))
    wanted = {re.split(r"[\[<>=!~ ;]", text)[0].lower().replace("_", "-") for text in direct}
    pins = PROJECT["tool"]["uv"]["constraint-dependencies"]
    assert wanted - {pin.partition("==")[0] for pin in pins} == {"whatwhere"}


@pytest.mark.parametrize("command", ["ruff format --check", "ruff check", "ty check"])
def test_the_checks_of_the_house_are_clean(command):
    tool, *arguments = command.split()
    program = Path(sys.executable).with_name(tool)
    if not program.is_file():
        pytest.skip(f"{tool} is not installed beside Python; it is in the dev group")
    done = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]

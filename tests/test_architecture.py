"""Who may import whom, what is imported when, and that every file says why it is there."""

import ast
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import whatwhere

ROOT = Path(whatwhere.__file__).parent
BASE = {
    "records",
    "parallel",
    "memory",
    "projection",
    "class_attention",
    "transforms",
    "pictures",
    "weights",
    "class_lists",
}
PARTS = {
    "captions",
    "concepts",
    "curation",
    "encoders",
    "heads",
    "pooling",
    "grouping",
    "similarity",
    "objectives",
    "pretexts",
    "benchmarks",
    "scenes",
}
MIDDLE = {"model", "training", "segmenter", "pretraining"}
MAY_IMPORT = {
    **{name: BASE for name in BASE | PARTS | {"model"}},
    "models": set(),  # weights that come with the package, and where they lie
    "training": BASE | {"model"},
    "segmenter": BASE | {"model", "concepts"},
    "pretraining": BASE | {"captions"},
    "recipes": BASE | PARTS | MIDDLE,
    "report": BASE | PARTS | MIDDLE,  # pages of what others found
    "released": BASE | PARTS | MIDDLE | {"recipes"},  # files of other code, as recipes and weights
    "runs": BASE | PARTS | MIDDLE | {"models", "recipes", "released"},
    "commands": BASE | PARTS | MIDDLE | {"models", "recipes", "report", "released", "runs"},
    "__init__": {"runs"},  # the name `load`, fetched when it is asked for
    "__main__": {"commands"},
}
FILES = sorted(ROOT.rglob("*.py"))


def place(file, root):
    """The top-level module that a file belongs to."""
    return file.relative_to(root).parts[0].removesuffix(".py")


def imported(file, root):
    """Top-level modules of whatwhere that `file` imports anywhere in it."""
    inside = ("whatwhere", *file.relative_to(root).parts[:-1])
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            before = inside[: len(inside) - node.level + 1] if node.level else ()
            module = ".".join((*before, *filter(None, [node.module])))
            names += [f"{module}.{alias.name}" for alias in node.names]
    ours = {name.split(".")[1] for name in names if name.startswith("whatwhere.")}
    return {name for name in ours if not name.startswith("__")}


def violations(root):
    found = []
    for file in sorted(root.rglob("*.py")):
        module = place(file, root)
        extra = imported(file, root) - MAY_IMPORT.get(module, set()) - {module}
        found += [f"{file.relative_to(root)} imports {name}" for name in sorted(extra)]
    return found


def test_imports_point_down_and_parts_do_not_know_each_other():
    assert violations(ROOT) == []


def test_every_module_has_its_place_in_a_layer():
    assert {place(file, ROOT) for file in FILES} <= MAY_IMPORT.keys()


@pytest.mark.parametrize(
    ("file", "text", "found"),
    [
        ("pooling/new.py", "from whatwhere.encoders.conv import Conv", "encoders"),
        ("pooling/new.py", "import whatwhere.heads.linear as x", "heads"),
        ("pooling/new.py", "from whatwhere import model", "model"),
        ("pooling/new.py", "from ..scenes import world", "scenes"),
        ("captions/kinds/new.py", "from ...concepts.bank import Bank", "concepts"),
        ("training/new.py", "def late():\n    from whatwhere.recipes import load", "recipes"),
        ("model.py", "from .encoders import conv", "encoders"),
        ("records.py", "from whatwhere.model import Model", "model"),
        ("runs/new.py", "from whatwhere.commands import main", "commands"),
        ("new.py", "from whatwhere.records import Batch", "records"),
    ],
)
def test_a_planted_violation_is_found(tmp_path, file, text, found):
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert violations(tmp_path) == [f"{file} imports {found}"]


def test_what_is_allowed_is_not_reported(tmp_path):
    (tmp_path / "pooling").mkdir()
    (tmp_path / "pooling" / "new.py").write_text(
        "import torch, whatwhere_else.model\nfrom whatwhere.records import Sizes\n"
        "from whatwhere.pooling import patches\nfrom . import patches\nfrom .patches import P\n"
        "from whatwhere import __version__"
    )
    assert violations(tmp_path) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_file_says_first_why_it_is_there(file):
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    first = (text or "").partition("\n")[0].strip()
    assert len(first.split()) >= 3, "the file needs a docstring whose first line says why it exists"
    assert file.read_text(encoding="utf-8").startswith('"""'), "the docstring comes first"


def code(file):
    """A file's text without docstrings and comments."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node
        ):
            node.body = [*node.body[1:], ast.Pass()]
    return ast.unparse(tree).lower()


@pytest.mark.parametrize("folder", ["training", "segmenter", "model.py"])
def test_the_loop_and_the_segmenter_know_no_method_by_name(folder):
    files = [ROOT / folder] if folder.endswith(".py") else sorted((ROOT / folder).glob("*.py"))
    known = ("clippy", "simzss", "cocu", "groupvit", "recipe.name")
    assert [(f.name, name) for f in files for name in known if name in code(f)] == []


def test_nothing_is_registered():
    said = [str(f.relative_to(ROOT)) for f in FILES if "registry" in code(f)]
    assert said == []
    for file in ROOT.rglob("__init__.py"):
        lists = [
            node
            for node in ast.parse(file.read_text(encoding="utf-8")).body
            if isinstance(node, ast.ImportFrom) and place(file, ROOT) in PARTS and node.level
        ]
        assert not lists, f"{file}: files are found, not listed"


def cpu_seconds(argv):
    """Processor time of a command, the best of three."""
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *argv], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


QUICK = [
    ["-c", "import whatwhere"],
    ["-m", "whatwhere", "--help"],
    *(
        ["-m", "whatwhere", verb, "--help"]
        for verb in ("segment", "group", "train", "evaluate", "export", "curate", "demo")
    ),
]


@pytest.mark.parametrize("argv", QUICK, ids=lambda argv: " ".join(argv))
def test_help_is_quick_and_brings_no_torch(argv):
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", *argv], check=True, capture_output=True, text=True
    )
    names = {line.rpartition("|")[2].strip() for line in traced.stderr.splitlines()}
    assert "whatwhere" in names
    heavy = {"torch", "numpy", "PIL", "transformers", "timm", "textblob", "datasets"}
    assert names & heavy == set()
    assert cpu_seconds(argv) < 0.3

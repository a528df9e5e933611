"""Pin every dependency anew: constraints.txt for pip, the same list in pyproject.toml for uv.

`python tools/pin.py` needs uv. Lock files name the hosts that files came from; these lists do not.
"""

import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIST = re.compile(r"constraint-dependencies = \[\n.*?\]\n", re.DOTALL)


def main() -> None:
    project = ROOT / "pyproject.toml"
    text = project.read_text()
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "pyproject.toml"  # the group's reference to the project itself left
        alone.write_text(LIST.sub("", text).replace('  "whatwhere[all]",\n', ""))
        command = "uv pip compile --universal --all-extras --group dev --no-header --no-annotate"
        hidden = "--no-emit-index-url --no-emit-find-links --quiet"
        run = [*command.split(), *hidden.split(), str(alone)]
        pins = subprocess.run(run, check=True, capture_output=True, text=True, cwd=folder).stdout
    (ROOT / "constraints.txt").write_text(pins)
    lines = [pin.replace('"', "'") for pin in pins.splitlines() if pin.strip()]
    listed = "constraint-dependencies = [\n" + "".join(f'  "{line}",\n' for line in lines) + "]\n"
    project.write_text(LIST.sub(lambda _: listed, text))


if __name__ == "__main__":
    main()

"""`whatwhere curate` from captions to a sidecar and a page about it."""

import numpy as np
import pytest
from PIL import Image

from runs.small import small
from whatwhere.commands import main
from whatwhere.curation.sidecar import Sidecar
from whatwhere.runs.training import run_training

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "run"
    run_training(small("training.steps=1"), out=path)
    return str(path)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for i in range(9):
        pixels = draw.integers(256, size=(20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        said = "a dog <on> grass" if i % 3 == 0 else "a boat" if i % 3 == 1 else "nothing much"
        (folder / f"{i}.txt").write_text(said)
    (folder / "8.png").write_bytes(b"no picture")
    return str(folder)


def curate(step, *more):
    return main(["curate", step, *more])


def test_five_steps_lead_from_captions_to_a_page(model, photos, tmp_path, capsys):
    out = str(tmp_path / "curated")
    here = ("--captions", photos, "--out", out)
    assert curate("concepts", *here, "--least", "2") == 0
    told = capsys.readouterr().out
    assert "gallery.txt: 3 concepts; 9 pictures mention 1.00 of them each" in told
    assert "voc" in told and "classes named" in told
    assert curate("embed", *here, "--model", model, "--device", "cpu") == 0
    printed = capsys.readouterr()
    assert "1 broken image: 8.png" in printed.err and "pictures: 9 pictures" in printed.out
    assert curate("index", "--out", out) == 0
    assert "index exact" in capsys.readouterr().out
    assert curate("rewrite", "--out", out, "--near", "4", "--clusters") == 0
    assert "sidecar: written" in capsys.readouterr().out
    assert curate("audit", *here, "--top", "2", "--examples", "3") == 0
    assert "of 9 pictures gain" in capsys.readouterr().out
    page = (tmp_path / "curated" / "audit.html").read_text()
    assert page.count("<article>") == len(list((tmp_path / "curated" / "audit").iterdir())) > 0
    assert "<on>" not in page
    held = Sidecar(tmp_path / "curated" / "sidecar", how="cluster")
    assert set(held.names) <= {"dog", "grass", "boat"} and len(held) == 9


def test_embedding_first_and_the_gallery_later_costs_only_the_concepts(
    model, photos, tmp_path, capsys
):
    here = ("--captions", photos, "--out", str(tmp_path / "curated"))
    assert curate("embed", *here, "--model", model, "--device", "cpu") == 0
    assert (
        "no gallery yet: after `whatwhere curate concepts`, embed again" in capsys.readouterr().out
    )
    assert curate("concepts", *here, "--gallery", "benchmarks") == 0
    made = (tmp_path / "curated" / "pictures" / "00000.npz").stat().st_mtime_ns
    assert curate("embed", *here, "--model", model, "--device", "cpu") == 0
    assert (tmp_path / "curated" / "pictures" / "00000.npz").stat().st_mtime_ns == made
    assert len(list((tmp_path / "curated" / "concepts").iterdir())) == 1


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("index", "--out", "nowhere"), "no vectors in nowhere/pictures; run `whatwhere curate"),
        (("rewrite", "--out", "nowhere"), "no vectors in nowhere/pictures"),
        (("concepts", "--captions", "nowhere", "--out", "x"), "no captions at nowhere"),
        (("embed", "--captions", "nowhere", "--out", "x", "--model", "y", "--prompts", "z"),
         "no prompts are called 'z'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_exit_code_2(argv, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["curate", *argv]) == 2
    printed = capsys.readouterr()
    assert said in printed.err and printed.err.count("\n") == 1 and printed.out == ""


@pytest.mark.parametrize(
    "argv", [(), ("rewriet",), ("index",), ("index", "--out", "x", "--how", "y")]
)
def test_a_wrong_word_is_one_line(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["curate", *argv])
    printed = capsys.readouterr()
    assert stop.value.code == 2 and printed.err.count("\n") == 1 and "--help" in printed.err


@pytest.mark.parametrize("step", ["concepts", "embed", "index", "rewrite", "audit"])
def test_every_step_explains_itself(step, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["curate", step, "--help"])
    assert stop.value.code == 0 and "--out DIR" in capsys.readouterr().out

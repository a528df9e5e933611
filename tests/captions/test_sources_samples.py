"""Pictures of every make come out as a viewer shows them; broken ones say so; lists add up."""

import contextlib
import pickle

import numpy as np
import pytest
from PIL import Image

from whatwhere.captions.samples import BrokenImage, FilePart, Sample, Skipped


def sample(tmp_path, picture: Image.Image, kind: str, **options) -> Sample:
    file = tmp_path / f"picture.{kind}"
    picture.save(file, **options)
    return Sample(file.name, ("a picture",), FilePart(str(file)))


def noise(rows: int, cols: int) -> Image.Image:
    draw = np.random.default_rng(0)
    return Image.fromarray(draw.integers(0, 256, (rows, cols, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["png", "bmp", "tif"])
def test_pixels_survive_lossless_files(tmp_path, kind):
    opened = sample(tmp_path, noise(5, 7), kind).open()
    assert np.array_equal(np.asarray(opened), np.asarray(noise(5, 7)))


def test_a_photo_taken_upright_is_shown_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to view
    opened = sample(tmp_path, noise(5, 7), "png", exif=exif).open()
    assert opened.size == (5, 7)
    assert np.array_equal(np.asarray(opened), np.rot90(np.asarray(noise(5, 7)), -1))


def test_what_is_transparent_is_white_whatever_colour_hides_there(tmp_path):
    picture = Image.new("RGBA", (3, 2), (0, 0, 0, 0))
    picture.putpixel((1, 0), (200, 100, 0, 255))
    opened = sample(tmp_path, picture, "png").open()
    assert opened.mode == "RGB"
    assert opened.getpixel((0, 0)) == (255, 255, 255)
    assert opened.getpixel((1, 0)) == (200, 100, 0)


def test_a_transparent_palette_entry_is_white(tmp_path):
    picture = Image.new("P", (3, 2), 0)
    picture.putpalette([10, 20, 30, 200, 100, 0])
    picture.putpixel((2, 1), 1)
    opened = sample(tmp_path, picture, "gif", transparency=0).open()
    assert opened.getpixel((0, 0)) == (255, 255, 255)
    assert opened.getpixel((2, 1)) == (200, 100, 0)


def test_printer_colours_become_screen_colours(tmp_path):
    opened = sample(tmp_path, Image.new("CMYK", (16, 8), (255, 0, 0, 0)), "jpg").open()
    red, green, blue = np.asarray(opened)[4, 4]
    assert red < 10
    assert min(green, blue) > 245


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_sixteen_bits_keep_their_brightness(tmp_path, kind):
    grey = np.array([[0, 257 * 64, 65535], [257, 257 * 128, 257 * 200]], dtype=np.uint16)
    opened = sample(tmp_path, Image.fromarray(grey), kind).open()
    assert np.asarray(opened)[..., 1].tolist() == [[0, 64, 255], [1, 128, 200]]


def test_floating_point_pixels_are_refused(tmp_path):
    broken = sample(tmp_path, Image.new("F", (3, 2)), "tif")
    with pytest.raises(BrokenImage, match="floating-point"):
        broken.open()


def test_a_photo_cut_short_is_broken(tmp_path):
    whole = sample(tmp_path, noise(50, 70), "jpg")
    half = FilePart(str(tmp_path / whole.key), 0, len(whole.read()) // 2)
    whole.open()
    with pytest.raises(BrokenImage, match="truncated"):
        Sample("half.jpg", ("half",), half).open()


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damage that it can live with
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["jpg", "png", "gif", "webp", "bmp", "tif"])
def test_however_a_file_is_damaged_it_is_a_picture_or_broken(tmp_path, kind, keep):
    data = bytearray(sample(tmp_path, noise(20, 30), kind).read())
    draw = np.random.default_rng(1)
    for _ in range(20):
        bad = data[: int(len(data) * keep)]
        for place in draw.integers(0, len(bad), 5):
            bad[place] = int(draw.integers(256))
        file = tmp_path / "bad"
        file.write_bytes(bad)
        with contextlib.suppress(BrokenImage):
            assert Sample("bad", ("bad",), FilePart(str(file))).open().mode == "RGB"


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "empty file"), (b"<html>404</html>", "cannot identify image file")]
)
def test_what_is_no_picture_says_so(tmp_path, data, reason):
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(BrokenImage) as caught:
        Sample("a.jpg", ("a",), FilePart(str(tmp_path / "a.jpg"))).open()
    assert (caught.value.key, caught.value.reason) == ("a.jpg", reason)


def test_a_photo_deleted_since_is_broken(tmp_path):
    with pytest.raises(BrokenImage, match=r"a\.jpg: No such file"):
        Sample("a.jpg", ("a",), FilePart(str(tmp_path / "a.jpg"))).open()


def test_samples_errors_and_lists_travel_between_processes(tmp_path):
    one = sample(tmp_path, noise(5, 7), "png")
    assert pickle.loads(pickle.dumps(one)) == one
    error = pickle.loads(pickle.dumps(BrokenImage("a.jpg", "empty file")))
    assert (error.key, error.reason) == ("a.jpg", "empty file")
    skipped = Skipped()
    skipped.add("broken image", "a.jpg")
    assert pickle.loads(pickle.dumps(skipped)) == skipped


def test_a_part_of_a_file_is_read_alone(tmp_path):
    (tmp_path / "file").write_bytes(b"0123456789")
    assert FilePart(str(tmp_path / "file"), offset=3, size=4)() == b"3456"


def test_a_picture_met_in_two_workers_counts_once():
    mine, theirs = Skipped(), Skipped()
    for key in ("a.jpg", "b.jpg"):
        mine.add("broken image", key)
    for key in ("b.jpg", "c.jpg"):
        theirs.add("broken image", key, "empty file")
    theirs.add("empty caption", "b.jpg")
    mine.merge(theirs)
    assert mine.counts == {"broken image": 3, "empty caption": 1}
    assert len(mine) == 4


def test_nothing_skipped_reports_nothing():
    assert Skipped().report() == ""
    assert not Skipped()


def test_names_that_no_terminal_takes_are_printed_as_escapes():
    skipped = Skipped()
    skipped.add("missing image", "caf\udce9.jpg")
    assert skipped.report() == r"1 missing image: caf\udce9.jpg"

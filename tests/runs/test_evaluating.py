"""Retrieval and classification against slow counts; label maps in the ids of a benchmark."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from runs.small import small
from runs.test_sweeping import Paintings
from segmenter.colours import SMALL, mosaic, painting, segmenter
from whatwhere.benchmarks.classes import load as load_classes
from whatwhere.benchmarks.clippy_voc import WHY, BothScores, BothWays, released_iou
from whatwhere.benchmarks.grounds import ByGround
from whatwhere.benchmarks.photos import Photos
from whatwhere.captions.batches import Batches
from whatwhere.captions.benchmark import load as load_captions
from whatwhere.concepts.bank import Bank
from whatwhere.pictures import OnGround
from whatwhere.records import Sizes
from whatwhere.runs import evaluating
from whatwhere.runs.evaluating import (
    benchmark_names,
    classify,
    labeller,
    measure,
    open_benchmark,
    retrieval,
    retrieve,
    tell_apart,
    typed,
)
from whatwhere.runs.loading import build
from whatwhere.runs.sweeping import Sweep
from whatwhere.runs.watching import watch_benchmark
from whatwhere.scenes.benchmark import SceneBenchmark
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.reading import Background, Reading, parse_background
from whatwhere.similarity.cosine import Cosine
from whatwhere.transforms import centre_square, to_tensor


def test_retrieval_agrees_with_a_slow_count():
    recipe = small("batching.batch=7")
    model = build(recipe).model.eval()
    batches = Batches(
        recipe.captions,
        recipe.batching,
        tokenizer=model.text_encoder.tokenizer,
        find_phrases=None,
        seed=0,
    )
    found = retrieval(model, (batches[step].batch for step in (0, 2)))
    for way, side in (("text", "image_to_text"), ("image", "text_to_image")):
        for k in (1, 5):
            hits = []
            for step in (0, 2):
                with torch.no_grad():
                    rows = getattr(model(batches[step].batch).pairs, side).tolist()
                for i, row in enumerate(rows):
                    better = sum(score > row[i] for score in row)
                    equal = sum(score == row[i] for score in row) - 1
                    hits.append(better + equal / 2 < k)
            assert found[f"{way}_recall_at_{k}"] == pytest.approx(sum(hits) / 14)


@pytest.mark.filterwarnings("ignore:.*given no pixel:UserWarning")
@pytest.mark.parametrize("asked", [{}, {"sweep": Sweep("score", (-1.0, 0.5))}])
def test_classes_with_words_that_were_never_learnt_get_no_pixel_and_are_told_of(asked):
    segment, photos = segmenter(never_learnt={"green", "blue"}), Paintings()
    plain, found = (measure(s, photos, **asked) for s in (segmenter(), segment))
    result: Any = found.result
    assert found.how == plain.how | {"unknown names": "green"}
    assert "unknown names green" in found.table()
    for one in result.scores if asked else (result,):
        assert one.counts[:, 2].sum() == 0 < one.counts[2].sum()


def test_a_benchmark_none_of_whose_names_were_learnt_is_refused():
    segment = segmenter(never_learnt={"red", "green", "blue"})
    with pytest.raises(ValueError, match="none of the 2 names of paintings"):
        measure(segment, Paintings())


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Nine scenes on disk with one to three captions each, and one text that two of them share."""
    home = tmp_path_factory.mktemp("captions")
    for i, scene in zip(range(9), small().captions, strict=False):
        scene.open().save(home / f"{i}.png")
        captions = [*scene.captions[: 1 + i % 2], *(["a picture"] if i in (2, 5) else [])]
        (home / f"{i}.txt").write_text("\n".join(captions))
    return load_captions(str(home))


@pytest.mark.parametrize("part", [2, 1000])
@pytest.mark.parametrize("similarity", ["cosine:Cosine", "log_sum_exp:LogSumExp", "two faces"])
def test_recall_over_a_set_agrees_with_a_slow_count(told, similarity, part, monkeypatch):
    """Any caption of a picture is right; nothing depends on how many are compared at a time."""
    monkeypatch.setattr(evaluating, "PICTURES", part)
    monkeypatch.setattr(evaluating, "TEXTS", part + 1)
    chosen = [] if similarity == "two faces" else [f"similarity=whatwhere.similarity.{similarity}"]
    model = build(small(*chosen)).model.eval()
    if similarity == "two faces":  # the matrices need not be transposes of each other
        plain = model.similarity.pairs

        def pairs(images, texts):
            found = plain(images, texts)
            return replace(found, text_to_image=-found.text_to_image)

        monkeypatch.setattr(model.similarity, "pairs", pairs)
    owner = [row for row, sample in enumerate(told.pairs) for _ in sample.captions]
    assert len(owner) == 15
    tokenizer, side = model.text_encoder.tokenizer, model.image_encoder.size
    texts = [tokenizer.clean(text) for sample in told.pairs for text in sample.captions]
    pictures = [to_tensor(centre_square(sample.open(), side=side)) for sample in told.pairs]
    with torch.no_grad():
        pairs = model.similarity.pairs(
            model.encode_images(torch.stack(pictures)), model.encode_texts(tokenizer(texts))
        )
    to_text, to_image = pairs.image_to_text.tolist(), pairs.text_to_image.tolist()
    text_ranks, image_ranks = [], []
    for row, scores in enumerate(to_text):
        best = max(score for score, own in zip(scores, owner, strict=True) if own == row)
        wrong = [score for score, own in zip(scores, owner, strict=True) if own != row]
        text_ranks.append(sum(w > best for w in wrong) + sum(w == best for w in wrong) / 2)
    for row, scores in zip(owner, to_image, strict=True):
        wrong = scores[:row] + scores[row + 1 :]
        equal = sum(w == scores[row] for w in wrong)
        image_ranks.append(sum(w > scores[row] for w in wrong) + equal / 2)
    found = retrieve(model, told)
    assert (found.pictures, found.captions) == (9, 15)
    for k in (1, 5):
        assert found.to_text[k] == pytest.approx(sum(r < k for r in text_ranks) / 9, abs=0.01)
        assert found.to_image[k] == pytest.approx(sum(r < k for r in image_ranks) / 15, abs=0.01)
    assert found.to_image[10] == 1  # nine pictures: none is below the tenth
    assert 0 < found.to_image[5] < 1


def test_recall_of_a_part_of_a_set_says_so(told):
    model = build(small()).model.eval()
    found = retrieve(model, told, limit=4)
    assert (found.pictures, found.pictures_expected) == (4, 9)
    with pytest.raises(ValueError, match="limit is 0"):
        retrieve(model, told, limit=0)


def classified(home, classes, **photos):
    """A folder per class of pictures, and the list of classes."""
    for name, pictures in photos.items():
        (home / name).mkdir()
        for i, picture in enumerate(pictures):
            picture.save(home / name / f"{i}.png")
    (home / "classes.txt").write_text("\n".join(classes))
    return load_classes(str(home))


def test_a_photo_is_of_the_class_that_its_whole_picture_fits_best(tmp_path):
    """Of synonyms the best counts: green alone is as far from blue as red is."""
    found = classify(
        segmenter(),
        classified(
            tmp_path,
            ["white", "red", "green|blue"],
            red=[painting(["red", "red"]), painting(["green"])],
            green=[painting(["blue", "blue", "blue"])],
        ),
    )
    assert found.photos.tolist() == [0, 2, 1]
    assert found.first.tolist() == [0, 1, 1]


def test_photos_of_a_class_that_was_never_learnt_are_missed_and_the_class_is_told_of(tmp_path):
    photos = classified(
        tmp_path,
        ["white", "red", "green|blue"],
        red=[painting(["red", "red"])],
        green=[painting(["blue", "blue", "blue"]), painting(["green"])],
    )
    found: Any = measure(segmenter(never_learnt={"green", "blue"}), photos)
    assert found.how["unknown names"] == "green"
    assert found.result.photos.tolist() == [0, 1, 2]
    assert found.result.first.tolist() == [0, 1, 0]
    some: Any = measure(segmenter(never_learnt={"green"}), photos)
    assert "unknown names" not in some.how
    assert some.result.first.tolist() == [0, 1, 1]


@pytest.mark.parametrize("part", [2, 1000])
def test_ranks_of_classes_agree_with_a_slow_loop(tmp_path, part, monkeypatch):
    monkeypatch.setattr(evaluating, "PICTURES", part)
    words = [f"c{i}" for i in range(9)]
    pictures = [mosaic(9 + 4 * i, 23) for i in range(5)]
    segment = segmenter(more=9)
    shown = {"c7": pictures[:2], "c0": pictures[2:4], "c5": pictures[4:]}
    found = classify(segment, classified(tmp_path, words, **shown))
    table = segment.model.text_encoder.table[5:]  # after no word, red, green, blue, white
    first, fifth = [0] * 9, [0] * 9
    for picture, label in zip(pictures, (7, 7, 0, 0, 5), strict=True):
        square = to_tensor(centre_square(picture, side=8))
        patches = segment.model.image_encoder(square[None]).patches.flatten(0, 2)
        whole = patches.amax(dim=0)
        cosines = [F.cosine_similarity(whole, word, dim=0).item() for word in table]
        rank = sorted(cosines, reverse=True).index(cosines[label])
        first[label] += rank < 1
        fifth[label] += rank < 5
    assert (found.first.tolist(), found.fifth.tolist()) == (first, fifth)
    assert 0 < sum(fifth) < 5


def test_the_calibration_of_patches_does_not_touch_whole_pictures(tmp_path):
    similarity = Cosine(calibration="centred").build(Sizes(dim=6))
    similarity.readout.caption_mean += 5
    photos = classified(tmp_path, ["red", "white"], white=[painting(["white"])])
    assert classify(segmenter(similarity=similarity), photos).top1 == 1


class Birds:
    """Birds are red or blue, their grounds are of no colour of theirs; the third name is green."""

    name, classes, grounds, usual, official = "birds", ("hen", "swan"), ("dry", "wet"), (0, 1), None
    names = (("red",), ("blue", "c0"), ("green",))
    painted = ((0, 0, "red"), (0, 0, "red"), (0, 1, "blue"), (1, 1, "blue"), (1, 0, "green"))

    def __len__(self):
        return len(self.painted)

    def items(self, indices=None):
        for i in range(len(self)) if indices is None else indices:
            label, ground, colours = self.painted[i]
            yield OnGround(str(i), painting(colours.split()), label, ground)


def test_things_are_counted_on_each_ground():
    found = measure(segmenter(), Birds(), limit=4)
    assert isinstance(found.result, ByGround)
    assert found.result.photos.tolist() == [[2, 1], [0, 1]]
    assert found.result.right.tolist() == [[2, 0], [0, 1]]
    said = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert (said["gaps"]["hen"], said["worst_group"], said["partial"]) == (100, 0, True)
    assert said["how"] == {
        "pictures": "own size, then the centre",
        "prompts": "name",
        "concepts": "none known",
    }
    everything = tell_apart(segmenter(), Birds())
    assert everything.right.tolist() == [[2, 0], [0, 1]] and everything.photos[1, 0] == 1


@pytest.mark.parametrize("side", [0, 12])
def test_things_on_grounds_are_seen_at_the_side_of_the_reading(side, monkeypatch):
    """Or at their own, cut to whole patches."""
    segment, seen = segmenter(replace(SMALL, side=side)), []
    look = segment.model.encode_images

    def watched(images, *more):
        seen.append(tuple(images.shape[2:]))
        return look(images, *more)

    monkeypatch.setattr(segment.model, "encode_images", watched)
    monkeypatch.setattr(Birds, "painted", ((0, 0, "red blue"), (1, 1, "green")))
    found = measure(segment, Birds())
    assert set(seen) == {(side or 8, side or 8)} and len(seen) == (1 if side else 2)
    size = f"short side {side}" if side else "own size"
    assert found.how["pictures"] == f"{size}, then the centre"


def test_both_ways_look_at_the_same_photos_each_in_its_own(tmp_path):
    """A red dog in the left quarter: the crop misses it, its squashed mask does not."""
    labels = np.zeros((8, 32), np.uint8)
    labels[:, :8] = 1
    Image.fromarray(labels).save(tmp_path / "a.png")
    painting(["red", "blue", "blue", "blue"]).save(tmp_path / "a.bmp")
    photos = Photos(
        "two",
        (("a", tmp_path / "a.bmp", tmp_path / "a.png"),),
        ("background", "dog", "cat"),
        (("background",), ("red",), ("white",)),
        ids=(0, 1, 2),
        void=(255,),
        background=0,
    )
    benchmark = BothWays(
        photos, side=8, reading=("side=0", "prompts=name"), background="names:blue"
    )
    found = measure(segmenter(), benchmark)
    assert isinstance(found.result, BothScores)
    assert found.result.correct.miou == 1
    assert found.result.released.counts.tolist() == [[48, 0, 0], [16, 0, 0], [0, 0, 0]]
    assert released_iou(found.result.released).mean() == pytest.approx(48 / 64 / 3)
    assert found.how["released"] == "centre 8, side=0, prompts=name"
    assert WHY in found.table()
    with pytest.raises(ValueError, match="has one background rule, names:blue; leave"):
        measure(segmenter(), benchmark, background=Background("score", 0.2))


def test_a_result_says_what_it_depends_on():
    reading = Reading(side=0, window=0, prompts="name", scale=20.0)
    bank = Bank.parse(["nothing", "greens", "grass"])
    rule = parse_background("probability:0.5")
    empty = measure(segmenter(reading), benchmark(background=1), background=rule, bank=bank)
    said = json.loads(json.dumps(empty.as_json(), allow_nan=False))
    assert said["how"]["prompts"] == "name" and said["how"]["scale"] == 20
    assert said["how"]["background"] == "probability:0.5"
    assert said["bank"] == {"named": 1, "classes": 2, "shared": 1, "concepts": 3}
    assert "prompts name" in empty.table() and "1 of 2 classes of paint" in empty.table()
    alone = measure(segmenter(reading), benchmark(background=None))
    assert alone.as_json()["bank"] is None and alone.how["background"] == "none"
    assert "concepts none known" in alone.table() and "concepts none" not in empty.table()
    assert "scale" not in alone.how


def test_what_cannot_act_on_a_benchmark_is_refused(told, tmp_path):
    photos = classified(tmp_path, ["red"], red=[painting(["red"])])
    for question in (told, photos):
        with pytest.raises(ValueError, match="asks nothing about pixels"):
            measure(segmenter(), question, background=Background())
        with pytest.raises(ValueError, match="is watched by mIoU"):
            watch_benchmark(question, None)


def test_a_rule_is_said_as_it_is_typed():
    for text in ("none", "score:-0.1", "probability:0.5", "names:wall|floor,sky", "list:voc60"):
        assert typed(parse_background(text)) == text


def benchmark(background):
    """Classes in an order in which the background is not the first."""
    classes = ("red", "nothing", "blue")
    names = (("red",), ("nothing",), ("blue", "green"))
    return Photos("paint", (), classes, names, ids=(0, 1, 2), void=(255,), background=background)


PAINTED = painting(["red", "white", "green"], block=4)


@pytest.mark.parametrize(
    "rule",
    [Background("score", 0.9), Background("names", names=("white",))],
    ids=["score", "names"],
)
def test_the_rule_says_what_is_background_and_its_name_is_never_asked_for(rule):
    label = labeller(segmenter(), benchmark(background=1), background=rule)
    assert label(PAINTED)[0, [1, 6, 10]].tolist() == [0, 1, 2]


def test_without_a_rule_no_pixel_is_background():
    labels = labeller(segmenter(), benchmark(background=1))(PAINTED)
    assert labels[0, [1, 10]].tolist() == [0, 2] and 1 not in labels


def test_the_rule_of_the_recipe_holds_where_none_is_given():
    reading = Reading(side=0, window=0, prompts="name", background=Background("score", 0.9))
    label = labeller(segmenter(reading), benchmark(background=1))
    assert label(PAINTED)[0, [1, 6, 10]].tolist() == [0, 1, 2]


def test_without_a_background_class_no_pixel_is_background():
    reading = Reading(side=0, window=0, prompts="name", background=Background("score", 0.9))
    label = labeller(segmenter(reading), benchmark(background=None))
    assert set(np.unique(label(PAINTED))) <= {0, 1, 2}
    with pytest.raises(ValueError, match="paint has no background class"):
        labeller(segmenter(), benchmark(background=None), background=reading.background)


def test_benchmarks_are_the_files_that_load_and_those_that_parts_bring():
    known = set(benchmark_names())
    assert {"voc", "voc20", "clippy_voc", "folder", "classes", "waterbirds"} <= known
    assert {"captions", "scenes_swap"} <= known
    assert not {"score", "photos", "ranking", "grounds", "scenes"} & known


def test_only_what_is_drawn_needs_no_root():
    assert len(open_benchmark("scenes_swap", root=None, split=None)) == 800
    with pytest.raises(ValueError, match="voc needs --root PATH"):
        open_benchmark("voc", root=None, split=None)


def test_a_typo_in_a_benchmark_names_the_right_one():
    with pytest.raises(ValueError, match=r"did you mean voc20\? \(there are .*folder"):
        open_benchmark("vok20", root=".", split="val")


def test_watching_measures_photos_from_all_of_a_benchmark_and_draws_some(tmp_path):
    recipe = small()
    everything = SceneBenchmark(recipe.captions.world, count=9)
    watch = watch_benchmark(everything, tmp_path / "pictures", limit=3, pictures=2)
    found = watch(Segmenter(build(recipe).model, recipe.reading), 40)
    assert found.keys() == {"miou", "pixel_accuracy"}
    assert 0 <= found["miou"] <= 100 and 0 < found["pixel_accuracy"] <= 100
    drawn = sorted(file.name for file in (tmp_path / "pictures" / "step-00000040").iterdir())
    first, last = (item.key for item in everything.items([0, 4]))
    assert drawn == [f"{first}.jpg", f"{last}.jpg"]

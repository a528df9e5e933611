"""What every part must do. Files are found, not listed: a new one is held to this at once."""

import importlib
import inspect
import json
import pkgutil
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import whatwhere
import whatwhere.benchmarks
import whatwhere.captions.kinds
import whatwhere.encoders
import whatwhere.heads
import whatwhere.objectives
import whatwhere.pooling
import whatwhere.pretexts
import whatwhere.similarity
from small_t5 import VOCABULARY, save_tokenizer
from whatwhere.captions.batches import Batches
from whatwhere.captions.sources import Source
from whatwhere.concepts.bank import Bank
from whatwhere.concepts.word_prompts import WordPrompts
from whatwhere.encoders.hf_text import T5, HuggingFaceText
from whatwhere.encoders.timm_model import Timm, Vit
from whatwhere.pooling.groups import Groups
from whatwhere.recipes import from_json, load, names, override, to_json
from whatwhere.recipes.cocu import BorrowedPrompts
from whatwhere.records import (
    Batch,
    Encoded,
    EncodedImages,
    EncodedTexts,
    ImageEncoder,
    ImageFeatures,
    Losses,
    Pairs,
    Phrases,
    Pooled,
    Sizes,
    TextEncoder,
    TextFeatures,
    Tokens,
)
from whatwhere.runs.loading import build
from whatwhere.scenes.source import Scenes
from whatwhere.scenes.world import World
from whatwhere.training.schedule import optimizer

DIM, WIDTH, ROWS, COLS, WORDS, CONCEPTS = 12, 64, 3, 5, 7, 9
SIZES = Sizes(dim=DIM, width=WIDTH, concepts=CONCEPTS, pretrained=False)

# How to build what has no small or offline default; the settings are checked all the same.
BUILT_WITH = {
    "Timm": {"name": "test_vit"},
    "ClipText": {"width": 24, "layers": 1, "heads": 2, "context": 11},
    "Groups": {"depths": (1, 1), "heads": (2, 3), "tokens": (6,), "groups": (4,)},
    "Whiten": {"size": DIM},
    "Denoise": {"weights": "random", "grid": 4},
}
NOT_LOCAL = {"Denoise": "its patches see one another"}
NOT_HERE = {"HuggingFaceText": "needs a folder of weights: tests/encoders/test_hf_text.py"}


def modules(package):
    found = pkgutil.iter_modules(package.__path__)
    return [importlib.import_module(f"{package.__name__}.{module.name}") for module in found]


def settings(*packages):
    """Every class with `build` that a file of these packages defines."""
    return [
        pytest.param(thing, id=name)
        for package in packages
        for module in modules(package)
        for name, thing in inspect.getmembers(module, inspect.isclass)
        if thing.__module__ == module.__name__ and "build" in vars(thing)
    ]


def built(cls, sizes=SIZES):
    if cls.__name__ in NOT_HERE:
        pytest.skip(f"{cls.__name__} {NOT_HERE[cls.__name__]}")
    torch.manual_seed(0)
    return cls(**BUILT_WITH.get(cls.__name__, {})).build(sizes)


PACKAGES = (
    whatwhere.objectives,
    whatwhere.pooling,
    whatwhere.heads,
    whatwhere.similarity,
    whatwhere.encoders,
    whatwhere.pretexts,
)


@pytest.mark.parametrize("cls", settings(*PACKAGES))
def test_settings_are_frozen_values_with_defaults_that_json_keeps(cls):
    assert is_dataclass(cls) and cls.__dataclass_params__.frozen
    given = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    assert given == [], "every setting has a default, so that --set part=module:Class works"
    value = cls()
    assert from_json(json.loads(json.dumps(to_json(value)))) == value
    assert hash(value) == hash(cls())
    assert next(iter(inspect.signature(cls.build).parameters.values())).name == "self"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_folder_of_parts_has_something_to_choose(package):
    assert settings(package)


def unit(*shape):
    return F.normalize(torch.randn(*shape), dim=-1).requires_grad_()


def example(batch, *, phrases):
    """A batch and its encoding: 3 x 5 patches, captions of different lengths."""
    torch.manual_seed(1)
    mask = torch.arange(WORDS) < torch.arange(4, 4 + batch)[:, None]
    tokens = Tokens(mask.long(), mask, torch.zeros(batch, WORDS, 2, dtype=torch.long))
    caption = torch.arange(phrases) % batch
    found = Phrases(
        caption=caption.sort().values,
        concept=torch.arange(phrases) * 2 % CONCEPTS,
        covered_phrase=torch.arange(phrases),
        covered_word=1 + torch.arange(phrases) % 3,
    )
    images = EncodedImages(unit(batch, DIM), unit(batch, ROWS * COLS, DIM), None, (ROWS, COLS))
    texts = EncodedTexts(unit(batch, WORDS, DIM), unit(batch, DIM))
    scores = images.image @ texts.caption.mT
    pairs = Pairs(image_to_text=scores, text_to_image=scores.mT)
    prompts = unit(2 * batch, DIM)
    return Batch(tokens, phrases=found), Encoded(images, texts, pairs, prompts)


@pytest.mark.parametrize("phrases", [0, 1, 5])
@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("cls", settings(whatwhere.objectives))
def test_an_objective_gives_finite_numbers_that_can_be_learned_from(cls, batch, phrases):
    objective = built(cls)
    made, encoded = example(batch, phrases=phrases)
    losses = objective(made, encoded)
    assert isinstance(losses, Losses) and losses.terms
    for name, term in (losses.terms | losses.report).items():
        assert term.shape == () and term.isfinite(), name
    assert not any(value.requires_grad for value in losses.report.values())
    losses.total.backward()
    for vectors in (encoded.images.image, encoded.images.regions, encoded.texts.words):
        assert vectors.grad is None or vectors.grad.isfinite().all()


@pytest.mark.parametrize("cls", settings(whatwhere.objectives))
def test_an_objective_teaches_something(cls):
    made, encoded = example(4, phrases=5)
    built(cls)(made, encoded).total.backward()
    vectors = (encoded.images.image, encoded.images.regions, encoded.texts.words)
    assert any(v.grad is not None and v.grad.abs().sum() > 0 for v in vectors)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("cls", settings(whatwhere.pooling))
def test_a_pooling_shares_out_every_patch(cls, batch):
    patches = torch.randn(batch, ROWS, COLS, DIM, requires_grad=True)
    pool = built(cls, replace(SIZES, width=DIM))
    pooled = pool(ImageFeatures(patches, torch.randn(batch, DIM)))
    assert isinstance(pooled, Pooled)
    assert cls(**BUILT_WITH.get(cls.__name__, {})).dim(DIM) == DIM
    assert pooled.image.shape == (batch, DIM) and pooled.regions.shape[::2] == (batch, DIM)
    if pooled.where is None:
        assert torch.equal(pooled.regions, patches.flatten(1, 2))
    else:
        assert pooled.where.shape == (batch, pooled.regions.shape[1], ROWS * COLS)
        assert (pooled.where >= 0).all()
        torch.testing.assert_close(pooled.where.sum(dim=1), torch.ones(batch, ROWS * COLS))
    pooled.image.square().sum().backward()  # a norm keeps the sum
    assert patches.grad is not None and patches.grad.abs().sum() > 0


@pytest.mark.parametrize("cls", settings(whatwhere.heads))
def test_a_head_maps_patches_and_cls_into_the_joint_space(cls):
    chosen = cls(**BUILT_WITH.get(cls.__name__, {}))
    dim = chosen.dim(WIDTH)
    head = chosen.build(Sizes(dim=dim, width=WIDTH))
    assert isinstance(head.pictures, int) and isinstance(head.fixed, bool)
    assert head.fixed != any(weight.requires_grad for weight in head.parameters())
    features = ImageFeatures(torch.randn(2, ROWS, COLS, WIDTH), torch.randn(2, WIDTH))
    head.fit(iter([features]))
    found = head(features)
    assert found.patches.shape == (2, ROWS, COLS, dim) and found.patches.isfinite().all()
    assert found.cls is not None and found.cls.shape == (2, dim)
    assert head(ImageFeatures(features.patches)).cls is None
    if cls.__name__ not in NOT_LOCAL:
        pixel = head(ImageFeatures(features.patches[:, 1:2, 2:3])).patches
        torch.testing.assert_close(found.patches[:, 1:2, 2:3], pixel)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("cls", settings(whatwhere.similarity))
def test_a_similarity_has_two_faces(cls, batch):
    similarity = built(cls)
    _, encoded = example(batch, phrases=0)
    similarity.readout.watch(encoded.images, encoded.texts)
    pairs = similarity.pairs(encoded.images, encoded.texts)
    assert pairs.image_to_text.shape == pairs.text_to_image.shape == (batch, batch)
    assert pairs.first == 0
    (pairs.image_to_text.sum() + pairs.text_to_image.sum()).backward()
    assert encoded.texts.caption.grad is not None
    vectors = similarity.readout.names(unit(6, DIM).detach())
    dense = similarity.readout.dense(encoded.images, vectors)
    assert dense.shape == (batch, 6, ROWS, COLS) and dense.isfinite().all()
    assert dense.abs().max() <= 1 + 1e-5
    upper = replace(encoded.images, regions=encoded.images.regions[:, :COLS], grid=(1, COLS))
    torch.testing.assert_close(dense[:, :, :1], similarity.readout.dense(upper, vectors))


def test_every_encoder_is_of_pictures_or_of_texts():
    for parameter in settings(whatwhere.encoders):
        (cls,) = parameter.values
        if cls.__name__ not in NOT_HERE:
            assert isinstance(built(cls), (ImageEncoder, TextEncoder)), cls.__name__


@pytest.mark.parametrize("cls", settings(whatwhere.encoders))
def test_an_encoder_does_what_its_protocol_says(cls):
    encoder = built(cls)
    if isinstance(encoder, ImageEncoder):
        check_image_encoder(encoder)
    else:
        check_text_encoder(encoder)


def check_image_encoder(encoder):
    height, width = 2 * encoder.patch, 3 * encoder.patch
    with torch.no_grad():
        features = encoder(torch.rand(1, 3, height, width))
    assert encoder.grid(height, width) == features.patches.shape[1:3] == (2, 3)
    assert features.patches.shape == (1, 2, 3, encoder.width)
    assert features.cls is None or features.cls.shape == (1, encoder.width)
    assert features.patches.isfinite().all()
    with pytest.raises(ValueError, match="use "):
        encoder.grid(height + 1, width)
    assert encoder.frozen != any(weight.requires_grad for weight in encoder.parameters())


def check_text_encoder(encoder):
    tokenizer = encoder.tokenizer
    texts = [tokenizer.clean(text) for text in ("A  Dog", "two umbrellas in the wet grass, again")]
    assert [tokenizer.clean(text) for text in texts] == texts
    encoder.fit(iter(texts))
    assert encoder.unknown(["A dog", texts[1]]) == [(), ()]
    tokens = tokenizer(texts)
    assert tokens.ids.shape == tokens.mask.shape == (2, tokenizer.context)
    assert tokens.offsets.shape == (2, tokenizer.context, 2)
    pieces = [texts[0][start:end] for start, end in tokens.offsets[0].tolist()]
    assert "".join(pieces).lower() == "adog"
    features = encoder.encode(encoder.embed(tokens.ids), tokens.mask)
    assert isinstance(features, TextFeatures)
    assert features.words.shape == (2, tokenizer.context, DIM)
    assert features.caption.shape == (2, DIM) and features.caption.isfinite().all()
    alone = tokenizer(texts[:1])
    same = encoder.encode(encoder.embed(alone.ids), alone.mask).caption
    torch.testing.assert_close(features.caption[:1], same, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("module", modules(whatwhere.captions.kinds), ids=lambda m: m.__name__)
def test_a_kind_of_captions_says_what_it_looks_for(module, tmp_path):
    assert isinstance(module, Source)
    assert isinstance(module.LOOKS_FOR, str) and len(module.LOOKS_FOR.split()) > 3
    assert module.accepts(tmp_path) is False
    assert module.accepts(tmp_path / "nowhere") is False
    assert list(inspect.signature(module.pairs).parameters) == ["path", "skipped"]


BROUGHT = [  # by parts that have a benchmark of their own
    importlib.import_module(f"whatwhere.{file.parent.name}.{file.stem}")
    for file in sorted(Path(whatwhere.__path__[0]).glob("*/benchmark*.py"))
]
LOADERS = [m for m in (*modules(whatwhere.benchmarks), *BROUGHT) if "load" in vars(m)]


@pytest.mark.parametrize("module", LOADERS, ids=lambda module: module.__name__)
def test_a_benchmark_loads_from_a_root_and_a_split_and_refuses_an_empty_folder(module, tmp_path):
    parameters = inspect.signature(module.load).parameters
    assert list(parameters) == ["root", "split"]
    assert parameters["split"].default is not inspect.Parameter.empty
    with pytest.raises(ValueError, match=str(tmp_path)):
        module.load(str(tmp_path))


WORLD = World(height=32, width=48, kinds=("boat", "cat", "tree"), scale=1.2)


@pytest.fixture(scope="module")
def t5_tokenizer(tmp_path_factory):
    return save_tokenizer(tmp_path_factory.mktemp("t5"))


@pytest.mark.parametrize("name", names())
def test_a_recipe_builds_without_any_file_and_takes_a_step(name, t5_tokenizer):
    """On four pictures of a few patches, and with small towers in the place of large ones."""
    recipe = load(name)
    if isinstance(recipe.text, HuggingFaceText):
        small = T5(VOCABULARY, width=24, layers=1, heads=2, head_width=5, hidden=16)
        text = replace(recipe.text, source=t5_tokenizer, t5=small, context=24)
        recipe = replace(recipe, text=text, image=replace(recipe.image, vit=Vit(24, 1, 2, 4, 16)))
    elif isinstance(recipe.image, Timm):
        recipe = override(recipe, ["image.name=test_vit", "text.layers=1"])
        recipe = override(recipe, ["text.width=16", "text.heads=2"])
    if isinstance(recipe.pool, Groups):
        recipe = override(recipe, ["image.width=12", "pool.depths=(1,1,1)", "text.layers=1"])
    if isinstance(recipe.extra_prompts, BorrowedPrompts):  # which need a sidecar
        recipe = replace(recipe, extra_prompts=WordPrompts())
    bank = None
    if recipe.concepts is not None:
        bank = Bank.parse(["|".join(forms) for forms in WORLD.concepts])
    step = build(recipe, concepts=0 if bank is None else len(bank), pretrained=False).train()
    encoder = step.model.image_encoder
    assert isinstance(encoder, ImageEncoder)
    assert isinstance(step.model.text_encoder, TextEncoder)
    step.model.text_encoder.fit([WORLD.captions(0)[0]])
    batches = Batches(
        Scenes(WORLD, count=8),
        replace(
            recipe.batching,
            batch=4,
            size=(2 * encoder.patch, 3 * encoder.patch),
            feature_crop=(1.0, 1.0),  # of cached features, and there are none
            workers=0,
        ),
        tokenizer=step.model.text_encoder.tokenizer,
        find_phrases=None if bank is None else bank.matcher(),
        draw_prompts=recipe.extra_prompts,
        seed=0,
    )
    adam = optimizer(step, recipe.training)
    before = {name: weight.clone() for name, weight in step.state_dict().items()}
    losses = step(batches[0].batch)
    losses.total.backward()
    adam.step()
    assert losses.total.isfinite()
    learned = {name for name, weight in step.state_dict().items() if (weight != before[name]).any()}
    frozen = {name for name, weight in step.named_parameters() if not weight.requires_grad}
    assert learned and not learned & frozen
    reading = any(name.startswith("model.text_encoder") for name in learned)
    assert reading != step.model.text_encoder.frozen
    assert from_json(json.loads(json.dumps(to_json(recipe)))) == recipe

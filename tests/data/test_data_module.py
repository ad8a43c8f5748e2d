import re
from functools import partial
from typing import Any

import pytest
import torch

from vae_lightning.data import ImageDataModule, Images, Splits, digits
from vae_lightning.data.module import nearest_multiples
from vae_lightning.data.preparation import binarized
from vae_lightning.errors import Code, UserError


def module(seed: int = 0, **options: object) -> ImageDataModule:
    settings = {"batch_size": 100, "evaluation_batch_size": 50, "validation_size": 0, "binarize": "none", **options}
    data = ImageDataModule(seed, source=digits, **settings)
    data.setup()
    return data


def test_the_validation_part_is_carved_by_seed_from_the_training_part_only() -> None:
    data = module(validation_size=300)
    assert (len(data.splits["train"].pixels), len(data.splits["val"].pixels)) == (1200, 300)
    assert data.curve_split == "val"
    assert torch.equal(data.splits["test"].pixels, digits().test.pixels)
    joined = torch.cat([data.splits["train"].pixels, data.splits["val"].pixels]).flatten(1)
    original = digits().training.pixels.flatten(1)
    assert sorted(map(bytes, joined.numpy())) == sorted(map(bytes, original.numpy()))
    assert torch.equal(module(validation_size=300).splits["val"].pixels, data.splits["val"].pixels)
    assert not torch.equal(module(seed=1, validation_size=300).splits["val"].pixels, data.splits["val"].pixels)


def test_without_a_validation_part_the_curves_show_the_test_images() -> None:
    assert module().curve_split == "test"
    assert len(module().val_dataloader().images.pixels) == 297


def test_static_binarisation_is_one_draw_for_every_seed() -> None:
    first, second = (module(seed=seed, binarize="static") for seed in (0, 1))
    assert set(first.splits["train"].pixels.unique().tolist()) == {0, 255}
    assert torch.equal(first.splits["train"].pixels, second.splits["train"].pixels)
    assert torch.equal(first.splits["test"].pixels, module(binarize="dynamic").splits["test"].pixels)


def test_static_binarisation_does_not_follow_the_validation_split() -> None:
    def pixels_of(data: ImageDataModule) -> set[bytes]:
        parts = [data.splits[name].pixels for name in ("train", "val") if name in data.splits]
        return set(map(bytes, torch.cat(parts).flatten(1).numpy()))

    whole = pixels_of(module(binarize="static"))
    for seed in (0, 1):
        assert pixels_of(module(seed=seed, binarize="static", validation_size=300)) == whole


def test_the_parts_are_drawn_independently() -> None:
    grey = torch.full((10, 1, 8, 8), 128, dtype=torch.uint8)
    assert torch.equal(binarized(grey, 0), binarized(grey, 0))
    assert not torch.equal(binarized(grey, 0), binarized(grey, 1))


def test_binarisation_has_the_grey_value_as_its_probability() -> None:
    grey = torch.full((25_000, 1, 1, 4), 102, dtype=torch.uint8)
    share = (binarized(grey, 0) == 255).double().mean()
    assert abs(float(share) - 0.4) < 4 * (0.4 * 0.6 / 100_000) ** 0.5
    extremes = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1)
    assert torch.equal(binarized(extremes, 0), extremes)


@pytest.mark.parametrize(
    ("options", "numbers_told"),
    [
        ({"drop_last": True, "batch_size": 2000}, {"2000", "1500"}),
        ({"validation_size": 1500}, {"1500"}),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options: dict[str, Any], numbers_told: set[str]) -> None:
    with pytest.raises(UserError) as refused:
        module(**options)
    assert refused.value.code is Code.INCOMPATIBLE
    assert refused.value.about[0] == f"data.{next(iter(options))}"
    assert set(re.findall(r"\d+", str(refused.value))) == numbers_told


def test_multiples_offered_to_ranks() -> None:
    assert nearest_multiples(100, 8) == "96 or 104"
    assert nearest_multiples(3, 8) == "8"


def test_shared_images_and_what_was_asked_of_them_are_those_of_every_module_of_the_same_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vae_lightning.data.module._shared", {})
    asked = []

    def n_images(data: ImageDataModule) -> int:
        asked.append(data.seed)
        return len(data.splits["train"].pixels)

    first = module()
    assert (first.once(n_images), first.once(n_images), asked) == (1500, 1500, [0])
    assert (module(seed=5).once(n_images), asked) == (1500, [0, 5])  # nobody has shared yet
    first.share()
    same = module(seed=3, batch_size=50)
    assert same.splits["train"].pixels is first.splits["train"].pixels
    assert (same.once(n_images), asked) == (1500, [0, 5])
    same.splits["train"] = same.splits["train"].select(torch.arange(10))
    assert len(first.splits["train"].pixels) == 1500
    for other in (module(binarize="static"), module(validation_size=300)):
        assert other.once(n_images) == len(other.splits["train"].pixels)
    assert asked == [0, 5, 0, 0]


def test_sources_of_other_arguments_are_other_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vae_lightning.data.module._shared", {})

    def of_scale(scales: torch.Tensor | float) -> Splits:
        return Splits(*(Images(part.pixels.float() * torch.as_tensor(scales).max(), part.labels) for part in digits()))

    large = torch.ones(10_000)
    larger = large.clone()
    larger[5000] = 2.0  # printed alike
    settings = {"batch_size": 100, "evaluation_batch_size": 50, "validation_size": 0, "binarize": "none"}
    for arguments in ((1.0, 2.0), (large, larger)):
        found = [ImageDataModule(0, source=partial(of_scale, argument), **settings) for argument in arguments]
        for data in found:
            data.setup()
            data.share()
        assert float(found[1].splits["test"].pixels.max()) == 2 * float(found[0].splits["test"].pixels.max())

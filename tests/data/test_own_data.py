"""Data of the user's own: every kind of file and object gives the two parts, or one clear error."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from own_parts import values_and_kinds
from PIL import Image
from torch.utils.data import TensorDataset
from torchvision.datasets import FakeData

from vae_lightning.assemble import build_data
from vae_lightning.config import checked
from vae_lightning.data import Images, Splits, array, folder, own, table, torchvision_images
from vae_lightning.data.accepted import as_images, as_splits, check_parts
from vae_lightning.data.preparation import prepared_splits
from vae_lightning.data.scale import Scale, scale_of
from vae_lightning.errors import Code, UserError
from vae_lightning.training import train

Config = dict[str, Any]
SPLIT = {"test_fraction": 0.25, "split_seed": 0}
ARRAY = {"labels": None, "test_path": None, "test_labels": None, "layout": "auto", **SPLIT}
FOLDER = {"test_path": None, "size": None, "crop": False, "channels": "auto", **SPLIT}
TABLE = {"label_column": None, "test_path": None, "standardise": False, **SPLIT}


def grey(n: int = 40, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, *(shape or (6, 5))), dtype=np.uint8)


# What is accepted -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((40, 7), "auto", (1, 1, 7)),
        ((40, 6, 5), "auto", (1, 6, 5)),
        ((40, 6, 5, 3), "auto", (3, 6, 5)),
        ((40, 3, 6, 5), "auto", (3, 6, 5)),
        ((40, 3, 6, 3), "NHWC", (3, 3, 6)),
        ((40, 2, 6, 5), "NCHW", (2, 6, 5)),
    ],
)
def test_an_array_is_read_by_its_layout(
    shape: tuple[int, ...], layout: str, expected: tuple[int, ...], tmp_path: Path
) -> None:
    values = grey(*shape)
    np.save(tmp_path / "x.npy", values)
    training, test = array(path=str(tmp_path / "x.npy"), **{**ARRAY, "layout": layout})
    assert (len(training.pixels), len(test.pixels)) == (30, 10)
    assert tuple(training.pixels.shape[1:]) == tuple(test.pixels.shape[1:]) == expected
    together = torch.cat([training.pixels, test.pixels]).flatten(1).sum(1).sort().values
    assert torch.equal(together, torch.from_numpy(values.reshape(40, -1).astype(np.int64)).sum(1).sort().values)


def test_parts_and_labels_in_one_file_are_found(tmp_path: Path) -> None:
    values, kinds = grey(40), np.arange(40) % 3
    np.savez(tmp_path / "parts.npz", x_train=values[:30], y_train=kinds[:30], x_test=values[30:], y_test=kinds[30:])
    torch.save((torch.from_numpy(values), torch.from_numpy(kinds)), tmp_path / "pair.pt")
    np.save(tmp_path / "kinds.npy", kinds)
    np.save(tmp_path / "x.npy", values)
    training, test = array(path=str(tmp_path / "parts.npz"), **ARRAY)
    assert torch.equal(training.labels, torch.from_numpy(kinds[:30]))
    assert torch.equal(test.pixels[:, 0], torch.from_numpy(values[30:]))
    for path, labels in (("pair.pt", None), ("x.npy", str(tmp_path / "kinds.npy"))):
        splits = array(path=str(tmp_path / path), **{**ARRAY, "labels": labels})
        rows = torch.cat([images.pixels.flatten(1).sum(1) for images in splits])
        of = {int(total): int(kind) for total, kind in zip(values.reshape(40, -1).sum(1), kinds, strict=True)}
        assert [of[int(row)] for row in rows] == torch.cat([images.labels for images in splits]).tolist()


def test_the_test_part_follows_its_own_seed(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", grey(40))
    drawn = [array(path=str(tmp_path / "x.npy"), **{**ARRAY, "split_seed": seed}).test.pixels for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_folder_has_its_subfolders_as_classes(tmp_path: Path) -> None:
    for index, pixels in enumerate(grey(20)):
        path = tmp_path / "images" / ("cats", "dogs")[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    splits = folder(path=str(tmp_path / "images"), **FOLDER)
    assert [tuple(images.pixels.shape) for images in splits] == [(15, 1, 6, 5), (5, 1, 6, 5)]
    assert torch.cat([images.labels for images in splits]).bincount().tolist() == [10, 10]
    Image.fromarray(grey(1, 9, 9, 3)[0]).save(tmp_path / "images" / "cats" / "colour.jpg")
    with pytest.raises(UserError) as refused:
        folder(path=str(tmp_path / "images"), **FOLDER)
    assert (refused.value.code, refused.value.about) == (Code.MISSING, ("data.size",))
    sized = folder(path=str(tmp_path / "images"), **{**FOLDER, "size": [4, 8], "crop": True})
    assert tuple(sized.training.pixels.shape[1:]) == (3, 4, 8)


def test_a_folder_with_train_and_test_has_its_parts(tmp_path: Path) -> None:
    for part, n in (("train", 6), ("test", 3)):
        for index, pixels in enumerate(grey(n)):
            path = tmp_path / part / "kind" / f"{index}.bmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    training, test = folder(path=str(tmp_path), **FOLDER)
    assert (len(training.pixels), len(test.pixels)) == (6, 3)
    assert torch.equal(training.pixels[:, 0], torch.from_numpy(grey(6)))


def test_sixteen_bits_are_not_cut_to_the_lower_eight(tmp_path: Path) -> None:
    for index, value in enumerate((0, 257, 65_535, 257 * 100)):
        Image.fromarray(np.full((3, 3), value, dtype=np.uint16)).save(tmp_path / f"{index}.png")
    splits = folder(path=str(tmp_path), **{**FOLDER, "test_fraction": 0.5})
    assert torch.cat([images.pixels[:, 0, 0, 0] for images in splits]).sort().values.tolist() == [0, 1, 100, 255]


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    for index in range(4):
        values = np.zeros((3, 3, 4), dtype=np.uint8)
        values[..., 0] = 200
        values[0, 0, 3] = 255  # one pixel is to be seen
        Image.fromarray(values).save(tmp_path / f"{index}.png")
    pixels = folder(path=str(tmp_path), **{**FOLDER, "test_fraction": 0.5}).training.pixels
    assert pixels[0, :, 0, 0].tolist() == [200, 0, 0]
    assert pixels[0, :, 1, 1].tolist() == [255, 255, 255]


def test_a_table_is_standardised_by_its_training_part(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    frame = pd.DataFrame(random.normal(5, 3, (80, 3)), columns=list("abc")).assign(d=1.0, kind=["x", "y"] * 40)
    frame.to_csv(tmp_path / "x.csv", index=False)
    path = str(tmp_path / "x.csv")
    training, _ = table(path=path, **{**TABLE, "label_column": "kind", "standardise": True})
    assert tuple(training.pixels.shape) == (60, 1, 1, 4)
    torch.testing.assert_close(training.pixels.mean(0).flatten(), torch.zeros(4), atol=1e-5, rtol=0)
    deviations = training.pixels.std(0, correction=0).flatten()
    torch.testing.assert_close(deviations, torch.tensor([1.0, 1.0, 1.0, 0.0]), atol=1e-5, rtol=0)
    assert set(training.labels.tolist()) == {0, 1}
    with pytest.raises(UserError) as refused:
        table(path=path, **TABLE)
    assert refused.value.code == Code.INVALID
    assert "kind" in str(refused.value)


PIXELS = torch.rand(12, 1, 4, 4)
KINDS = torch.arange(12) % 2
RETURNED = {
    "an array": PIXELS.numpy(),
    "a tensor": PIXELS,
    "with labels": (PIXELS, KINDS),
    "with names": (PIXELS.numpy()[:, 0], ["cat", "dog"] * 6),
    "two parts": (PIXELS[:9], PIXELS[9:]),
    "two parts with labels": ((PIXELS[:9], KINDS[:9]), (PIXELS[9:], KINDS[9:])),
    "a Dataset": TensorDataset(PIXELS, KINDS),
    "two Datasets": (TensorDataset(PIXELS[:9]), TensorDataset(PIXELS[9:])),
    "a dict": {"train": PIXELS[:9], "test": PIXELS[9:]},
    "a dict as an npz": {"x": PIXELS, "y": KINDS},
    "a list of images": list(PIXELS),
    "our own": Splits(Images(PIXELS[:9], KINDS[:9]), Images(PIXELS[9:], KINDS[9:])),
}


@pytest.mark.parametrize("returned", RETURNED.values(), ids=RETURNED.keys())
def test_what_a_function_may_return(returned: Any) -> None:
    training, test = own(function=lambda: returned, layout="auto", **SPLIT)
    assert (len(training.pixels), len(test.pixels)) == (9, 3)
    assert training.pixels.shape[1:] == (1, 4, 4)
    everything = torch.cat([training.pixels, test.pixels]).flatten(1).sum(1).sort().values
    torch.testing.assert_close(everything, PIXELS.flatten(1).sum(1).sort().values)


def test_any_dataset_of_torchvision(tmp_path: Path) -> None:
    arguments = {"size": 20, "image_size": [3, 6, 5], "num_classes": 4}
    training, test = torchvision_images(dataset="FakeData", arguments=arguments, data_dir=str(tmp_path), **SPLIT)
    assert (tuple(training.pixels.shape), tuple(test.pixels.shape)) == ((15, 3, 6, 5), (5, 3, 6, 5))
    original = FakeData(20, (3, 6, 5), 4)
    first = torch.from_numpy(np.array(original[0][0])).movedim(2, 0)
    assert any(torch.equal(image, first) for image in torch.cat([training.pixels, test.pixels]))
    for dataset, wrong, key in (("MNIT", {}, "data.dataset"), ("FakeData", {"colour": 1}, "data.arguments")):
        with pytest.raises(UserError) as refused:
            torchvision_images(dataset=dataset, arguments=wrong, data_dir=str(tmp_path), **SPLIT)
        assert key in refused.value.about


# What a value means ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (torch.tensor([[0, 255, 17]], dtype=torch.uint8), "bytes"),
        (torch.tensor([[0, 1, 1]], dtype=torch.uint8), "binary"),
        (torch.tensor([[True, False]]), "binary"),
        (torch.tensor([[0.0, 1.0, 0.0]]), "binary"),
        (torch.tensor([[0.0, 0.3, 1.0]]), "unit"),
        (torch.tensor([[0, 3, 900]], dtype=torch.int32), "counts"),
        (torch.tensor([[0, 3, 200]], dtype=torch.int64), "counts"),
        (torch.tensor([[0.0, 3.0, 9.0]]), "counts"),
        (torch.tensor([[[0.0, 3.0], [9.0, 250.0]]]), "bytes"),
        (torch.tensor([[-1.0, 0.5]]), "real"),
        (torch.tensor([[0.5, 300.0]]), "real"),
        (torch.tensor([[-3, 4]]), "real"),
    ],
)
def test_a_value_means_what_its_type_and_range_say(values: torch.Tensor, expected: Scale) -> None:
    assert scale_of(values) == expected


def prepared(values: Any, scale: Any = "auto") -> tuple[torch.Tensor, Scale]:
    splits, found = prepared_splits(0, source=lambda: (values, values), validation_size=0, binarize="none", scale=scale)
    return splits["train"].pixels, found


def test_counts_are_not_divided_and_binary_values_are_whole_bytes() -> None:
    counts, scale = prepared(torch.tensor([[0, 300], [7, 1], [2, 2]], dtype=torch.int32))
    assert (counts.dtype, counts.flatten().tolist(), scale) == (torch.float32, [0, 300, 7, 1, 2, 2], "counts")
    binary, scale = prepared(torch.tensor([[True, False], [False, False]]))
    assert (binary.dtype, binary.flatten().tolist(), scale) == (torch.uint8, [255, 0, 0, 0], "binary")
    floats, scale = prepared(torch.tensor([[0, 5], [9, 2]], dtype=torch.uint8), "counts")
    assert (floats.dtype, scale) == (torch.float32, "counts")


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([[0.5, 2.0], [0.1, 0.2]], "unit"),
        ([[-1.0, 2.0], [0.1, 0.2]], "counts"),
        ([[0.5, 2.0], [0.1, 0.2]], "counts"),
        ([[0.0, 256.0], [1.0, 2.0]], "bytes"),
        ([[0.0, 2.0], [1.0, 0.0]], "binary"),
    ],
)
def test_a_scale_that_the_values_contradict_is_refused(values: list[list[float]], scale: str) -> None:
    with pytest.raises(UserError) as refused:
        prepared(torch.tensor(values), scale)
    assert (refused.value.code, refused.value.about) == (Code.INCOMPATIBLE, ("data.scale",))


# What is no data ------------------------------------------------------------------------------------------------

NO_DATA = {
    "one image": (torch.rand(1, 4, 4), Code.INVALID),
    "no image": (torch.rand(0, 4, 4), Code.INVALID),
    "no pixel": (torch.rand(9, 0), Code.INVALID),
    "NaN": (torch.tensor([[0.0, float("nan")], [1.0, 1.0]]), Code.NOT_FINITE),
    "infinity": (torch.tensor([[0.0, 1.0], [float("inf"), 1.0]]), Code.NOT_FINITE),
    "one dimension": (torch.rand(9), Code.INVALID),
    "five dimensions": (torch.rand(3, 3, 3, 3, 3), Code.INVALID),
    "an ambiguous shape": (torch.rand(9, 3, 5, 3), Code.INCOMPATIBLE),
    "words": (np.array(["a", "b"]), Code.INVALID),
    "two images of different sizes": ([torch.rand(4, 4), torch.rand(3, 4)], Code.INVALID),
    "three arrays": ((torch.rand(9, 4), torch.rand(9, 4), torch.rand(9, 4)), Code.INVALID),
    "a string": ("x.npy", Code.INVALID),
    "complex numbers": (torch.rand(9, 4).to(torch.complex64), Code.INVALID),
    "None": (None, Code.INVALID),
    "too few labels": ((torch.rand(9, 4), torch.zeros(8)), Code.INCOMPATIBLE),
    "labels between the classes": ((torch.rand(9, 4), torch.full((9,), 0.5)), Code.INVALID),
}


@pytest.mark.parametrize(("found", "code"), NO_DATA.values(), ids=NO_DATA.keys())
def test_what_is_no_data_has_one_clear_error(found: Any, code: Code) -> None:
    with pytest.raises(UserError) as refused:
        check_parts(Splits(as_images(found), as_images(found)))
    assert refused.value.code == code
    assert all(key.startswith("data") for key in refused.value.about)


def test_parts_of_different_shapes_are_refused() -> None:
    with pytest.raises(UserError) as refused:
        check_parts(as_splits((torch.rand(9, 4, 4), torch.rand(9, 5, 4))))
    assert refused.value.code == Code.INCOMPATIBLE


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("missing.npy", None, Code.MISSING),
        ("x.txt", b"1", Code.INVALID),
        ("torn.npy", b"\x93NUMPY\x01", Code.DAMAGED),
        ("torn.npz", b"PK", Code.DAMAGED),
        ("torn.pt", b"no", Code.DAMAGED),
    ],
)
def test_a_file_that_cannot_be_read_is_named(name: str, content: bytes | None, code: Code, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as refused:
        array(path=str(path), **ARRAY)
    assert refused.value.code == code
    assert refused.value.about == ("data.path", str(path))


def test_a_folder_without_images_and_a_torn_image_are_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(UserError) as refused:
        folder(path=str(tmp_path), **FOLDER)
    assert refused.value.code == Code.NOT_FOUND
    for name in ("a.png", "b.png"):
        Image.fromarray(grey(1)[0]).save(tmp_path / name)
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:60])
    with pytest.raises(UserError) as refused:
        folder(path=str(tmp_path), **FOLDER)
    assert refused.value.code == Code.DAMAGED
    assert str(tmp_path / "b.png") in refused.value.about


def test_data_that_do_not_fit_into_memory_are_refused_with_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(grey(1)[0]).save(tmp_path / "a.png")
    Image.fromarray(grey(1)[0]).save(tmp_path / "b.png")
    monkeypatch.setattr("vae_lightning.data.memory.available_bytes", lambda: 30)
    with pytest.raises(UserError) as refused:
        folder(path=str(tmp_path), **FOLDER)
    assert refused.value.code == Code.INCOMPATIBLE


# Which run it is ------------------------------------------------------------------------------------------------


@pytest.fixture
def of_array(configure: Callable[..., Config]) -> Callable[..., Config]:
    def configured(path: Path, *overrides: str) -> Config:
        small = ["data=array", f"data.path={path}", "model=linear", "latent_dim=2", "trainer.max_epochs=1"]
        return configure(*small, *overrides)

    return configured


def test_a_changed_file_is_another_run_and_the_same_file_elsewhere_is_the_same(
    of_array: Callable[..., Config], tmp_path: Path
) -> None:
    values = grey(40)
    np.save(tmp_path / "x.npy", values)
    (tmp_path / "elsewhere").mkdir()
    np.save(tmp_path / "elsewhere" / "y.npy", values)
    first, moved = (checked(of_array(tmp_path / name)) for name in ("x.npy", "elsewhere/y.npy"))
    assert first.fingerprint == moved.fingerprint
    results = train(first)
    assert results["steps"] == 1
    values[3, 2, 1] ^= 1
    np.save(tmp_path / "x.npy", values)
    changed = checked(of_array(tmp_path / "x.npy"))
    assert changed.fingerprint != first.fingerprint
    with pytest.raises(UserError) as refused:  # whoever evaluates the earlier run
        checked({key: value for key, value in first.plain().items() if key != "run"})
    assert refused.value.code == Code.CHANGED


def test_digests_are_remembered_by_size_and_time(
    of_array: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("vae_lightning.data.content.YOUNG_S", -1.0)
    np.save(tmp_path / "x.npy", grey(40))
    before = checked(of_array(tmp_path / "x.npy")).fingerprint
    known = json.loads((tmp_path / "cache" / "vae-lightning" / "digests.json").read_text())
    assert list(known) == [str(tmp_path / "x.npy")]
    with monkeypatch.context() as patch:
        patch.setattr("vae_lightning.data.content._digest_of_file", None)  # it is not read again
        assert checked(of_array(tmp_path / "x.npy")).fingerprint == before
    np.save(tmp_path / "x.npy", 255 - grey(40))
    os.utime(tmp_path / "x.npy", ns=(0, known[str(tmp_path / "x.npy")][1]))  # as a copy that keeps times does
    assert checked(of_array(tmp_path / "x.npy")).fingerprint != before


def test_what_a_function_gives_is_in_the_fingerprint(
    configure: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = ["data=own", "data.function._target_=own_parts.values_and_kinds", "model=linear"]
    before = checked(configure(*choice))
    assert checked(configure(*choice)).fingerprint == before.fingerprint
    assert checked(configure(*choice, "+data.function.n=50")).fingerprint != before.fingerprint
    changed = values_and_kinds()
    changed[0][0, 0, 0] += 0.001
    monkeypatch.setattr("own_parts.values_and_kinds", lambda: changed)
    assert checked(configure(*choice)).fingerprint != before.fingerprint
    with pytest.raises(UserError) as refused:  # a run that is evaluated, or goes on
        checked({key: value for key, value in before.plain().items() if key != "run"})
    assert refused.value.code == Code.CHANGED


def test_keys_beside_the_source_are_the_sources(configure: Callable[..., Config], tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", grey(40))
    with pytest.raises(UserError) as refused:
        checked(configure("data=array"))
    assert (refused.value.code, refused.value.about) == (Code.MISSING, ("data.path",))
    with pytest.raises(UserError) as refused:
        checked(configure("data=array", f"data.path={tmp_path / 'x.npy'}", "data.layout=HWN"))
    assert (refused.value.code, refused.value.about) == (Code.INVALID, ("data.layout",))
    sizes = [len(build_data(checked(configure("data=linear_gaussian", key))).splits["train"].pixels)
             for key in ("data.source.n_training=300", "+data.n_training=300")]  # fmt: skip
    assert sizes == [300, 300]


# Any number of images -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drop_last", [False, True])
def test_any_number_of_images_goes_with_any_batch_size(
    drop_last: bool, of_array: Callable[..., Config], tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", grey(53))
    config = of_array(tmp_path / "x.npy", "data.batch_size=7", f"data.drop_last={drop_last}", "data.test_fraction=0.1")
    data = build_data(checked(config))
    n_training = len(data.splits["train"].pixels)
    assert n_training == 48
    sizes = [len(batch.pixels) for batch in data.train_dataloader().batches()]
    assert sizes == [7] * 6 + ([] if drop_last else [6])
    assert data.steps_per_epoch == len(sizes)
    assert data.smallest_batch == min(sizes)
    assert train(config)["steps"] == len(sizes)

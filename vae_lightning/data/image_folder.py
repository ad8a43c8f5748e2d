"""A folder of images -> the two parts: decoded once into memory, by several threads, with progress."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import Field, NonNegativeInt
from rich.console import Console
from rich.progress import track
from torch import Tensor

from vae_lightning.data.accepted import Fraction, split_off
from vae_lightning.data.files import existing
from vae_lightning.data.memory import check_fits
from vae_lightning.data.splits import Images, Splits
from vae_lightning.errors import Code, UserError, first_line

Channels = Literal["auto", "grey", "colour"]
Side = Annotated[int, Field(ge=1)]
PARTS = ("train", "test")
"""Subfolders of these names are the two parts."""
MANY = 2_000
"""From so many images on, progress is shown."""
GREY_MODES = ("1", "L", "I;16", "I")


def folder(
    *,
    path: str,
    test_path: str | None,
    test_fraction: Fraction,
    split_seed: NonNegativeInt,
    size: Annotated[Sequence[Side], Field(min_length=2, max_length=2)] | None,
    crop: bool,
    channels: Channels,
) -> Splits:
    """Return the images in a folder, of any format that Pillow reads. Its subfolders are the classes.

    Args:
        path: the folder; what is transparent in an image is white. Where its subfolders are ``train`` and ``test``,
            these are the two parts.
        test_path: the folder of the test part; None: ``test_fraction`` of the images.
        test_fraction: drawn by ``split_seed``, the same for all runs.
        split_seed: of that draw.
        size: height and width to which images are resized; None: they must all have one size.
        crop: cut the longer side first, at the centre, so that resizing keeps the proportions.
        channels: grey, colour, or auto: grey where all images are.

    Raises:
        UserError: there are no images, one cannot be read, sizes differ, or all do not fit into memory.
    """
    root = _existing_folder(path, "data.path")
    shape = (size[0], size[1]) if size is not None else None
    if test_path is not None:
        parts = [root, _existing_folder(test_path, "data.test_path")]
    else:
        parts = [root / part for part in PARTS] if sorted(_subfolders(root)) == sorted(PARTS) else [root]
    files = [_image_files(part) for part in parts]
    every = [file for some in files for file in some]
    kind = channels if channels != "auto" else _kind_of(every)
    if shape is None:
        shape = _common_size(every)
    check_fits(len(every) * shape[0] * shape[1] * (1 if kind == "grey" else 3), f"{len(every):,} images", "data.size")
    names = sorted(
        {name for part, some in zip(parts, files, strict=True) for name in (_class_of(file, part) for file in some)}
    )
    decoded = [
        Images(_decoded(some, shape, crop, kind), torch.tensor([names.index(_class_of(file, part)) for file in some]))
        for part, some in zip(parts, files, strict=True)
    ]
    return Splits(*decoded) if len(decoded) > 1 else split_off(decoded[0], test_fraction, split_seed)


def _existing_folder(path: str, key: str) -> Path:
    found = existing(path, key)
    if not found.is_dir():
        raise UserError(f"{key}={path}: not a folder; for a file of arrays take data=array", Code.INVALID, [key, path])
    return found


def _subfolders(root: Path) -> list[str]:
    return [child.name for child in root.iterdir() if child.is_dir()]


def _image_files(root: Path) -> list[Path]:
    suffixes = Image.registered_extensions()
    found = sorted(file for file in root.rglob("*") if file.suffix.lower() in suffixes and file.is_file())
    if not found:
        there = sorted({file.suffix for file in root.rglob("*") if file.is_file()})
        other = f"files end in {', '.join(there)}" if there else "nor any other file"
        message = f"data.path={root}: there are no images in it or below ({other})"
        raise UserError(message, Code.NOT_FOUND, ["data.path", root])
    return found


def _class_of(file: Path, root: Path) -> str:
    """Return the name of the subfolder that a file is in; empty for one that is in none."""
    parts = file.relative_to(root).parts
    return parts[0] if len(parts) > 1 else ""


def _opened(file: Path) -> Any:
    try:
        return Image.open(file)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> UserError:
    return UserError(
        f"data.path: {file} cannot be read as an image ({first_line(error)})", Code.DAMAGED, ["data.path", file]
    )


def _kind_of(files: Sequence[Path]) -> Channels:
    for file in files:
        with _opened(file) as image:
            if image.mode not in GREY_MODES:
                return "colour"
    return "grey"


def _common_size(files: Sequence[Path]) -> tuple[int, int]:
    """Return height and width of all images. Raises UserError where they differ."""
    sizes: dict[tuple[int, int], Path] = {}
    for file in files:
        with _opened(file) as image:
            sizes.setdefault((image.height, image.width), file)
        if len(sizes) > 1:
            told = " and ".join(f"{height}x{width} ({file.name})" for (height, width), file in sizes.items())
            message = f"data.size: images have different sizes, as {told}; give one size for all, as data.size=[32,32]"
            raise UserError(message, Code.MISSING, ["data.size"])
    return next(iter(sizes))


def _decoded(files: Sequence[Path], size: tuple[int, int], crop: bool, kind: Channels) -> Tensor:
    n_channels = 1 if kind == "grey" else 3
    pixels = torch.empty(len(files), n_channels, *size, dtype=torch.uint8)

    def decode(index: int) -> None:
        with _opened(files[index]) as image:
            try:
                pixels[index] = _as_bytes(image, size, crop, kind)
            except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises of a torn file
                raise _unreadable(files[index], error) from error

    with ThreadPoolExecutor() as threads:
        console = Console(stderr=True, quiet=len(files) < MANY)
        for _ in track(
            threads.map(decode, range(len(files))), "decoding images", len(files), console=console, transient=True
        ):
            pass
    return pixels


def _as_bytes(image: Any, size: tuple[int, int], crop: bool, kind: Channels) -> Tensor:
    if image.mode in {"I;16", "I"}:  # 16 bits, of which Pillow would keep the lower eight
        image = Image.fromarray(np.round(np.asarray(image, dtype=np.float64) / 257).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if kind == "grey" else "RGB")
    height, width = size
    if (image.height, image.width) != size:
        image = (
            ImageOps.fit(image, (width, height)) if crop else image.resize((width, height), Image.Resampling.BICUBIC)
        )
    values = torch.from_numpy(np.array(image))
    return values[None] if kind == "grey" else values.movedim(2, 0)


folder.files = ("path", "test_path")  # type: ignore[attr-defined]

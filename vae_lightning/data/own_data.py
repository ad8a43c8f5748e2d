"""A user's own data: files of arrays and tables, a Dataset of torchvision, whatever a function of theirs returns.

Each is one value of ``data.source`` in ``conf/data/``, and returns the two parts.
"""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt

from vae_lightning.data.accepted import Fraction, Layout, as_images, as_labels, as_splits, check_parts, split_off
from vae_lightning.data.files import Part, existing, numbers_of_table, read_array, read_file, read_table
from vae_lightning.data.splits import Images, Splits
from vae_lightning.errors import Code, UserError, first_line
from vae_lightning.spelling import did_you_mean


def array(
    *,
    path: str,
    labels: str | None,
    test_path: str | None,
    test_labels: str | None,
    test_fraction: Fraction,
    split_seed: NonNegativeInt,
    layout: Layout,
) -> Splits:
    """Return the arrays of a file, as images of any size or as the rows of a table.

    Args:
        path: ``.npy``, ``.npz`` or ``.pt``. A test part that is in it (x_train and x_test) is used.
        labels: a file with a class for each; those in ``path`` (y) need none.
        test_path: the test part; None: ``test_fraction`` of the rest.
        test_labels: its labels.
        test_fraction: drawn by ``split_seed``, the same for all runs.
        split_seed: of that draw.
        layout: the order of the dimensions.

    Raises:
        UserError: a file is missing or damaged, or its shape is that of no images.
    """
    content = read_file(path, "data.path")
    training = _with_labels(content.training, labels, "data.labels", layout, "training")
    if test_path is not None:
        test = _with_labels(
            read_file(test_path, "data.test_path").training, test_labels, "data.test_labels", layout, "test"
        )
        return Splits(training, test)
    if content.test is not None:
        return Splits(training, _with_labels(content.test, test_labels, "data.test_labels", layout, "test"))
    return split_off(training, test_fraction, split_seed)


def _with_labels(part: Part, labels: str | None, key: str, layout: Layout, name: str) -> Images:
    images = as_images((part.values, part.labels), layout, name)
    return (
        images
        if labels is None
        else Images(images.pixels, as_labels(read_array(labels, key), len(images.pixels), name))
    )


def table(
    *,
    path: str,
    label_column: str | None,
    test_path: str | None,
    test_fraction: Fraction,
    split_seed: NonNegativeInt,
    standardise: bool,
) -> Splits:
    """Return the rows of a table as vectors: images of 1 x 1 x columns.

    Args:
        path: ``.csv``, ``.tsv``, ``.parquet`` or ``.npy``.
        label_column: the name of the column that holds a class for each row; it is none of the values.
        test_path: another such file; None: ``test_fraction`` of the rows.
        test_fraction: drawn by ``split_seed``, the same for all runs.
        split_seed: of that draw.
        standardise: subtract each column's mean and divide by its standard deviation, both of the training part.

    Raises:
        UserError: a file is missing, a column has no numbers, or a value is missing.
    """
    training = _rows(path, label_column, "data.path")
    if test_path is None:
        splits = split_off(training, test_fraction, split_seed)
    else:
        splits = Splits(training, _rows(test_path, label_column, "data.test_path"))
    if not standardise:
        return splits
    check_parts(splits)
    values = splits.training.pixels.double()
    mean, deviation = values.mean(0), values.std(0, correction=0)
    deviation[deviation == 0] = 1  # a column that never varies becomes 0

    def standardised(images: Images) -> Images:
        return images._replace(pixels=((images.pixels.double() - mean) / deviation).float())

    return Splits(standardised(splits.training), standardised(splits.test))


def _rows(path: str, label_column: str | None, key: str) -> Images:
    if Path(path).suffix == ".npy":
        return as_images(read_array(path, key), "table", key)
    found = existing(path, key)
    try:
        columns = read_table(found)
    except (ValueError, OSError, ImportError) as error:
        raise UserError(f"{key}={path}: cannot be read ({first_line(error)})", Code.DAMAGED, [key, path]) from error
    labels = None
    if label_column is not None:
        if label_column not in columns:
            hint = did_you_mean(label_column, map(str, columns.columns))
            message = f"data.label_column={label_column}: not a column of {found.name}; {hint}"
            raise UserError(message, Code.INVALID, ["data.label_column"])
        labels = columns.pop(label_column).to_numpy()
    return as_images((numbers_of_table(columns, found.name), labels), "table", key)


def torchvision_images(
    *, dataset: str, arguments: Mapping[str, Any], data_dir: str, test_fraction: Fraction, split_seed: NonNegativeInt
) -> Splits:
    """Return any Dataset of ``torchvision.datasets``, its images turned into tensors.

    Args:
        dataset: the name of the class, as KMNIST.
        arguments: what else it takes, as ``{split: letters}``.
        data_dir: where its files lie; what is missing is downloaded there.
        test_fraction: of one that has no test part, drawn by ``split_seed``.
        split_seed: of that draw.

    Raises:
        UserError: there is no such class, or it cannot be had with these arguments.
    """
    from torchvision import datasets

    if dataset not in datasets.__all__:
        message = f"data.dataset={dataset}: not in torchvision.datasets; {did_you_mean(dataset, datasets.__all__)}"
        raise UserError(message, Code.INVALID, ["data.dataset"])
    make = getattr(datasets, dataset)
    takes = inspect.signature(make).parameters
    general = {name: value for name, value in (("root", data_dir), ("download", True)) if name in takes}
    try:
        if "train" in takes and "train" not in arguments:
            parts = [_of_torchvision(make(**general, train=train, **arguments)) for train in (True, False)]
        elif "split" in takes and "split" not in arguments and takes["split"].default == "train":
            parts = [_of_torchvision(make(**general, split=split, **arguments)) for split in ("train", "test")]
        else:
            return as_splits(
                _of_torchvision(make(**general, **arguments)), test_fraction=test_fraction, split_seed=split_seed
            )
    except (TypeError, ValueError, RuntimeError, OSError) as error:
        message = f"data.dataset={dataset}: {first_line(error)}; its arguments are {', '.join(takes)}"
        raise UserError(message, Code.UNAVAILABLE, ["data.dataset", "data.arguments"]) from error
    return Splits(*(as_images(part, "auto", name) for part, name in zip(parts, ("training", "test"), strict=True)))


def _of_torchvision(dataset: Any) -> Any:
    """Return the arrays that a Dataset holds, or the Dataset itself: to be gone through item by item."""
    held = getattr(dataset, "data", None)
    labels = getattr(dataset, "targets", getattr(dataset, "labels", None))
    if getattr(dataset, "transforms", None) is None and hasattr(held, "shape") and labels is not None:
        return held, labels
    return dataset


def own(*, function: Callable[..., Any], test_fraction: Fraction, split_seed: NonNegativeInt, layout: Layout) -> Splits:
    """Return what a function or Dataset of the user's gives: see :func:`vae_lightning.data.accepted.as_splits`.

    Args:
        function: called without arguments (Hydra has bound those of the config).
        test_fraction: of what has no test part, drawn by ``split_seed``.
        split_seed: of that draw.
        layout: the order of the dimensions.
    """
    try:
        found = as_splits(function(), layout=layout, test_fraction=test_fraction, split_seed=split_seed)
    except UserError:
        raise
    except Exception as error:
        name = getattr(getattr(function, "func", function), "__qualname__", str(function))
        message = f"data.function: {name}, or what it gave, raised {type(error).__name__}: {first_line(error)}"
        raise UserError(message, Code.CANNOT_BUILD, ["data.function"]) from error
    return found


array.files = ("path", "labels", "test_path", "test_labels")  # type: ignore[attr-defined]
table.files = ("path", "test_path")  # type: ignore[attr-defined]

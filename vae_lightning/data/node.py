"""The ``data`` section as it is typed -> as it is built: what the data module does not take is its source's.

So ``data.path=x.npy`` and ``data.source.path=x.npy`` are the same, whatever the source.
"""

from typing import Any

Node = dict[str, Any]
DATA_MODULE = "vae_lightning.data.ImageDataModule"
MODULE_KEYS = ("batch_size", "evaluation_batch_size", "validation_size", "binarize", "scale", "drop_last")
"""What :class:`vae_lightning.data.ImageDataModule` takes beside the seed and the source."""
CONTENT = "content"
"""The key of a digest of the data, where nothing else in the section decides what they are."""
NOT_OF_THE_SOURCE = ("name", "_target_", "source", CONTENT, *MODULE_KEYS)
FILES = ("path", "labels", "test_path", "test_labels")
"""Arguments of a source that name a file or a folder. Beside a digest they decide nothing."""


def nested(node: Any) -> Any:
    """Return the section with the source's keys in the source; one of another kind as it is."""
    if not is_ours(node):
        return node
    flat = {key: value for key, value in node.items() if key not in NOT_OF_THE_SOURCE}
    kept = {key: value for key, value in node.items() if key in NOT_OF_THE_SOURCE}
    return {**kept, "source": {**node["source"], **flat}}


def is_ours(node: Any) -> bool:
    """Say whether a section is of our data module, with a source."""
    return isinstance(node, dict) and node.get("_target_") == DATA_MODULE and isinstance(node.get("source"), dict)


def typed_key(key: str, node: Any) -> str:
    """Return the full name by which a key was typed: without ``source`` where it stood beside it."""
    prefix = "data.source."
    first = key.removeprefix(prefix).partition(".")[0]
    return f"data.{key.removeprefix(prefix)}" if key.startswith(prefix) and is_ours(node) and first in node else key

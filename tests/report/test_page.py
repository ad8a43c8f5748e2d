"""The page: exact values, which run is which, and that it works in a real browser."""

import base64
import csv
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from fixtures import finished, grid, results, write_config
from PIL import Image

from vae_lightning.errors import Code, UserError
from vae_lightning.report.page import page, write_report
from vae_lightning.report.page_table import table
from vae_lightning.report.pictures import heat_map, sprite, thumbnail
from vae_lightning.runs.status import RunStatus, find_runs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.renders


def middle_of(picture: bytes) -> tuple[int, ...]:
    with Image.open(io.BytesIO(picture)) as opened:
        return opened.convert("RGB").getpixel((opened.width // 2, opened.height // 2))


def states(folder: Path) -> dict[str, RunStatus]:
    return {run.name: run.status for run in find_runs([folder]).runs}


@pytest.fixture
def mixed(tmp_path: Path) -> Iterator[Path]:
    """A directory with a run of each kind, and with what others left there."""
    folder = tmp_path / "runs with spaces & <signs>"
    finished(folder, "done", **{"kl_weight": 1.0})
    shutil.copytree(folder / "done", folder / "done.20260101-000000")  # set aside by rerun=true
    for name in ("failed", "interrupted", "running", "torn"):
        write_config(folder / name, 2.0)
    (folder / "failed" / "failure.json").write_text(json.dumps({"reason": "the disk <b>was</b> full", "log": None}))
    (folder / "torn" / "results.json").write_text('{"run": "torn", "te')
    (folder / "running" / "metrics.jsonl").write_text(
        '{"step": 4, "epoch": 0, "test/elbo": -321.5, "test/active_units": 2}\n{"step": 9, "epo'
    )
    (folder / "done" / "wandb" / "files").mkdir(parents=True)
    (folder / "done" / "wandb" / "files" / "config.yaml").write_text("wandb: 1")
    for name, text in (("alien", '{"loss": 1}'), ("[bold]list", "[1]"), ("half", '{"run": "half", "acc": 3}')):
        (folder / name).mkdir()
        (folder / name / "results.json").write_text(text)
    (folder / "alien2").mkdir()
    (folder / "alien2" / "config.yaml").write_text("run: {directory: null}")
    (folder / "link").symlink_to(folder / "done")
    with FileLock(folder / "running" / ".lock"):
        yield folder


def test_which_run_is_which(mixed: Path) -> None:
    assert states(mixed) == {
        "done": RunStatus.FINISHED,
        "failed": RunStatus.FAILED,
        "interrupted": RunStatus.INTERRUPTED,
        "running": RunStatus.RUNNING,
        "torn": RunStatus.FAILED,
    }
    found = find_runs([mixed, mixed / "done"])
    assert {path.name for path in found.foreign} == {"alien", "[bold]list", "half", "alien2"}
    text = page(found, mixed)
    for part in ("1 finished", "2 failed", "1 running", "1 interrupted", "4 foreign", "-321.50"):
        assert part in text
    assert "the disk &lt;b&gt;was&lt;/b&gt; full" in text
    assert "<b>was" not in text
    assert "Where does it &lt;collapse&gt;?" in text


def test_the_table_has_the_exact_values(tmp_path: Path) -> None:
    grid(tmp_path)
    write_report(find_runs([tmp_path]), tmp_path / "out")
    lines = list(csv.DictReader((tmp_path / "out" / "results.csv").read_text().splitlines()))
    assert len(lines) == 12
    [row] = [row for row in lines if row["run"] == "cyclical_linear-w5-s1"]
    expected = {
        "state": "finished", "kl_weight": "5.0", "kl_weight_times_variance": "2.5", "seed": "1", "test/elbo": "-106.25",
        "test/kl": "0.9", "test/distortion": "100.75", "test/active_units": "1", "forecast/active_units": "1",
        "kl_if_linear": "2.0", "test/log_px": "-105.5", "verdict": "pruned", "epochs": "3",
    }  # fmt: skip
    assert {key: row[key] for key in expected} == expected
    assert row["directory"] == str(tmp_path / "cyclical_linear-w5-s1")


def test_a_page_needs_no_network_and_says_how_it_was_made(tmp_path: Path) -> None:
    grid(tmp_path)
    text = write_report(find_runs([tmp_path]), tmp_path).read_text()
    assert "http" not in text.replace("http://www.w3.org", "")
    assert "vae-train -m experiment=toy kl_weight=1,5" in text
    assert "vae-lightning 0.3.0, torch 2.15.0" in text
    assert 'href="constant-w1-s0/"' in text
    assert text.count("<article") == 12
    assert text.count("<svg") == 4 + 1  # the charts, and the schedules
    for told in (
        "constant: at 1 units 2, directions 2, at 5 units 1, directions 1, at 20 units 0, directions 0; cyclical_",
        "at 5 ELBO -105.8 (-106.2 to -105.2), L10 -105 (-105.5 to -104.5)",
        "at 20 rate 0.225, distortion 115.8",
        "KL weight in force over the training: constant, cyclical_linear",
    ):
        assert told in text


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    finished(tmp_path, "a")
    with pytest.raises(UserError) as refused:
        write_report(find_runs([tmp_path]), Path("/dev/null/out"))
    assert (refused.value.code, refused.value.about) == (Code.CANNOT_WRITE, ("/dev/null/out",))


def test_runs_that_no_chart_can_show_are_counted(tmp_path: Path) -> None:
    finished(tmp_path, "free", 0.0)
    text = page(find_runs([tmp_path]), tmp_path)
    assert "1 run with KL weight 0" in text
    assert "rate 9, distortion 95.75" in text  # in the plane of rates it has its place


def test_schedules_that_differ_in_a_setting_are_told_apart(tmp_path: Path) -> None:
    found = results("a", 1.0, schedule="cyclical_linear")
    for n_cycles in (4, 8):
        settings = {**found["settings"], "beta_schedule.n_cycles": n_cycles}
        finished(tmp_path, f"cycles{n_cycles}", schedule="cyclical_linear", settings=settings)
    finished(tmp_path, "short", schedule="cyclical_linear", epochs=1)
    text = page(find_runs([tmp_path]), tmp_path)
    for name in ("n_cycles=4, epochs=3", "n_cycles=8, epochs=3", "n_cycles=4, epochs=1"):
        assert f"cyclical_linear, {name}" in text


def test_what_is_held_out_in_training_is_not_taken_for_test_images(tmp_path: Path) -> None:
    write_config(tmp_path / "going")
    lines = [{"step": 4, "epoch": 0, "val/elbo": -321.5}, {"step": 5, "epoch": 1, "train/elbo": -300.0}]
    (tmp_path / "going" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = page(find_runs([tmp_path]), tmp_path)
    assert "-321.50 (val)" in text
    assert "epochs=1 " in text  # the second has begun only


def test_a_row_is_found_by_each_of_its_settings(tmp_path: Path) -> None:
    found = results("a", 1.0)
    for binarize, n_cycles in (("none", 4), ("dynamic", 8)):
        settings = {**found["settings"], "data.binarize": binarize, "optimizer.lr": n_cycles}
        finished(tmp_path, binarize, settings=settings)
    _, [dynamic, _] = table([(run, []) for run in find_runs([tmp_path]).runs], tmp_path)
    for word in ("data.binarize=dynamic", "optimizer.lr=8", "kl_weight=1", "seed=0", "epochs=3"):
        assert f" {word} " in dynamic["words"]  # as the page looks for what has an equals sign
    assert " data.binarize=none " not in dynamic["words"]


def test_files_that_no_report_wrote_stay(tmp_path: Path) -> None:
    finished(tmp_path, "a")
    write_report(find_runs([tmp_path]), tmp_path)
    write_report(find_runs([tmp_path]), tmp_path)
    (tmp_path / "results.csv").write_text("subject,age\n")
    with pytest.raises(UserError) as refused:
        write_report(find_runs([tmp_path]), tmp_path)
    assert (refused.value.code, refused.value.about) == (Code.CANNOT_WRITE, (str(tmp_path / "results.csv"),))
    assert (tmp_path / "results.csv").read_text() == "subject,age\n"


def test_names_need_not_be_utf8(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    finished(folder, "a")
    (folder / os.fsdecode(b"\xff")).mkdir()
    (folder / os.fsdecode(b"\xff") / "results.json").write_text("{}")
    text = write_report(find_runs([tmp_path]), tmp_path).read_text()
    assert "caf%E9/a/" in text
    assert b"caf\xe9/a" in (tmp_path / "results.csv").read_bytes()


def test_heat_maps_are_a_cell_a_pixel_and_dead_units_dark() -> None:
    uri = heat_map([[0.0, 1.0], [0.0, 2.0], [0.0, None]])
    assert uri is not None
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as picture:
        assert picture.size == (3, 2)
        dark = picture.getpixel((2, 1))
        assert picture.getpixel((1, 1)) != dark
    assert heat_map([]) is None
    assert heat_map([[1e-6, 2e-6]]) == heat_map([[0.0, 0.0]]) != heat_map([[1.0, 2.0]])


def test_a_picture_that_is_none_is_left_out(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.new("L", (300, 200), 90).save(whole, "PNG")
    damaged = whole.getvalue().replace(b"IDAT", b"I\0AT")
    for content in (b"not rendered", b"", damaged):
        (tmp_path / "samples.png").write_bytes(content)
        assert thumbnail(tmp_path / "samples.png") is None
        assert sprite(tmp_path / "samples.png") is None
    assert thumbnail(tmp_path / "nothing.png") is None


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: chromium)")
@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_the_page_works_in_a_browser(scheme: Any, mixed: Path) -> None:
    from playwright.sync_api import sync_playwright

    grid(mixed)
    path = write_report(find_runs([mixed]), mixed)
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
        said: list[str] = []
        view.on("console", lambda message: said.append(message.text))
        view.on("pageerror", lambda error: said.append(str(error)))
        view.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
        view.goto(path.as_uri())
        assert view.evaluate("document.documentElement.scrollWidth") <= 390  # nothing sticks out on a phone

        def column(number: int) -> list[str]:
            return view.locator(f"#runs tbody tr:not([hidden]) td:nth-child({number})").all_inner_texts()

        elbo = view.locator("#runs th button", has_text="ELBO")
        elbo.click()
        rising = [float(text) for text in column(7) if text != "–"]
        assert rising == sorted(rising)
        assert column(7)[-1] == "–"  # what is not there comes last
        elbo.click()
        falling = [float(text) for text in column(7) if text != "–"]
        assert falling == rising[::-1]
        assert column(7)[-1] == "–"
        view.fill("#filter", "kl_weight=2")  # and not 20
        assert view.inner_text("#shown") == "4 of 17 runs"
        view.fill("#filter", "cyclical, seed=1")
        assert len(column(1)) == 3
        assert view.inner_text("#shown") == "3 of 17 runs"
        view.fill("#filter", "")

        assert view.inner_text("#code") == "z = (0.00, 0.00)"
        view.focus("#plane")
        view.keyboard.press("ArrowRight")
        view.keyboard.press("ArrowUp")
        assert view.inner_text("#code") == "z = (0.10, 0.10)"
        assert middle_of(view.locator("#digit").screenshot()) == (0, 0, 0)
        view.hover("#plane", position={"x": 2, "y": 2})
        assert view.inner_text("#code") == "z = (-3.00, 3.00)"
        assert middle_of(view.locator("#digit").screenshot()) == (255, 255, 255)  # the fixture's white digit
        assert said == []
        browser.close()

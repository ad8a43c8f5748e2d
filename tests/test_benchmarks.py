"""The benchmarks measure what they say: the same loss, rivals that take turns, tables of what was found."""

import io
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from benchmarks.alternation import Entrant, alternate, without_paths
from benchmarks.bench import Bench
from benchmarks.catalogue import SECTIONS
from benchmarks.rivals.bare import loss_of, parts_of
from benchmarks.rows import Goal, Row, ratio, spread
from benchmarks.sections import sweep
from benchmarks.tables import Facts, page, terminal_table
from vae_lightning.assemble import build_model
from vae_lightning.config import checked
from vae_lightning.data import digits
from vae_lightning.training_step import TrainingStep

ROWS = [
    Row("mlp", {"bare": spread([4.0, 4.2, 4.4], "s"), "ours / bare": ratio([4.4, 4.2], [4.0, 4.0])},
        [Goal("ours / bare", 1.1), Goal("ours / bare", 1.2, at_least=True)]),
    Row("conv", {"bare": "not | installed", "memory": spread([0.0123], "MB")}, [Goal("ours / bare", 1.0)]),
]  # fmt: skip
RIVAL = """
import sys
from benchmarks.rivals.gate import Gate
gate, name = Gate(), sys.argv[1]
for number in range(int(sys.argv[2])):
    gate.wait()
    with open("turns", "a") as turns:
        turns.write(name)
    gate.note()
gate.wait()
sys.exit(f"{name} has had enough")
"""


def test_the_page_has_a_cell_for_each_value_of_the_rows() -> None:
    written = page(Facts("2026-01-02", "2.9", "3.11", 2, 1), {"First": ("How.", ROWS), "Second": ("Why.", [])})
    lines = [line for line in written.split("## Second")[0].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["what", "bare", "ours / bare", "memory", "goal"]
    assert {len(row) for row in cells} == {5}
    assert cells[2][1:3] == ["4.20 s (4.10 to 4.30)", "1.08 (1.06 to 1.09)"]
    assert [goal.rpartition(": ")[2] for goal in cells[2][4].split("<br>")] == ["met", "missed"]
    assert cells[3][1:4] == ["not / installed", "", "0.0123 MB"]
    assert re.findall(r"^#+ (.*)", written, re.MULTILINE) == ["Benchmarks", "First", "Second"]
    assert {"2026-01-02", "2.9", "3.11"} <= set(re.split(r"[ ,]+", written.splitlines()[2]))


def test_the_table_has_the_same_columns_and_rows() -> None:
    table = terminal_table("First", ROWS)
    assert [column.header for column in table.columns] == ["what", "bare", "ours / bare", "memory", "goal"]
    assert table.row_count == 2
    written = io.StringIO()
    Console(width=200, file=written).print(table)
    assert all(text in written.getvalue() for text in ("4.20 s", "4.10 to 4.30", "0.0123 MB"))


def test_quartiles_lie_within_the_values() -> None:
    assert spread([1.0, 3.0]) == (1.5, 2.0, 2.5, "")
    assert spread([7.0], "s")[:3] == (7.0, 7.0, 7.0)
    assert ratio([2.0, 9.0], [1.0, 3.0])[:3] == (2.25, 2.5, 2.75)


@pytest.mark.parametrize("model", ["mlp", "mlp_small", "conv", "linear"])
def test_the_bare_loss_is_ours_at_the_first_step(configure: Callable[..., dict[str, Any]], model: str) -> None:
    config = configure("data=digits", f"model={model}", "latent_dim=3", "kl_weight=0.7")
    vae = build_model(checked(config), (1, 28, 28))
    encoder, decoder, optimizer = parts_of(config)
    encoder.load_state_dict(vae.encoder.state_dict())
    decoder.load_state_dict(vae.decoder.state_dict())
    pixels = digits().training.pixels[:10].float().div_(255)
    noise = torch.randn(1, 10, 3)
    # Ours is a log-density of variance 1/2, which differs from the sum of squares by a constant for each pixel.
    constant = 784 * 0.5 * math.log(math.pi)
    ours = vae.bound(pixels, noise, 0.7, TrainingStep(0, 10, 10)).loss - constant
    assert loss_of(encoder, decoder, pixels, noise[0], 0.7).item() == pytest.approx(ours.item(), rel=1e-5)
    assert optimizer.param_groups[0]["lr"] == config["optimizer"]["lr"]


def test_rivals_take_turns_until_there_are_enough_or_one_ends(tmp_path: Path) -> None:
    def entrant(name: str, n_stretches: int) -> Entrant:
        return Entrant(name, [sys.executable, "-c", RIVAL, name, str(n_stretches)], 1)

    timed = alternate([entrant("a", 9), entrant("b", 9), entrant("c", 1)], tmp_path, n_rounds=2)
    assert (tmp_path / "turns").read_text() == "abc" + "ba" + "ab"
    assert {name: len(timed.seconds(name)) for name in timed.stretches} == {"a": 2, "b": 2}
    assert list(timed.failures) == ["c"]
    assert "c" in timed.failures["c"].split()


def test_a_shorter_sweep_is_a_part_of_the_recipe() -> None:
    whole = sweep.recipe_of_make()
    recipe = whole.cut(8)
    assert len(recipe.jobs) == 8
    assert {tuple(job) for job in recipe.jobs} < {tuple(job) for job in whole.jobs}
    assert all(override in recipe.text for override in recipe.overrides)


def test_no_path_of_a_machine_is_left_in_a_reason() -> None:
    assert without_paths("no /home/me/x-1/lib.so in /opt: 3 / 4") == "no lib.so in /opt: 3 / 4"


def test_each_section_can_be_measured(tmp_path: Path) -> None:
    assert all(callable(section.measure) for section in SECTIONS.values())
    assert Bench(tmp_path, 1, n_rounds=2).rounds(9) == 2

"""The examples of docs/examples say what their pages say: verdicts, weights, ratios, and the output that is quoted."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from example_run import Run, run
from quoting import EXAMPLES, PEERS, REPOSITORY, filled, is_same, missing, python_for, quotes

SLOW = {"with_pythae", "with_diffusers", "tabular_counts", "own_lightning_module", "blurred", "dead_units"}
SHARED = {"small_vae"}
"""What the examples import, and no example."""
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem not in SHARED)
PAGES = [REPOSITORY / "docs" / "index.md", REPOSITORY / "docs" / "remedies.md", *EXAMPLES.parent.glob("symptoms/*.md")]

MANY = float("inf")
EXPECTED: dict[str, list[dict[str, Any]]] = {
    "averaged_cross_entropy": [
        {"verdict": "collapsed", "kl_weight": 1, "living": 0, "stake": (0.2, 0.6)},
        {"kl_weight": 64, "lives": 0, "onset": (2.5, 4.5), "ceiling": (0.15, 0.3)},
    ],
    "blurred": [
        {"verdict": "pruned", "kl_weight": 1, "living": (1, 8), "kl": (0.2, 0.8), "ratio": (0.8, 1.25)},
        {"kl_weight": 0.03, "living": (12, 16), "kl": (12, 25), "ratio": (0.8, 1.25)},
    ],
    "coefficient_not_applied": [{"verdict": "collapsed", "kl_weight": 1e-3, "living": (1, 8), "ratio": (850, 1150)}],
    "dead_units": [
        {"verdict": "collapsed", "kl_weight": 1, "living": 0, "stake": (0.2, 0.6)},
        {"verdict": "pruned", "kl_weight": 2, "living": (2, 4), "stake": (0, 0.1), "ratio": (0.8, 1.25)},
    ],
    "mse_on_colour_images": [
        {"kl_weight": 768, "lives": 0, "onset": (25, 45), "ceiling": (0.05, 0.25)},
        {"verdict": "pruned", "kl_weight": 768, "living": 0, "kl": (0, 0.05), "ratio": None},
    ],
    "own_lightning_module": [
        {"kl_weight": 0.1, "lives": (14, 16)},
        {"active": (2, 7), "died": (1, 14)},
        {"kl_weight": 0.1, "living": (2, 7), "ratio": (3.4, 4.6)},
    ],
    "plain_pytorch": [
        {"kl_weight": 64, "lives": 0, "onset": (1.2, 1.6), "ceiling": (0.05, 0.1)},
        {"verdict": "pruned", "kl_weight": 64, "living": 0, "kl": (0, 0.01), "ratio": None},
        {"living": (3, 12), "kl": (2, 10), "ratio": (0.8, 1.25)},
    ],
    "samples_are_noise": [
        {"kl_weight": 6.4e-5, "living": 16, "idle": (5, 30), "kl": (60, 120)},
        {"living": (6, 16), "idle": (0, 0.3), "kl": (4, 12), "ratio": (0.8, 1.25)},
    ],
    "sums_and_means_mixed": [
        {"kl_weight": 1, "living": 16, "ratio": (0.0085, 0.0115), "kl": (25, 45)},
        {"kl_weight": 0.01, "living": 16, "ratio": (0.85, 1.15)},
    ],
    "tabular_counts": [
        {"kl_weight": 1, "lives": 10, "onset": (20, 40)},
        {"kl_weight": 1, "lives": (6, 10), "onset": (4, 8)},
        {"verdict": "starved", "living": 10, "stake": (0.4, 2)},
        {"verdict": "pruned", "living": (3, 4), "ratio": (0.8, 1.25)},
    ],
    "unscaled_features": [
        {"kl_weight": 1, "lives": 1, "notes": 1},
        {"kl_weight": 1, "lives": 3, "notes": 0},
        {"kl_weight": 1, "idle": (5, MANY)},
        {"verdict": "pruned", "living": 3, "ratio": (0.8, 1.25)},
    ],
    "which_beta": [{"kl_weight": [0.0064, 0.064, 0.64, 6.4], "lives": [16, 16, 4, 0]}],
    "with_diffusers": [{"kl_weight": 6.4e-4, "living": 2, "idle": (10, 100)}],
    "with_pythae": [
        {"kl_weight": 1, "lives": 0, "onset": (0.6, 0.8)},
        {"verdict": "pruned", "kl_weight": 1, "living": 0, "ratio": None},
    ],
}
"""Of each object that an example returns: a value, or the least and the most that it may be."""


def test_every_example_is_expected_to_say_something() -> None:
    assert sorted(EXPECTED) == NAMES


def ran(name: str) -> Run:
    python = python_for(name)
    if python == Path(sys.executable):
        return run(EXAMPLES / f"{name}.py")
    if not (PEERS / ".ready").exists():
        pytest.skip("pythae and diffusers are in .venv-peers, which is not there: see the Makefile")
    return run_as_a_program(python, name)


def run_as_a_program(python: Path, name: str) -> Run:
    command = [python, Path(__file__).with_name("example_run.py"), EXAMPLES / f"{name}.py"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def is_as_expected(value: Any, expected: Any) -> bool:
    if isinstance(expected, tuple):
        return value is not None and expected[0] <= value <= expected[1]
    return bool(value == (pytest.approx(expected) if isinstance(expected, int | float | list) else expected))


@pytest.mark.filterwarnings("ignore::vae_lightning.callbacks.collapse_monitor.CollapseWarning")
@pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
@pytest.mark.parametrize("name", [pytest.param(each, marks=pytest.mark.slow if each in SLOW else ()) for each in NAMES])
def test_an_example_says_what_it_should_and_what_pages_quote_of_it(name: str) -> None:
    torch.set_num_threads(1)
    found = ran(name)
    wrong = [
        (number, key, facts[key], expected[key])
        for number, (facts, expected) in enumerate(zip(found.facts, EXPECTED[name], strict=True))
        for key in expected
        if not is_as_expected(facts[key], expected[key])
    ]
    assert wrong == []
    stale = [(quote.page.name, line) for quote in quotes() if quote.example == name
             for line in missing(quote, found.printed)]  # fmt: skip
    assert stale == [], "python tests/docs/quoting.py fills in what is printed today"


@pytest.mark.parametrize("name", NAMES)
def test_an_example_tells_symptom_call_and_answer_and_asks_in_five_lines(name: str) -> None:
    module = ast.parse((EXAMPLES / f"{name}.py").read_text(encoding="utf-8"))
    told = re.findall(r"^(\w+): ", ast.get_docstring(module) or "", re.MULTILINE)
    assert told == ["Symptom", "Call", "Answer"]
    main = next(each for each in module.body if isinstance(each, ast.FunctionDef) and each.name == "main")
    asking = [each for each in main.body if "vl." in ast.unparse(each)]
    assert 1 <= len(asking) <= 5


def test_every_page_of_a_symptom_quotes_an_example_and_links_to_it() -> None:
    by_page = {quote.page: quote.example for quote in quotes()}
    for page in EXAMPLES.parent.glob("symptoms/*.md"):
        assert f"(../examples/{by_page[page]}.py)" in page.read_text(encoding="utf-8"), page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_lines_on_a_page_run(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a reader's own data and model in place: digits, and a small VAE that is not trained."""
    monkeypatch.syspath_prepend(EXAMPLES)
    from small_vae import VAE, digits

    torch.manual_seed(0)
    x, x_test = digits()
    model = VAE(64, 16).eval()
    mean, log_variance = model.encode(x[:100])
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
    names = {"x": x[:100], "x_test": x_test, "model": model, "xh": model.decode(mean), "mean": mean, "kl": kl,
             "log_variance": log_variance, "step": 10, "n_steps": 100, "torch": torch}  # fmt: skip
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, page.name, "exec"), names)  # noqa: S102 (our own page)


def test_quoted_lines_are_held_against_what_is_printed() -> None:
    assert is_same("KL 1.23 ± 0.05 nats", "KL 1.25 ± 0.07 nats")
    assert not is_same("KL 1.23 ± 0.05 nats", "KL 2.5 ± 0.05 nats")
    assert not is_same("KL 1.23 nats", "the KL is 1.23 nats")
    page = "<!-- example: a -->\n```text\nKL 1 nats\n...\nbeta 2\n```\n<!-- end -->\n"
    assert filled(page, lambda name: "KL 3 nats\nsomething else\nbeta 4\n") == page.replace("1", "3").replace("2", "4")
    assert filled(page, lambda name: None) == page


def test_the_program_of_other_environments_is_the_same_as_here() -> None:
    assert run_as_a_program(Path(sys.executable), "which_beta") == run(EXAMPLES / "which_beta.py")

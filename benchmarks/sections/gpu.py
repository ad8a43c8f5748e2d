"""An epoch of training on a GPU, where there is one."""

import torch

from benchmarks.bench import Bench
from benchmarks.entrants import BARE, OURS
from benchmarks.rows import Row
from benchmarks.sections.training import Case, row_of

MODELS = (("mlp", 50), ("conv", 2))
N_ROUNDS = 9


def measure(bench: Bench) -> list[Row]:
    if not torch.cuda.is_available():
        return [Row("left out: torch sees no GPU", {})]
    cases = [Case(model, latent_dim, (BARE, OURS), N_ROUNDS, [], extra=["trainer=gpu"]) for model, latent_dim in MODELS]
    return [
        row_of(case, bench.n_threads, bench.rounds(case.n_rounds), bench.subfolder("gpu", case.model)) for case in cases
    ]

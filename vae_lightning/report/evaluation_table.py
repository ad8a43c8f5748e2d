"""What an evaluation found, as a table for a person."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table

from vae_lightning.report.tables import facts, forecast_units

N_UNITS = 12
ONE_IMAGE = 0.05
"""Output variance, as a share of the data's, below which the decoder's images are almost one."""
NOT_DEFINED = "–"


def findings_page(results: dict[str, Any]) -> RenderableType:
    """Return the findings, and a table of the liveliest units."""
    rows = [
        ("verdict", results["verdict/sentence"]),
        (
            "ELBO",
            f"{results['test/elbo']:.2f}; distortion {results['test/distortion']:.2f}, KL {results['test/kl']:.2f}",
        ),
        ("log p(x)", _log_px(results)),
        ("units", _counts(results)),
        ("information", _information(results)),
        ("one more unit", _residual(results)),
        ("output variance", f"{results['test/output_variance_ratio']:.3f} of the data's, over codes from the prior"),
        ("continuity", _number(results["test/continuity"], "how even images change along walks between test images")),
        ("completeness", _completeness(results)),
        ("linear probe", _probe(results)),
    ]
    return Group(facts("test images, nats per image", rows), _units(results))


def _counts(results: dict[str, Any]) -> str:
    n_units, directions = len(results["test/kl_per_unit"]), results["test/active_directions"]
    active = f"{results['test/active_units']} of {n_units} active, in {directions} directions"
    return f"{active}; forecast {forecast_units(results)}"


def _log_px(results: dict[str, Any]) -> str:
    if results["test/log_px"] is None:
        return "none: a point has no density"
    by_samples = ", ".join(f"{k}: {value:.2f}" for k, value in results["test/log_px_by_samples"].items())
    return f"{results['test/log_px']:.2f} ± {results['test/log_px_error']:.2f} (by samples per image {by_samples})"


def _information(results: dict[str, Any]) -> str:
    if "test/mutual_information" not in results:
        return NOT_DEFINED
    lower, upper = results["test/mutual_information"]
    least, most = results["test/marginal_kl"]
    information = (
        f"I(x; z) in [{lower:.2f}, {upper:.2f}], ceiling ln n = {results['test/mutual_information_ceiling']:.2f}"
    )
    return f"{information}; KL(q(z) || p(z)) in [{least:.2f}, {most:.2f}]"


def _residual(results: dict[str, Any]) -> str:
    if "test/residual_largest" not in results:
        return "not known for this likelihood"
    low, high = results["test/residual_largest"], results["test/residual_spectrum"][0]
    error = results["test/residual_error"]
    spread = "" if error is None else f" ± {error:.2g}"
    at_most = f" (at most {high:.3g})" if high > low else ""
    here = f"the weight is {results['kl_weight_at_the_end']:.4g}"
    return f"would pay below a KL weight of {low:.3g}{spread}{at_most}; {here}"


def _number(value: float | None, meaning: str) -> str:
    return f"{NOT_DEFINED} (one image whatever the code)" if value is None else f"{value:.3f} ({meaning})"


def _completeness(results: dict[str, Any]) -> str:
    if results["test/output_variance_ratio"] < ONE_IMAGE:
        return f"{results['test/completeness']:.3f} (says nothing: the decoder has almost one image)"
    return f"{results['test/completeness']:.3f} (of prior samples are as near the data as test images)"


def _probe(results: dict[str, Any]) -> str:
    if "test/probe_accuracy" not in results:
        return "the data have no classes"
    trained, untrained = results["test/probe_accuracy"], results["test/probe_accuracy_random_encoder"]
    return f"{trained:.1%} of classes right from the posterior means; {untrained:.1%} from an untrained encoder's"


def _units(results: dict[str, Any]) -> RenderableType:
    """Return a row for each of the liveliest units; of a point posterior there are no KLs to show."""
    has_kl = results["test/log_px"] is not None
    living = results.get("test/living_per_unit", [])
    columns = {
        "Var of mean": [f"{value:.4f}" for value in results["test/variance_of_mean_per_unit"]],
        "decoder sensitivity": [f"{value:.4g}" for value in results["test/decoder_sensitivity_per_unit"]],
    }
    if has_kl:
        columns["KL"] = [f"{value:.3f}" for value in results["test/kl_per_unit"]]
        epsilons = results["test/collapse_epsilon_per_unit"]
        columns[f"collapsed above ε (δ {results['test/collapse_delta']:g})"] = [f"{value:.3g}" for value in epsilons]
    if living:
        columns["written and read"] = ["lives" if alive else "dead" for alive in living]
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("unit", justify="right")
    for name in columns:
        table.add_column(name, justify="right")
    ranks = results["test/kl_per_unit"] if has_kl else results["test/variance_of_mean_per_unit"]
    order = sorted(range(len(ranks)), key=lambda unit: ranks[unit], reverse=True)
    for unit in order[:N_UNITS]:
        table.add_row(str(unit), *(values[unit] for values in columns.values()))
    if len(order) > N_UNITS:
        table.caption = f"the liveliest {N_UNITS} of {len(order)}"
    return table

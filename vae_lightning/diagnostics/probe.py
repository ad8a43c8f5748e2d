"""What a linear classifier tells of the class from the posterior means alone."""

from jaxtyping import Float, Int
from torch import Tensor

N_TRAINING = 10_000
MAX_ITERATIONS = 500


def linear_probe(
    means: Float[Tensor, "n latent"],
    labels: Int[Tensor, " n"],
    test_means: Float[Tensor, "m latent"],
    test_labels: Int[Tensor, " m"],
) -> float | None:
    """Return the share of test images told right by a logistic regression on standardised means; None without classes.

    A random encoder's score belongs beside it: random features tell much of the class by themselves.
    """
    if int(labels.min()) == int(labels.max()):
        return None
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=MAX_ITERATIONS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # then it is a good enough classifier, not the best
        classifier.fit(means.double().cpu().numpy(), labels.cpu().numpy())
    return float(classifier.score(test_means.double().cpu().numpy(), test_labels.cpu().numpy()))

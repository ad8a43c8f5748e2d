"""Leading eigenvalues of symmetric matrices: all of them of small ones, by Lanczos iterations of large ones."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor

Covariance = Float[Tensor, "pixels pixels"]
PerDirection = Float[Tensor, " directions"]
Directions = Float[Tensor, "pixels directions"]
Rows = Float[Tensor, "rows pixels"]
FEW_OF = 10
"""So many times as many eigenvalues there must be for some of them to be cheaper than all."""
ROUNDING = 1e-6
"""Of the largest eigenvalue: what is smaller is rounding in the sums."""
MOST_RESTARTS = 30
"""Of Lanczos iterations, which mostly need five."""


def descending(covariance: Covariance) -> PerDirection:
    """Return all eigenvalues, the largest first."""
    with one_thread():
        eigenvalues: Tensor = torch.linalg.eigvalsh(covariance)
    return without_rounding(eigenvalues.flip(0))


def without_rounding(eigenvalues: PerDirection) -> PerDirection:
    """Return descending eigenvalues with zeros where there is mere rounding."""
    return torch.where(eigenvalues > ROUNDING * eigenvalues[:1], eigenvalues, 0.0)


def leading_eigenpairs(matrix: Covariance, n: int) -> tuple[PerDirection, Float[Tensor, "pixels directions"]]:
    """Return the ``n`` largest eigenvalues of a symmetric matrix, descending, and their eigenvectors as columns.

    By Lanczos iterations where they are few of many: the ten largest of 3,072 took a fifth of the time of all. The
    iterations begin at a fixed vector, so that equal matrices have equal answers.
    """
    size = len(matrix)
    n = min(n, size)
    if size > FEW_OF * n:
        start = np.random.default_rng(0).standard_normal(size)
        # As of a matrix of zeros, or of fewer directions than are asked for: the others have all the same eigenvalue.
        with contextlib.suppress(ArpackError):
            values, vectors = eigsh(matrix.cpu().numpy(), k=n, which="LA", v0=start, maxiter=MOST_RESTARTS)
            order = values.argsort()[::-1].copy()
            return torch.from_numpy(values[order]).to(matrix), torch.from_numpy(vectors[:, order]).to(matrix)
    every = torch.linalg.eigh(matrix)
    return every.eigenvalues.flip(0)[:n], every.eigenvectors.flip(1)[:, :n]


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep to one thread: for small matrices several gain little, and on busy cores they take many times as long."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def leading_of_operator(
    times: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]], size: int, n: int, total: float
) -> PerDirection:
    """Return the ``n`` largest eigenvalues, descending, of a matrix known by what it does to a vector.

    ``total`` is its trace: what is found that exhausts it needs no further search.
    """
    operator = LinearOperator((size, size), matvec=times, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(size)
    n = min(n, size - 1)
    how = {"k": n, "which": "LA", "v0": start, "tol": ROUNDING, "return_eigenvectors": False}
    try:
        found = eigsh(operator, maxiter=MOST_RESTARTS, **how)
    except ArpackNoConvergence as stopped:
        if total - stopped.eigenvalues.sum() > ROUNDING * total:  # there is more, however long it takes
            found = eigsh(operator, **how)
        else:  # data of few directions: in the others there is nothing
            found = np.pad(stopped.eigenvalues, (0, n - len(stopped.eigenvalues)))
    return without_rounding(torch.from_numpy(np.sort(found)[::-1].copy()))


def leading_of_rows(rows: Rows, n: int) -> tuple[PerDirection, Directions]:
    """Return the ``n`` largest eigenvalues of the rows' second moment, and the directions.

    By the products of whichever are fewer, columns or rows.
    """
    with one_thread():
        if rows.shape[1] <= len(rows):
            return leading_eigenpairs((rows.T @ rows).double() / len(rows), n)
        values, vectors = leading_eigenpairs((rows @ rows.T).double() / len(rows), n)
        directions = rows.T @ vectors.to(rows)
        lengths = directions.norm(dim=0).clamp_min(torch.finfo(rows.dtype).tiny)
    return values, directions / lengths

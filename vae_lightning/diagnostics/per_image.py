"""One row of numbers per image, gathered from batches and ranks into the order of the split."""

from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class PerImageMetric(Metric):
    """Keeps what was found of each image. Whatever needs a whole split is then a function of these rows."""

    full_state_update = False
    indices: list[Tensor]
    values: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("indices", [], dist_reduce_fx="cat")
        self.add_state("values", [], dist_reduce_fx="cat")

    def update(self, indices: Int[Tensor, " batch"], values: Float[Tensor, "batch columns"]) -> None:
        self.indices.append(indices)
        self.values.append(values)

    def compute(self) -> Float[Tensor, "images columns"]:
        order = dim_zero_cat(self.indices).argsort()
        rows: Tensor = dim_zero_cat(self.values)[order]
        return rows.reshape(len(order), -1)

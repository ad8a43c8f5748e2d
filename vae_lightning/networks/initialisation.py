"""How a network begins, where torch's own way is not wanted."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.errors import Code, UserError

Initialisation = Literal["torch", "glorot", "normal"]
OutputBias = Literal["torch", "pixel_means"]
LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
DEVIATION = 0.01
"""Of the weights of ``normal``: Kingma & Welling 2013, section 5."""


@torch.no_grad()
def initialise(network: nn.Module, how: Initialisation) -> None:
    """Draw the weights of all linear and convolutional layers anew, and set their biases to 0; ``torch`` changes none.

    ``glorot`` is uniform with variance 2 / (inputs + outputs) (Glorot & Bengio 2010, eq. 16), ``normal`` N(0, 0.01^2).
    The draws come from torch's global generator.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(300, 300)
        >>> initialise(layer, "glorot")
        >>> round(float(layer.weight.abs().max()), 2), float(layer.bias.abs().max())
        (0.1, 0.0)
    """
    if how == "torch":
        return
    for layer in network.modules():
        if isinstance(layer, LAYERS):
            if how == "glorot":
                nn.init.xavier_uniform_(layer.weight)
            else:
                nn.init.normal_(layer.weight, std=DEVIATION)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


@torch.no_grad()
def set_output_bias(decoder: nn.Module, values: Float[Tensor, "values height width"]) -> None:
    """Set the bias of a decoder's last layer to the values that stand for the mean image (Burda et al. 2015).

    Raises:
        UserError: ``INCOMPATIBLE`` where the last layer has not one bias for each value.
    """
    last = [layer for layer in decoder.modules() if isinstance(layer, LAYERS)][-1:]
    bias = last[0].bias if last else None
    if bias is None or bias.numel() != values.numel():
        has = "none" if bias is None else f"{bias.numel()}"
        reason = (
            f"model.output_bias=pixel_means: needs a bias for each of {values.numel()} values in the decoder's last "
        )
        raise UserError(f"{reason}layer, which has {has}; take torch", Code.INCOMPATIBLE, ["model.output_bias"])
    bias.copy_(values.flatten())

"""Shapes of what parts hand to each other, by name."""

from jaxtyping import Float
from torch import Tensor

Pixels = Float[Tensor, "batch channels height width"]
Values = Float[Tensor, "*batch values height width"]
"""What the decoder gives: one number per pixel, or several as groups of channels."""
Means = Float[Tensor, "*batch channels height width"]
SampledValues = Float[Tensor, "*samples batch values height width"]
"""The decoder's values for several codes of each image."""
PerImage = Float[Tensor, "*samples batch"]
PerPixel = Float[Tensor, "..."]
Outputs = Float[Tensor, "batch outputs"]
"""What the encoder gives."""
PerUnit = Float[Tensor, "batch latent"]
Codes = Float[Tensor, "samples batch latent"]
"""Codes, the noise they are made of, or a term of theirs for each unit."""
AnyCodes = Float[Tensor, "*codes latent"]
AnyTerms = Float[Tensor, "*broadcast latent"]
"""A term for each unit of codes, which broadcast against the batch."""
KlWeight = float | Float[Tensor, ""]
"""In force at a step; a tensor where a controller or a vmap decides it."""

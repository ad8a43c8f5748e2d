import pytest
import torch

from vae_lightning.errors import Code, UserError
from vae_lightning.networks import ConvDecoder, ConvEncoder


def n_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_articles_layers_by_parameter_count() -> None:
    # Encoder: convolutions 1-32-64 of 3x3, then 2304 -> 4. Decoder: 2 -> 2048, transposed 32-64-32 of 3x3, 32-1 of 2x2.
    assert n_parameters(ConvEncoder((1, 28, 28), 4)) == (9 * 32 + 32) + (9 * 32 * 64 + 64) + (2304 * 4 + 4)
    assert n_parameters(ConvDecoder(2, (1, 28, 28))) == (
        (2 * 2048 + 2048) + (9 * 32 * 64 + 64) + (9 * 64 * 32 + 32) + (4 * 32 + 1)
    )


def test_shapes_through_the_layers() -> None:
    encoder, decoder = ConvEncoder((1, 28, 28), 4), ConvDecoder(2, (1, 28, 28))
    shapes = []
    for module in [*encoder.layers, *decoder.layers]:
        module.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    encoder(torch.zeros(3, 1, 28, 28))
    decoder(torch.zeros(3, 2))
    for shape in [
        (32, 13, 13),
        (64, 6, 6),
        (2304,),
        (4,),
        (2048,),
        (32, 8, 8),
        (64, 15, 15),
        (32, 29, 29),
        (1, 28, 28),
    ]:
        assert shape in shapes


def test_channels_last_changes_the_layout_and_not_the_result() -> None:
    encoder = ConvEncoder((1, 28, 28), 4)
    assert encoder.layers[2].weight.is_contiguous(memory_format=torch.channels_last)
    pixels = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    fast = encoder(pixels)
    encoder.to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(encoder(pixels), fast, rtol=1e-4, atol=1e-5)


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(UserError) as refused:
        ConvEncoder((1, 1, 8), 4)
    assert (refused.value.code, refused.value.about) == (Code.INCOMPATIBLE, ("model", "data"))

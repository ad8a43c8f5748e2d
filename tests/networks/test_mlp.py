import torch

from vae_lightning.networks import MLPDecoder, MLPEncoder, SkipMLPDecoder


def test_layer_sizes_and_shapes() -> None:
    encoder = MLPEncoder((1, 28, 28), 100, hidden_sizes=[400, 300], activation="tanh")
    decoder = MLPDecoder(50, (1, 28, 28), hidden_sizes=[300], activation="relu")
    assert [tuple(p.shape) for p in encoder.parameters()] == [
        (400, 784),
        (400,),
        (300, 400),
        (300,),
        (100, 300),
        (100,),
    ]
    assert encoder(torch.zeros(3, 1, 28, 28)).shape == (3, 100)
    assert decoder(torch.zeros(3, 50)).shape == (3, 1, 28, 28)


def test_without_hidden_layers_both_are_affine() -> None:
    encoder = MLPEncoder((1, 1, 8), 4, hidden_sizes=[], activation="relu")
    decoder = MLPDecoder(2, (1, 1, 8), hidden_sizes=[], activation="relu")
    for network, shape in ((encoder, (1, 1, 8)), (decoder, (2,))):
        a, b = torch.randn(2, 5, *shape, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(network(a + b) + network(torch.zeros_like(a)), network(a) + network(b))


def test_the_skip_decoder_feeds_the_code_to_every_layer() -> None:
    """Each layer is a linear map of what comes from below plus a linear map of the code (Dieng et al. 2019)."""
    decoder = SkipMLPDecoder(3, (2, 4, 4), hidden_sizes=[7, 6], activation="tanh")
    codes = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    first, second, last = decoder.layers
    assert [tuple(layer.weight.shape) for layer in decoder.layers] == [(7, 3), (6, 10), (32, 9)]

    def skipped(layer: torch.nn.Linear, below: torch.Tensor) -> torch.Tensor:
        n = below.shape[1]
        return below @ layer.weight[:, :n].T + codes @ layer.weight[:, n:].T + layer.bias

    features = torch.tanh(codes @ first.weight.T + first.bias)
    features = torch.tanh(skipped(second, features))
    torch.testing.assert_close(decoder(codes), skipped(last, features).reshape(5, 2, 4, 4))


def test_without_hidden_layers_there_is_nothing_to_skip() -> None:
    decoder = SkipMLPDecoder(3, (1, 2, 2), hidden_sizes=[], activation="relu")
    codes = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(decoder(codes).flatten(1), decoder.layers[0](codes))

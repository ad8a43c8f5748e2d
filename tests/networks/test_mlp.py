import torch

from vae_lightning.networks import MLPDecoder, MLPEncoder


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

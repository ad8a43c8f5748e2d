"""Anyone's model as two functions, called as an evaluation must: at rest, where its weights lie, in pieces."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.errors import Code, UserError, first_line
from vae_lightning.library.posteriors import Encoded, encoded, joined

Encode = Callable[[Tensor], Any]
"""Rows as the network takes them to a posterior: see :mod:`vae_lightning.library.posteriors`."""
Decode = Callable[[Tensor], Any]
"""Codes to means, logits or parameters: a tensor, or an output that has one under a name."""
RECONSTRUCTIONS = ("reconstruction", "sample", "recon_x", "logits", "mean")
SAME = 1e-3
"""Of the size of the means: by how much two calls with the same rows may differ."""
CHECKED = 16
DEPTH = 4
"""Of functions and containers in one another, in which modules are looked for."""
NUMBERS_AT_ONCE = 4_000_000
"""Of the rows of a batch: convolutions hold many times as many."""
MOST_AT_ONCE = 500


class EncodeDecode(NamedTuple):
    """A model's two functions.

    Example:
        >>> import vae_lightning as vl
        >>> pair = vl.EncodeDecode(encode=lambda x: (x[:, :1], 0 * x[:, :1]), decode=lambda z: z)
        >>> encode, decode = pair  # as diagnose takes them
    """

    encode: Encode
    decode: Decode


def encode_decode(model: Any) -> EncodeDecode:
    """Return the two functions of a model: its ``encode`` and ``decode``, or its ``encoder`` and ``decoder``.

    So of any module or LightningModule that has them, of pythae's models, and of ``AutoencoderKL`` of diffusers.

    Args:
        model: an object with both.

    Raises:
        UserError: it has neither pair.

    Example:
        >>> import torch
        >>> import vae_lightning as vl
        >>> class Mine(torch.nn.Module):
        ...     def encode(self, x): return x[:, :2], torch.zeros(len(x), 2)
        ...     def decode(self, z): return torch.cat([z, z], dim=1)
        >>> encode, decode = vl.encode_decode(Mine())
        >>> decode(torch.ones(1, 2)).shape
        torch.Size([1, 4])
    """
    for names in (("encode", "decode"), ("encoder", "decoder")):
        encode, decode = (getattr(model, name, None) for name in names)
        if callable(encode) and callable(decode):
            return EncodeDecode(encode, decode)
    message = f"model: a {type(model).__name__} has neither encode and decode nor encoder and decoder; give two"
    raise UserError(f"{message} functions of yours", Code.INVALID, ["model"])


class Model(NamedTuple):
    """Two functions, and where their weights lie."""

    encode: Encode
    decode: Decode
    device: torch.device
    dtype: torch.dtype = torch.float32
    """Of its weights: rows and codes are given in it."""
    code_shape: tuple[int, ...] = ()
    """Of one row's code; known once rows are encoded."""

    def encoded(self, x: Float[Tensor, "rows *shape"]) -> Encoded:
        """Return the posteriors of all rows."""
        size = at_once(x[0].numel())
        with torch.no_grad():
            return joined([self._encoded(piece) for piece in x.split(size)])

    def _encoded(self, x: Float[Tensor, "rows *shape"]) -> Encoded:
        return encoded(_called("encode", self.encode, self._own(x)), len(x))

    def _own(self, x: Tensor) -> Tensor:
        """Return a copy where the weights lie: a network that works in place must not change what it was given."""
        return x.to(self.device, self.dtype, copy=True)

    def decoded(self, codes: Float[Tensor, "rows latent"]) -> Tensor:
        """Return what the decoder gives for flat codes, differentiably if it is."""
        shaped = self._own(codes).unflatten(1, self.code_shape)
        return _tensor_of(_called("decode", self.decode, shaped), len(codes))

    def check_at_rest(self, x: Float[Tensor, "rows *shape"]) -> None:
        """Raise UserError where the encoder's answer depends on chance, or on what else is in the batch."""
        x = x[:CHECKED]
        with torch.no_grad():
            _check_same("encode", *(self._encoded(some).mean for some in (x, x, x[: len(x) // 2 or 1])))

    def check_decoder_at_rest(self, codes: Float[Tensor, "rows latent"]) -> None:
        """Raise UserError where the decoder's answer depends on chance, or on what else is in the batch."""
        z = codes[:CHECKED]
        with torch.no_grad():
            _check_same("decode", *(self.decoded(some).float().cpu() for some in (z, z, z[: len(z) // 2 or 1])))


def _check_same(name: str, first: Tensor, again: Tensor, half: Tensor) -> None:
    size = SAME * float(first.abs().max().clamp_min(1e-6))
    if float((again - first).abs().max()) > size:
        what = "answers differently when asked again: drop-out is on, or it gives draws in the place of means"
    elif float((half - first[: len(half)]).abs().max()) > size:
        what = "answers differently for other rows in the batch: batch normalisation is training"
    else:
        return
    raise UserError(f"{name}: {what}; call eval() on the model first", Code.INVALID, [name])


def _called(name: str, function: Callable[[Tensor], Any], x: Tensor) -> Any:
    """Return what a function gives. Raises UserError where it cannot take the rows or codes as they are."""
    try:
        return function(x)
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        message = f"{name}: cannot take the shape {tuple(x.shape)} ({first_line(error)})"
        raise UserError(
            f"{message}; encode takes rows in the shape of the training, decode codes", Code.INCOMPATIBLE, [name]
        ) from error


def at_once(n_numbers: int) -> int:
    """Return how many rows to show a network at a time."""
    return max(1, min(MOST_AT_ONCE, NUMBERS_AT_ONCE // n_numbers))


def _tensor_of(given: Any, n_rows: int) -> Tensor:
    """Return the tensor of a decoder's output. Raises UserError where there is none, or of another number of rows."""
    found = given
    if isinstance(given, tuple | list) and given and all(isinstance(each, Tensor) for each in given):
        found = torch.cat([each.flatten(1) for each in given], dim=1)  # several values of each pixel
    elif not isinstance(given, Tensor):
        for name in RECONSTRUCTIONS:
            found = given.get(name) if isinstance(given, Mapping) else getattr(given, name, None)
            if isinstance(found, Tensor):
                break
    if not isinstance(found, Tensor):
        message = f"decode: gives a {type(given).__name__}; it must give a tensor, or an output with one of "
        raise UserError(message + ", ".join(RECONSTRUCTIONS), Code.INVALID, ["decode"])
    if found.ndim < 2 or len(found) != n_rows:
        message = f"decode: of {n_rows} codes it gives the shape {tuple(found.shape)}; it must be one row for each"
        raise UserError(message, Code.INCOMPATIBLE, ["decode"])
    return found


@contextmanager
def at_rest(encode: Encode, decode: Decode) -> Iterator[Model]:
    """Give the model with its modules in evaluation mode; afterwards each is in the mode it was in."""
    modules = {id(module): module for function in (encode, decode) for module in _modules_of(function)}
    modes = [(each, each.training) for module in modules.values() for each in module.modules()]
    weights = (each for module in modules.values() for each in module.parameters() if each.is_floating_point())
    first = next(weights, torch.empty(0))
    with ExitStack() as stack:
        for module in modules.values():
            module.eval()
        stack.callback(_restore, modes)
        yield Model(encode, decode, first.device, first.dtype)


def _restore(modes: list[tuple[nn.Module, bool]]) -> None:
    for module, training in modes:
        module.training = training


def _modules_of(function: Any, depth: int = DEPTH) -> list[nn.Module]:
    """Return the modules that a function is, is a method of, holds or names; also by way of other functions."""
    if isinstance(function, nn.Module):
        return [function]
    if depth == 0 or isinstance(function, ModuleType | type | Tensor | str | int | float):
        return []
    return [each for part in _parts_of(function) for each in _modules_of(part, depth - 1)]


def _parts_of(thing: Any) -> list[Any]:
    """Return what a function, a container or an object of the user's is made of."""
    if isinstance(thing, Mapping):
        return list(thing.values())
    if isinstance(thing, list | tuple):
        return list(thing)
    if isinstance(thing, partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, MethodType):
        return [thing.__self__]
    if isinstance(thing, FunctionType):
        seen = inspect.getclosurevars(thing)
        return [*seen.nonlocals.values(), *seen.globals.values()]
    return list(getattr(thing, "__dict__", {}).values())

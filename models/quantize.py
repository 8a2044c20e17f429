"""Quantise the linear layers of a language model's blocks; tower, projector, words and output layer keep their dtype.

int8: a scale for each row of a weight; by torchao on a CPU, by bitsandbytes elsewhere. int4: NF4 with a float32 scale
for each 64 weights, by bitsandbytes on any device. Both packages are in the extra "quant".
"""

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor, nn

MODES = ("int8", "int4")
# the blocks, without words and output layer
BLOCKS = "llm.model."

Quantize = Callable[[nn.Linear], nn.Module]


def quantizer(mode: str, device: torch.device) -> Quantize:
    """Return what turns a linear layer into a quantised one on `device`.

    Raises ValueError for an unknown mode, or naming the package that is not installed.
    """
    if mode not in MODES:
        raise ValueError(f"quantize {mode!r} is none of {', '.join(MODES)}")
    package = "torchao" if mode == "int8" and device.type == "cpu" else "bitsandbytes"
    if find_spec(package) is None:
        raise ValueError(
            f"quantize={mode!r} on {device.type} needs the package {package}, which is not installed: "
            "pip install 'anyres[quant]'"
        )
    if package == "torchao":
        return _torchao_int8
    return _bitsandbytes_int8 if mode == "int8" else _bitsandbytes_int4


def quantize_module(model: nn.Module, name: str, quantize: Quantize) -> None:
    """Replace the module of that name when it is a linear layer of the language model's blocks; else leave it."""
    module = model.get_submodule(name)
    if name.startswith(BLOCKS) and isinstance(module, nn.Linear):
        owner, _, last = name.rpartition(".")
        setattr(model.get_submodule(owner), last, quantize(module))


def weight_bytes(module: nn.Module) -> int:
    """Return the bytes of a module's weights as they are stored, scales of quantised ones included."""
    return sum(_bytes(parameter) for parameter in module.parameters())


def _bytes(tensor: Tensor) -> int:
    # a tensor made of several
    if type(tensor) is not nn.Parameter and "__tensor_flatten__" in dir(type(tensor)):
        names, _ = tensor.__tensor_flatten__()
        return sum(_bytes(part) for name, part in vars(tensor).items() if name in names)
    return tensor.nbytes + sum(scales.nbytes for scales in _scales(tensor))


def _scales(tensor: Tensor) -> list[Tensor]:
    """Return what bitsandbytes keeps beside a weight."""
    kept = vars(tensor)
    state = kept.get("quant_state")
    return [found for found in (kept.get("SCB"), state and state.absmax) if found is not None]


def _torchao_int8(linear: nn.Linear) -> nn.Module:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    quantize_(linear, Int8WeightOnlyConfig())
    linear.weight.requires_grad_(False)
    return linear


def _bitsandbytes_int8(linear: nn.Linear) -> nn.Module:
    from bitsandbytes.nn import Int8Params, Linear8bitLt

    with torch.device("meta"):
        layer = Linear8bitLt(
            linear.in_features, linear.out_features, bias=linear.bias is not None, has_fp16_weights=False
        )
    layer.weight = Int8Params(linear.weight.data, requires_grad=False, has_fp16_weights=False)
    layer.bias = linear.bias
    return layer.to(linear.weight.device)


def _bitsandbytes_int4(linear: nn.Linear) -> nn.Module:
    from bitsandbytes.nn import Linear4bit, Params4bit

    kind, dtype = "nf4", linear.weight.dtype
    with torch.device("meta"):
        layer = Linear4bit(
            linear.in_features,
            linear.out_features,
            bias=linear.bias is not None,
            compute_dtype=dtype,
            compress_statistics=False,
            quant_type=kind,
        )
    layer.weight = Params4bit(
        linear.weight.data, requires_grad=False, compress_statistics=False, quant_type=kind, module=layer
    )
    layer.bias = linear.bias
    return layer.to(linear.weight.device)

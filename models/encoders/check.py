"""Check an encoder's spec without its weights: sizes on the meta device, features on a small random tower.

The whole tower is built on the meta device, which allocates nothing: parameters, tokens, width and the blocks that run
are counted there. A tower of the same kind, tile and layers, but narrow and shallow, is filled with random weights and
compared with the libraries' own forward passes. A spec that names a model of open_clip is held against its registry.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from open_clip import get_model_config, get_pretrained_cfg
from timm import create_model
from timm.models import is_model_in_modules
from torch import Tensor, nn

from models.encoders.build import OPEN_CLIP_BACKENDS, Encoder, build_encoder
from models.encoders.count import parameters
from models.encoders.hf import swiglu_width
from models.encoders.libraries import comparisons
from models.encoders.pair import TwoTowers, renormalise
from models.encoders.promise import check_promise, measured, promised_open_clip
from models.encoders.spec import EncoderSpec

# of features in float32, as `difference` measures it
TOLERANCE = 1e-6
_DIM, _HEADS, _MLP, _DEPTH = 32, 2, 72, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was found about one encoder. blocks: that ran; differences: worst one to each library, by its name."""

    name: str
    backend: str
    tile_px: int
    tokens: int
    width: int
    blocks: int
    parameters: int
    differences: dict[str, float]
    faults: tuple[str, ...]


def check(name: str, spec: EncoderSpec) -> Checked:
    """Return what is true of the tower of a spec, with a sentence for everything that is not as declared."""
    faults: list[str] = []
    found = {"tokens": 0, "width": 0, "blocks": 0, "parameters": 0}
    differences: dict[str, float] = {}
    for part in (_registry_faults, lambda spec: _sizes(spec, found), lambda spec: _features(spec, differences)):
        try:
            faults += part(spec)
        except ValueError as error:
            faults.append(str(error))
    backend = spec.backend if spec.second is None else f"{spec.backend} + {spec.second.backend}"
    return Checked(
        name=name, backend=backend, tile_px=spec.tile_px, differences=differences, faults=tuple(faults), **found
    )


def towers(spec: EncoderSpec) -> list[EncoderSpec]:
    """Return the spec of each tower alone."""
    return [replace(spec, second=None)] + ([] if spec.second is None else [spec.second])


def small(spec: EncoderSpec) -> EncoderSpec:
    """Return a spec of the same kind, tile and layers, narrow and only as deep as the declared layers need."""
    depth = max(_DEPTH, *(abs(layer) for layer in spec.declared_layers))
    mlp = _MLP
    if spec.backend == "hf_dinov2":
        mlp = swiglu_width(_DIM, 4) if spec.act == "swiglu" else 4 * _DIM
    second = None if spec.second is None else small(spec.second)
    return replace(spec, dim=_DIM, heads=_HEADS, mlp=mlp, layers=depth, weights="", second=second)


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Fill a module with random values of a size at which every part counts, features staying of order 1."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 and len(parameter) > 1 else 4
        parameter.data = torch.randn(parameter.shape, generator=generator) * fan_in**-0.5


def difference(theirs_NPD: Tensor, ours_NPD: Tensor) -> float:
    """Return the largest difference of any value, relative to the largest value."""
    return ((theirs_NPD - ours_NPD).abs().max() / theirs_NPD.abs().max()).item()


def _sizes(spec: EncoderSpec, found: dict[str, int]) -> list[str]:
    encoder = build_encoder(spec, device="meta").eval()
    ran = _count_blocks(encoder)
    features_NPD = encoder(torch.empty(2, 3, spec.tile_px, spec.tile_px, device="meta"))
    found["tokens"], found["width"] = features_NPD.shape[1:]
    found["blocks"] = len(ran)
    found["parameters"] = sum(parameter.numel() for parameter in encoder.parameters())
    expected = {
        "tokens": spec.tile.tok**2,
        "width": spec.width,
        "blocks": sum(tower.blocks_run for tower in towers(spec)),
        "parameters": parameters(spec) or found["parameters"],
    }
    return [
        f"{key}: {value:,} by the spec, {found[key]:,} of the tower"
        for key, value in expected.items()
        if value != found[key]
    ]


def _count_blocks(encoder: Encoder) -> list[None]:
    ran: list[None] = []
    members = list(encoder.tower.values()) if isinstance(encoder, TwoTowers) else [encoder]
    for member in members:
        lists = [m for m in member.modules() if isinstance(m, (nn.ModuleList, nn.Sequential))]
        (blocks,) = [m for m in lists if len(m) == member.spec.layers and len(list(m.parameters())) > len(m)]
        for block in blocks:
            block.register_forward_hook(lambda *_: ran.append(None))
    return ran


@torch.no_grad()
def _features(spec: EncoderSpec, differences: dict[str, float]) -> list[str]:
    little = small(spec)
    encoder = build_encoder(little).eval()
    randomise(encoder)
    pixels_NCHW = torch.randn(2, 3, spec.tile_px, spec.tile_px, generator=torch.Generator().manual_seed(1))
    features_NPD = encoder(pixels_NCHW)
    if isinstance(encoder, TwoTowers):
        members, start = list(encoder.tower.values()), 0
        for member in members:
            theirs = renormalise(pixels_NCHW, members[0].spec, member.spec)
            part_NPD = features_NPD[..., start : start + member.spec.width]
            _compare(member, theirs, part_NPD, differences)
            start += member.spec.width
    else:
        _compare(encoder, pixels_NCHW, features_NPD, differences)
    return [
        f"features differ from those of {library} by {worst:.1e}, more than {TOLERANCE:.0e}"
        for library, worst in differences.items()
        if not worst <= TOLERANCE
    ]


def _compare(encoder: Encoder, pixels_NCHW: Tensor, features_NPD: Tensor, differences: dict[str, float]) -> None:
    for library, features in comparisons(encoder.spec).items():
        theirs_NPD = features(encoder, pixels_NCHW)
        if theirs_NPD.shape != features_NPD.shape:
            raise ValueError(f"{library} gives {tuple(theirs_NPD.shape)}, the tower {tuple(features_NPD.shape)}")
        differences[library] = max(differences.get(library, 0.0), difference(theirs_NPD, features_NPD))


def _registry_faults(spec: EncoderSpec) -> list[str]:
    faults = []
    for tower in towers(spec):
        model, _, tag = tower.weights.partition("/")
        config = get_model_config(model) if tower.backend in OPEN_CLIP_BACKENDS and tag else None
        if config is None:
            continue
        for found in (_of_config(config, tower), _of_weights(model, tag), _of_trunk(config)):
            try:
                check_promise(tower, found, f"open_clip's {model}")
            except ValueError as error:
                faults.append(str(error))
    return faults


def _of_config(config: dict[str, Any], spec: EncoderSpec) -> dict[str, Any]:
    found = promised_open_clip(config)
    # of a ViT the tag decides between the activations
    return {key: value for key, value in found.items() if key != "act" or spec.backend != "open_clip"}


def _of_weights(model: str, tag: str) -> dict[str, Any]:
    found = get_pretrained_cfg(model, tag)
    if not found:
        raise ValueError(f"encoder.weights: open_clip's {model} has no weights {tag!r}")
    own = get_model_config(model)
    colours = {name: tuple(found[name]) for name in ("mean", "std")}
    if "timm_model_name" in own["vision_cfg"]:
        return colours
    quick = found.get("quick_gelu", own.get("quick_gelu", False))
    return colours | {"act": "quick_gelu" if quick else "gelu"}


def _of_trunk(config: dict[str, Any]) -> dict[str, Any]:
    name = config["vision_cfg"].get("timm_model_name")
    if name is None:
        return {}
    with torch.device("meta"):
        trunk = create_model(name, num_classes=0)
    # a pooling head has an MLP of its own
    sizes = measured({key: value for key, value in trunk.state_dict().items() if not key.startswith("attn_pool.")})
    if is_model_in_modules(name, ["eva"]):
        return sizes | {"heads": trunk.blocks[0].attn.num_heads}
    return sizes | {"heads": trunk.blocks[0].attn.num_heads, "prefix_tokens": trunk.num_prefix_tokens}


def table(rows: Sequence[Checked]) -> str:
    """Return the rows as aligned text, each fault on a line of its own below its row."""
    head = ("encoder", "backend", "tile", "tokens", "width", "blocks", "parameters", "worst difference")
    cells = [head] + [
        (
            row.name,
            row.backend,
            str(row.tile_px),
            str(row.tokens),
            str(row.width),
            str(row.blocks),
            f"{row.parameters:,}",
            ", ".join(f"{library} {worst:.1e}" for library, worst in row.differences.items()) or "-",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    for number in range(len(rows), 0, -1):
        lines[number + 1 : number + 1] = [f"    FAULT {fault}" for fault in rows[number - 1].faults]
    return "\n".join(lines)

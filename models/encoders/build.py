"""Build a vision encoder: random weights, a state dict, a local folder or a hub name."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from open_clip import get_pretrained_cfg
from torch import Tensor

from models.encoders.eva import OpenClipEva
from models.encoders.folder import read_tower
from models.encoders.hf import HfClip, HfDinov2, HfSiglip, HfSiglip2
from models.encoders.openclip import OpenClip
from models.encoders.pair import FIRST, SECOND, TwoTowers, split_state
from models.encoders.promise import check_promise, measured
from models.encoders.spec import EncoderSpec

Encoder = HfClip | HfSiglip | HfSiglip2 | HfDinov2 | OpenClip | OpenClipEva | TwoTowers
BACKENDS: dict[
    str, type[HfClip] | type[HfSiglip] | type[HfSiglip2] | type[HfDinov2] | type[OpenClip] | type[OpenClipEva]
] = {
    "hf_clip": HfClip,
    "hf_siglip": HfSiglip,
    "hf_siglip2": HfSiglip2,
    "hf_dinov2": HfDinov2,
    "open_clip": OpenClip,
    "open_clip_eva": OpenClipEva,
}
OPEN_CLIP_BACKENDS = ("open_clip", "open_clip_eva")
_PREFIX_TOKENS = {"hf_clip": 1, "hf_siglip": 0, "hf_siglip2": 0}


def build_encoder(
    spec: EncoderSpec, device: str | torch.device = "cpu", dtype: torch.dtype | None = None, initialise: bool = True
) -> Encoder:
    """Return an encoder with random weights, or with undefined ones without `initialise` (where a backend can).

    device: "meta" allocates nothing. dtype: of the parameters, float32 by default. Raises ValueError for an unknown
    backend, or a prefix that the backend's tower does not have.
    """
    if spec.backend not in BACKENDS:
        raise ValueError(f"encoder.backend: expected one of {', '.join(BACKENDS)}, got {spec.backend!r}")
    prefix = _PREFIX_TOKENS.get(spec.backend, spec.prefix_tokens)
    check_promise(spec, {"prefix_tokens": prefix}, f"a {spec.backend} tower")
    with torch.device(device):
        encoder: Encoder = BACKENDS[spec.backend](replace(spec, second=None), initialise=initialise)
    if spec.second is not None:
        encoder = TwoTowers(spec, encoder, build_encoder(spec.second, device, dtype, initialise))
    return encoder if dtype is None else encoder.to(dtype)


def encoder_from_state(
    spec: EncoderSpec, state: Mapping[str, Tensor], dtype: torch.dtype | None = None, where: str = "the state dict"
) -> Encoder:
    """Return an encoder with the weights of a state dict: transformers' names, or timm's for open_clip_eva.

    Two towers: the names of each behind "first." and "second.". Raises ValueError naming both values where spec and
    tensors differ in tokens, width, patch, layers or MLP, and for parameters that are missing or too many.
    """
    if spec.second is not None:
        parts = split_state(state)
        first = encoder_from_state(replace(spec, second=None), parts[FIRST], dtype, f"{where}, first tower")
        return TwoTowers(spec, first, encoder_from_state(spec.second, parts[SECOND], dtype, f"{where}, second tower"))
    check_promise(spec, measured(state), where)
    encoder = build_encoder(spec, dtype=dtype, initialise=False)
    try:
        encoder.load_state(state)
    except (RuntimeError, KeyError) as error:
        raise ValueError(f"{where}: parameters do not fit a {spec.backend} tower: {error}") from error
    return encoder.eval()


def load_encoder(
    spec: EncoderSpec, source: str | Path | None = None, download: bool = False, dtype: torch.dtype | None = None
) -> Encoder:
    """Return an encoder with the weights of `source`, by default of spec.weights.

    source: a local folder in transformers' or open_clip's layout (either serves any backend), or a hub name, looked up
    in the local hub cache and, only with `download`, fetched. An open_clip name is MODEL/TAG. Two towers are read from
    their own weights each. Raises ValueError when it cannot be found, or where the spec is not the tower found there.
    """
    if spec.second is not None:
        if source is not None:
            raise ValueError(f"two towers have weights of their own each, so none can be read from {source}")
        first = load_encoder(replace(spec, second=None), None, download, dtype)
        return TwoTowers(spec, first, load_encoder(spec.second, None, download, dtype))
    folder = _locate(spec, str(spec.weights if source is None else source), download)
    found = read_tower(folder)
    expected = dict(found.promised)
    if spec.backend == "open_clip" and expected.get("backend") in ("hf_clip", "hf_siglip"):
        # the same towers in transformers' layout
        del expected["backend"]
    check_promise(spec, expected, str(folder))
    return encoder_from_state(spec, found.state, dtype, where=str(folder))


def _locate(spec: EncoderSpec, source: str, download: bool) -> Path:
    if not source:
        raise ValueError("encoder.weights is empty, so there is nothing to load; build_encoder gives random weights")
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    name = _open_clip_hub_name(source) if spec.backend in OPEN_CLIP_BACKENDS else source
    patterns = ["*.json", "model*.safetensors", "open_clip_model*.safetensors"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=not download))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise ValueError(
            f"encoder.weights {source!r}: no such folder, and not in the local hub cache; "
            "nothing is fetched unless download is asked for"
        ) from error
    except HfHubHTTPError as error:
        raise ValueError(
            f"encoder.weights {source!r}: no such folder, and the hub does not give it: {error}"
        ) from error


def _open_clip_hub_name(source: str) -> str:
    model, _, tag = source.partition("/")
    known = get_pretrained_cfg(model, tag)
    name = known.get("hf_hub", "").rstrip("/")
    if not name:
        raise ValueError(f"encoder.weights {source!r}: no such folder, and open_clip has no hub weights for MODEL/TAG")
    return name

"""How many parameters a tower has by its spec, without building it.

EVA trunks have what their architecture says, and are left out.

Formulas: d width, m width of the MLP, p pixels of a patch, T trained patches of a tile, r registers.
"""

from models.encoders.spec import EncoderSpec


def parameters(spec: EncoderSpec) -> int | None:
    """Return the parameters of the whole tower (every block and the final norm), of both towers; None with an EVA."""
    if spec.backend == "open_clip_eva":
        return None
    own = spec.layers * _block(spec) + _outside(spec)
    if spec.second is None:
        return own
    second = parameters(spec.second)
    return None if second is None else own + second


def _block(spec: EncoderSpec) -> int:
    dim, mlp = spec.dim, spec.mlp
    attention = 4 * dim**2 + 4 * dim
    # a bias for every map into the hidden width, and one back
    feed = spec.mlp_maps * dim * mlp + (spec.mlp_maps - 1) * mlp + dim
    norms = 4 * dim
    scales = 2 * dim if spec.backend == "hf_dinov2" else 0
    return attention + feed + norms + scales


def _outside(spec: EncoderSpec) -> int:
    dim = spec.dim
    patches = 3 * spec.patch_px**2 * dim
    positions = (spec.position_px // spec.patch_px) ** 2 * dim
    if spec.backend == "hf_dinov2":
        # bias of the patches; class, its position and registers; mask token; final norm
        return patches + positions + dim + (spec.prefix_tokens + 1) * dim + dim + 2 * dim
    if spec.prefix_tokens:
        # class and its position, norms before and after the blocks
        return patches + positions + 2 * dim + 4 * dim
    return patches + positions + dim + 2 * dim

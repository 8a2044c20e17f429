"""Names of tensors in every layout: renaming is one to one, there and back, whatever the sizes of the model."""

from itertools import permutations
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.checkpoints.rename import Layout, hf_layout, rename

LAYOUTS = get_args(Layout)
OFFICIAL = ("official", "official_linear", "official_bare")
TRANSFORMERS = ("hf_hosted", "hf_saved", "hf_model", "hf_nested")
# projector layers, end vectors of each system, and whether its blocks have biases
SYSTEMS = {
    "LLaVA 1.0": (1, 0, False),
    "LLaVA-1.5, Med": (2, 0, False),
    "NeXT, NeXT-Video": (2, 1, False),
    "Interleave, OneVision, Critic": (2, 1, True),
    "LLaVA-Video with SlowFast": (2, 2, True),
    "deeper projector": (4, 1, True),
}


def names(system: str, tower_blocks: int, blocks: int, tied: bool) -> list[str]:
    """The run folder's names of a model."""
    linears, ends, biases = SYSTEMS[system]
    kinds = ("weight", "bias")
    tower = [
        f"encoder.tower.encoder.layers.{block}.{part}.{kind}"
        for block in range(tower_blocks)
        for part in ("self_attn.q_proj", "mlp.fc1", "layer_norm1")
        for kind in kinds
    ]
    stem = [
        "embeddings.patch_embedding.weight",
        "embeddings.class_embedding",
        "pre_layrnorm.weight",
        "post_layernorm.bias",
    ]
    projector = [f"projector.layers.{2 * layer}.{kind}" for layer in range(linears) for kind in kinds]
    llm = [
        f"llm.model.layers.{block}.{part}.{kind}"
        for block in range(blocks)
        for part in ("self_attn.q_proj", "mlp.down_proj", "input_layernorm")
        for kind in (kinds if biases else kinds[:1])
    ]
    words = ["llm.model.embed_tokens.weight", "llm.model.norm.weight", *([] if tied else ["llm.lm_head.weight"])]
    vectors = [f"ends_KD.{number}" for number in range(ends)]
    return tower + [f"encoder.tower.{name}" for name in stem] + projector + vectors + llm + words


def held_by(layout: str, system: str) -> bool:
    linears, ends, _ = SYSTEMS[system]
    if layout == "anyres":
        return True
    if layout in OFFICIAL:
        return (layout == "official_linear") == (linears == 1)
    return linears == 2 and ends <= 1


@pytest.mark.parametrize("system", SYSTEMS)
@given(tower_blocks=st.integers(1, 12), blocks=st.integers(1, 12), tied=st.booleans(), random=st.randoms())
@settings(max_examples=20, deadline=None)
def test_every_pair_of_layouts_is_one_to_one(system, tower_blocks, blocks, tied, random):
    ours = names(system, tower_blocks, blocks, tied)
    random.shuffle(ours)
    layouts = [layout for layout in LAYOUTS if held_by(layout, system)]
    assert len(layouts) == {1: 2, 4: 3}.get(SYSTEMS[system][0], 3 if SYSTEMS[system][1] == 2 else 7)
    keys = {layout: list(rename(ours, "anyres", layout).values()) for layout in layouts}
    for source, target in permutations(layouts, 2):
        there = rename(keys[source], source, target)
        # nothing lost, nothing twice, the same whichever way it came
        assert list(there) == keys[source]
        assert list(there.values()) == keys[target]
        assert len(set(there.values())) == len(ours)
        assert rename(there.values(), target, source) == {new: old for old, new in there.items()}


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("layout", TRANSFORMERS)
def test_what_a_layout_has_no_place_for_is_refused(layout, system):
    ours = names(system, 2, 2, False)
    if held_by(layout, system):
        # hosted names without a tower's inner name are those that transformers 5 saves
        assert hf_layout(rename(ours, "anyres", layout).values()) == layout
    elif SYSTEMS[system][0] != 1:
        with pytest.raises(ValueError, match=f"of layout 'anyres' have no name in '{layout}'"):
            rename(ours, "anyres", layout)


# what old releases saved and nothing reads
@pytest.mark.parametrize(
    "key",
    [
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "model.vision_tower.vision_tower.vision_model.embeddings.position_ids",
        "model.vision_tower.vision_tower.vision_model.head.probe",
    ],
)
def test_computed_buffers_and_the_unread_head_are_dropped(key):
    assert rename([key], "official", "anyres") == {}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_stranger_is_an_error_in_every_layout(layout):
    with pytest.raises(ValueError, match="stranger"):
        rename(["stranger.weight"], layout, "anyres")

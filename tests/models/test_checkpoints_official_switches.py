"""Rarer switches of official folders: each is read and written again, or refused by its name."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModel

from anyres.geometry import HW
from anyres.grid import GridSpec
from models.build import load
from models.checkpoints.convert import convert
from models.checkpoints.official_settings import grid_of, video_of
from models.checkpoints.save import save
from models.spec import ProjectorSpec
from video.clip import VideoSpec

WEIGHTS = "model.safetensors"


def edit(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def edit_weights(folder: Path, drop: str = "", **add: torch.Tensor) -> None:
    tensors = load_file(folder / WEIGHTS)
    kept = {key: value for key, value in tensors.items() if not drop or drop not in key}
    save_file(kept | {key.replace("__", "."): value for key, value in add.items()}, folder / WEIGHTS)


@pytest.fixture
def official(run, tmp_path):
    convert("official", run[0], tmp_path / "official")
    return tmp_path / "official"


@pytest.mark.parametrize(
    "changes",
    [
        {"grid": GridSpec(layouts=(HW(2, 2), HW(1, 2)), merge="spatial", thin="released"), "video": "no_token"},
        {"grid": GridSpec(layouts=(HW(2, 2), HW(1, 2)), merge="spatial_maxpool2x2"), "video": "no_token"},
        {"grid": GridSpec(layouts=(HW(2, 2),), overview="none")},
        {"grid": GridSpec(layouts=(HW(2, 2),), detail="pad_square")},
        {"grid": GridSpec(layouts=(HW(2, 1), HW(1, 2)), tie_order="transformers", rounding="transformers")},
        {"grid": GridSpec(overview="squash")},
        {"video": VideoSpec(pool_mode="max", num_frames=4, end="frame", fit="pad")},
        {"video": VideoSpec(pool=1, pool_mode="none", end="grid", fit="crop")},
        {"video": VideoSpec(pool_mode="average", policy="fps", fps=2.0, end="grid", slow_every=3), "num_ends": 2},
        {"projector": ProjectorSpec(kind="mlp1x_gelu", dim_in=32, dim_out=48)},
        {"projector": ProjectorSpec(kind="mlp2x_res2x_gelu", dim_in=32, dim_out=48)},
        {"times": True, "several": "pad", "tokenization": "official"},
    ],
    ids=[
        "spatial",
        "maxpool",
        "nobase",
        "highres",
        "ties",
        "squash",
        "max",
        "not pooled",
        "slowfast",
        "mlp1x",
        "res",
        "times",
    ],
)
def test_what_is_written_is_read(built, tiny_spec, tmp_path, changes, same_tensors):
    changes = dict(changes)
    if changes.get("video") == "no_token":
        changes["video"] = VideoSpec(end="no_token", fit="crop")
    model, processor = built(**changes)
    if "unpad" not in processor.spec.grid.merge:
        torch.nn.init.zeros_(model.ends_KD)
    save(tmp_path / "run", model, processor)
    convert("official", tmp_path / "run", tmp_path / "official")
    read, its_processor = load(tmp_path / "official")
    spec, encoder = its_processor.spec, replace(its_processor.spec.encoder, weights="")
    assert replace(spec, name="tiny", encoder=encoder) == processor.spec
    same_tensors(read.state_dict(), model.state_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": GridSpec(layouts=(HW(2, 2),), slack=1.0)}, r"has no keys for grid .*slack=1.0.*the nearest"),
        ({"grid": GridSpec(layouts=(HW(2, 2),), rule="blog", target_tiles=1)}, "no token target but anyres_max_N"),
        ({"around": ("[", "]")}, r"has no keys for around \('\[', '\]'\)"),
        ({"video": VideoSpec(pool=3, pool_mode="none", end="grid", fit="crop")}, "has no keys for video"),
    ],
    ids=["slack", "blog", "around", "unused stride"],
)
def test_what_has_no_key_is_not_written(built, tmp_path, changes, message):
    save(tmp_path / "run", *built(**changes))
    with pytest.raises(ValueError, match=message):
        convert("official", tmp_path / "run", tmp_path / "official")
    assert not (tmp_path / "official" / "config.json").exists()


@pytest.mark.parametrize(
    ("feature", "blocks", "states"),
    [("slicefour_patch", 24, (4, 10, 16, 22)), ("slice_m25811_f6_patch", 11, (-2, -5, -8, -11, 6))],
)
def test_several_hidden_states(official, run, feature, blocks, states):
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=blocks,
        num_attention_heads=2,
        image_size=42,
        patch_size=14,
    )
    tower = CLIPVisionModel(config).eval()
    tower.save_pretrained(official / "eyes")
    width = 32 * len(states)
    edit_weights(official, drop="vision_tower")
    first = {"model__mm_projector__0__weight": torch.randn(48, width)}
    edit_weights(official, drop="mm_projector.0.weight", **first)
    edit(official, mm_vision_tower="eyes", mm_vision_select_feature=feature, mm_hidden_size=width)
    model, processor = load(official)
    assert (processor.spec.encoder.layer, processor.spec.encoder.width) == (states, width)
    pixels = torch.randn(2, 3, 42, 42)
    with torch.no_grad():
        hidden = tower(pixels, output_hidden_states=True).hidden_states
        expected = torch.cat([hidden[state][:, 1:] for state in states], dim=-1)
        assert (model.encode(pixels) - expected).abs().max() < 1e-5
    convert("official", official, official.parent / "again")
    again = json.loads((official.parent / "again" / "config.json").read_text())
    assert (again["mm_vision_select_feature"], again["mm_vision_select_layer"]) == (feature, -2)


def test_other_hidden_states_have_no_name(built, tiny_spec, tmp_path):
    encoder = replace(tiny_spec().encoder, layer=(-2, -3, 1))
    wide = ProjectorSpec(kind="mlp2x_gelu", dim_in=encoder.width, dim_out=48)
    save(tmp_path / "run", *built(encoder=encoder, projector=wide))
    with pytest.raises(ValueError, match=r"no name for the hidden states \(-2, -3, 1\)"):
        convert("official", tmp_path / "run", tmp_path / "official")


class TestStageOne:
    """A projector alone, beside the config.json of its run; its language model lies in a folder of its own."""

    @pytest.fixture
    def projector(self, official, tmp_path):
        base, alone = tmp_path / "vicuna", tmp_path / "stage1"
        base.mkdir()
        alone.mkdir()
        tensors = load_file(official / WEIGHTS)
        mine = {key: value for key, value in tensors.items() if "mm_projector" in key or "image_newline" in key}
        torch.save(mine, alone / "mm_projector.bin")
        llm = {key: value for key, value in tensors.items() if key not in mine and "vision_tower" not in key}
        save_file(llm, base / WEIGHTS)
        (official / "tokenizer.json").rename(base / "tokenizer.json")
        state = {key.split("vision_model.")[1]: value for key, value in tensors.items() if "vision_tower" in key}
        eyes = json.loads((official / "vision_tower" / "config.json").read_text())
        tower = CLIPVisionModel(CLIPVisionConfig.from_dict(eyes))
        tower.load_state_dict(state)
        tower.save_pretrained(alone / "eyes")
        config = json.loads((official / "config.json").read_text())
        config |= {"_name_or_path": "lmsys/vicuna", "mm_vision_tower": "eyes"}
        (alone / "config.json").write_text(json.dumps(config))
        return alone

    def test_it_is_applied_to_its_base(self, projector, run, same_tensors):
        model, _ = load(projector, pickles=True)
        same_tensors(model.state_dict(), run[1].state_dict())

    def test_it_is_converted_with_its_base(self, projector, run, tmp_path, same_tensors):
        convert("anyres", projector, tmp_path / "whole", pickles=True)
        same_tensors(load_file(tmp_path / "whole" / WEIGHTS), load_file(run[0] / WEIGHTS))

    def test_the_template_is_said_by_who_loads(self, projector):
        assert load(projector, template="plain", pickles=True)[1].spec.template == "plain"

    def test_a_missing_base_is_named(self, projector):
        edit(projector, _name_or_path="lmsys/other")
        with pytest.raises(ValueError, match=r"mm_projector.bin needs its language model 'lmsys/other'.*no weights in"):
            load(projector)
        edit(projector, _name_or_path="")
        with pytest.raises(ValueError, match=r"config.json has no _name_or_path"):
            load(projector)


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ("image_newline", "mm_patch_merge_type 'spatial_unpad', but the weights have no model.image_newline"),
        ("mm_projector.2", r"weights do not fit: 2 \(projector.layers.2.bias, projector.layers.2.weight\) missing"),
        ("gate_proj", r"weights do not fit: 2 \(llm.model.layers.0.mlp.gate_proj.weight, .* missing"),
    ],
)
def test_missing_tensors(official, drop, message):
    edit_weights(official, drop=drop)
    with pytest.raises(ValueError, match=message):
        load(official)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("model__vision_resampler__query", r"1 \(llm.model.vision_resampler.query\) left over"),
        ("model__mm_projector__4__bias", r"1 \(projector.layers.4.bias\) left over"),
        ("visual__extra", r"1 tensors of layout 'official' have no name in 'anyres': \['visual.extra'\]"),
    ],
)
def test_unknown_tensors(official, key, message):
    edit_weights(official, **{key: torch.zeros(3)})
    with pytest.raises(ValueError, match=message):
        load(official)


def test_the_id_of_the_placeholder_is_the_tokenizers(built, tiny_tokenizer, official):
    # no token <image>: the key is informational
    edit(official, image_token_index=151646)
    assert load(official)[1].image_id is None
    tokenizer = tiny_tokenizer("<image>")
    tokenizer.save(str(official / "tokenizer.json"))
    found = tokenizer.token_to_id("<image>")
    with pytest.raises(ValueError, match=rf"image_token_index 151646, but <image> has id {found} in the tokenizer"):
        load(official)
    edit(official, image_token_index=found)
    assert load(official)[1].image_id == found


@pytest.mark.parametrize(
    ("kind", "factor"),
    [("LlavaLlamaForCausalLM", 2.0), ("LlavaMistralForCausalLM", 1.0), ("LlavaQwenForCausalLM", 1.0)],
)
def test_rope_scaling_counts_for_llama_only(official, kind, factor):
    config = json.loads((official / "config.json").read_text())
    del config["rope_parameters"]
    changes = {"architectures": [kind], "rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 2.0}}
    (official / "config.json").write_text(json.dumps(config | changes))
    if "Qwen" in kind:
        # its attention has biases
        biases = {
            f"model__layers__{n}__self_attn__{p}_proj__bias": torch.zeros(48 if p == "q" else 24)
            for n in (0, 1)
            for p in "qkv"
        }
        edit_weights(official, **biases)
    model, processor = load(official)
    assert processor.spec.context == 1024 * factor
    plain = 1.0 / 10000.0 ** (torch.arange(0, 12, 2) / 12)
    assert torch.allclose(model.llm.model.rotary_emb.inv_freq, plain / factor)


def test_highres(tiny_spec):
    encoder = tiny_spec().encoder
    config = {"image_aspect_ratio": "highres", "image_grid_pinpoints": "42,84,126"}
    expected = GridSpec(layouts=(HW(3, 3),), merge="flat", detail="pad_square", thin="released")
    assert grid_of(config, encoder, "x") == expected
    with pytest.raises(ValueError, match="merges highres tiles as 2 x 2 whatever there is, and 126 px make 3 x 3"):
        grid_of(config | {"mm_patch_merge_type": "spatial_unpad"}, encoder, "x")
    with pytest.raises(ValueError, match="highres edge 100 is no multiple of the tile's 42"):
        grid_of(config | {"image_grid_pinpoints": "42,100"}, encoder, "x")


def test_pooling_position(tiny_spec):
    encoder = tiny_spec().encoder
    config = {"mm_patch_merge_type": "spatial_unpad", "mm_resampler_type": "spatial_pool"}
    after = video_of(config | {"mm_pooling_position": "after", "mm_newline_position": "grid"}, encoder, "x")
    assert (after.pool_before_projector, after.pool_mode, after.end) == (False, "average", "grid")
    # no released code reads the key without the resampler
    plain = video_of({"mm_patch_merge_type": "spatial_unpad", "mm_pooling_position": "before"}, encoder, "x")
    assert not plain.pool_before_projector
    with pytest.raises(ValueError, match="mm_pooling_position 'beside'"):
        video_of(config | {"mm_pooling_position": "beside"}, encoder, "x")

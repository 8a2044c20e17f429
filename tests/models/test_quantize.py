"""Quantised and spread language models: what changes and by how much. Skips where a package is absent."""

import sys

import pytest
import torch
from torch import nn

from models.build import build_model, load
from models.checkpoints.save import save
from models.placement import Placement, place
from models.quantize import quantizer, weight_bytes

# packages of each mode on a CPU, and the bound of the logits' error, root mean square over their spread
MODES = {"int8": ("torchao", 0.05), "int4": ("bitsandbytes", 0.4)}
WHOLE = {"": "cpu"}


@pytest.fixture
def wide(built, tmp_path):
    """A run folder whose linear layers are wide enough for blocks of 64."""
    from models.spec import ProjectorSpec

    # weights small enough that errors do not grow from block to block
    sizes = {"hidden_size": 128, "intermediate_size": 256, "initializer_range": 0.05}
    model, processor = built(llm=sizes, projector=ProjectorSpec(kind="mlp2x_gelu", dim_in=32, dim_out=128))
    save(tmp_path / "wide", model, processor)
    return tmp_path / "wide", model, processor


@pytest.mark.parametrize("mode", MODES)
class TestQuantized:
    def test_blocks_change_and_nothing_else(self, wide, mode):
        pytest.importorskip(MODES[mode][0])
        folder, model, _ = wide
        read, _ = load(folder, quantize=mode)
        kept = dict(read.named_parameters())
        for name, parameter in model.named_parameters():
            linear = name.startswith("llm.model.layers.") and "proj." in name
            assert (type(kept[name]) is nn.Parameter and torch.equal(kept[name], parameter)) != linear, name

    def test_logits_differ_by_a_bounded_error(self, wide, mode, ask, tiny_image):
        pytest.importorskip(MODES[mode][0])
        folder, model, processor = wide
        read, reader = load(folder, quantize=mode)
        image = tiny_image(90, 60)
        expected, found = ask(model, processor, image), ask(read, reader, image)
        error = (found - expected).square().mean().sqrt() / expected.std()
        assert 0 < error < MODES[mode][1]

    def test_bytes(self, wide, mode):
        pytest.importorskip(MODES[mode][0])
        folder, model, _ = wide
        read, _ = load(folder, quantize=mode)
        plain, small = model.llm.model.layers[0].mlp.up_proj, read.llm.model.layers[0].mlp.up_proj
        weights = 256 * 128
        assert weight_bytes(plain) == 4 * weights
        # a float32 scale and an int8 zero a row; half a byte each and a float32 scale for every 64
        scales = {"int8": 256 * 5, "int4": weights // 64 * 4}[mode]
        assert weight_bytes(small) == {"int8": weights, "int4": weights // 2}[mode] + scales

    def test_a_missing_package_is_named(self, run, mode, monkeypatch):
        monkeypatch.setattr("models.quantize.find_spec", lambda name: None)
        with pytest.raises(ValueError, match=rf"needs the package {MODES[mode][0]}.*anyres\[quant\]"):
            load(run[0], quantize=mode)

    def test_saving_is_refused(self, wide, mode, tmp_path):
        pytest.importorskip(MODES[mode][0])
        read, processor = load(wide[0], quantize=mode)
        with pytest.raises(ValueError, match="quantised"):
            save(tmp_path / "again", read, processor)
        assert not (tmp_path / "again").exists()


def test_modes_and_devices():
    with pytest.raises(ValueError, match="quantize 'int3' is none of int8, int4"):
        quantizer("int3", torch.device("cpu"))


def test_quantize_and_device_map_exclude_each_other(run):
    with pytest.raises(ValueError, match="do not go together"):
        load(run[0], quantize="int8", device_map="auto")


class TestPlacement:
    def test_a_dict_gives_the_same_answers(self, run, ask, tiny_image):
        pytest.importorskip("accelerate")
        folder, model, processor = run
        blocks = dict.fromkeys(("model.embed_tokens", "model.layers", "model.norm", "lm_head"), "cpu")
        read, reader = load(folder, device_map=blocks, dtype=torch.float32)
        image = tiny_image(90, 60)
        assert torch.equal(ask(read, reader, image), ask(model, processor, image))
        assert read.device == torch.device("cpu")

    def test_auto_gives_the_same_answers(self, run, ask, tiny_image):
        pytest.importorskip("accelerate")
        if torch.cuda.is_available():
            pytest.skip("auto takes the GPU, whose sums differ")
        folder, model, processor = run
        read, reader = load(folder, device_map="auto", dtype=torch.float32)
        assert torch.equal(ask(read, reader, tiny_image(90, 60)), ask(model, processor, tiny_image(90, 60)))

    def test_blocks_on_several_devices(self, tiny_spec, tiny_llm):
        pytest.importorskip("accelerate")
        model = build_model(tiny_spec(), tiny_llm, initialise=False, device="meta")
        blocks = {
            "model.embed_tokens": "cuda:0",
            "model.layers.0": 0,
            "model.layers.1": "cuda:1",
            "model.norm": 1,
            "model.rotary_emb": 0,
            "lm_head": "cpu",
        }
        placement = place(model, torch.device("cpu"), blocks)
        assert placement.first == torch.device("cuda:0")
        assert placement.device_of("encoder.tower.embeddings.class_embedding") == torch.device("cuda:0")
        assert placement.device_of("llm.model.layers.0.mlp.up_proj.weight") == torch.device("cuda:0")
        assert placement.device_of("llm.model.layers.1.mlp.up_proj.weight") == torch.device("cuda:1")
        assert placement.device_of("llm.lm_head.weight") == torch.device("cpu")

    def test_the_longest_name_counts(self):
        cpu, first = torch.device("cpu"), torch.device("cuda:0")
        placement = Placement(first=first, blocks={"": first, "model.layers.1": cpu})
        assert placement.device_of("llm.model.layers.1.mlp.up_proj.weight") == cpu
        assert placement.device_of("llm.model.layers.10.mlp.up_proj.weight") == first

    @pytest.mark.parametrize(
        ("device_map", "message"),
        [
            ({"model": "cpu"}, r"no device for 1 parameters of the language model: \['lm_head.weight'\]"),
            ({"": "disk"}, "does not fit"),
            ("evenly", "'evenly' is neither 'auto' nor a dict"),
        ],
    )
    def test_maps_that_do_not_work(self, run, device_map, message):
        pytest.importorskip("accelerate")
        with pytest.raises(ValueError, match=message):
            load(run[0], device_map=device_map)

    def test_a_missing_package_is_named(self, run, monkeypatch):
        monkeypatch.setattr("models.placement.find_spec", lambda name: None)
        with pytest.raises(ValueError, match=r"needs the package accelerate.*anyres\[accelerate\]"):
            load(run[0], device_map=WHOLE)


def test_nothing_is_imported_that_is_not_asked_for(run):
    before = set(sys.modules)
    load(run[0])
    assert not {"bitsandbytes", "torchao"} & (set(sys.modules) - before)

"""Official LLaVA-NeXT folders: round trips, towers inside and beside, what decides, and what is refused."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from anyres.geometry import HW
from anyres.grid import GridSpec
from models.build import build_model, load
from models.checkpoints.convert import convert
from models.checkpoints.format import Checkpoint
from models.checkpoints.load import read_checkpoint
from models.checkpoints.official_write import write_official
from models.checkpoints.save import save, weights
from models.checkpoints.tensors import write_tensors
from models.processor import Processor
from models.spec import ProjectorSpec
from video.clip import VideoSpec


class TestOfficial:
    def test_round_trip_is_bit_equal(self, run, tmp_path, same_tensors):
        folder, _, processor = run
        convert("official", folder, tmp_path / "official")
        keys = set(load_file(tmp_path / "official" / "model.safetensors"))
        assert {"model.image_newline", "model.mm_projector.2.weight", "lm_head.weight", "model.norm.weight"} < keys
        assert "model.vision_tower.vision_tower.vision_model.embeddings.class_embedding" in keys
        convert("anyres", tmp_path / "official", tmp_path / "back")
        same_tensors(load_file(tmp_path / "back" / "model.safetensors"), load_file(folder / "model.safetensors"))
        back = read_checkpoint(tmp_path / "back").spec
        assert (back.grid, back.video, back.template) == (processor.spec.grid, processor.spec.video, "vicuna_v1")

    def test_through_llava_hf_and_back_is_bit_equal(self, run, tmp_path, same_tensors):
        folder, _, _ = run
        convert("official", folder, tmp_path / "official")
        convert("llava-hf", tmp_path / "official", tmp_path / "hf")
        convert("official", tmp_path / "hf", tmp_path / "official2")
        same_tensors(
            load_file(tmp_path / "official2" / "model.safetensors"),
            load_file(tmp_path / "official" / "model.safetensors"),
        )
        first, second = (
            json.loads((tmp_path / name / "config.json").read_text()) for name in ("official", "official2")
        )
        assert first["image_grid_pinpoints"] == second["image_grid_pinpoints"]

    @pytest.mark.parametrize(
        "changes",
        [
            {"video": VideoSpec(num_frames=32, pool=2, pool_mode="bilinear", end="one_token", fit="crop")},
            {
                "video": VideoSpec(
                    num_frames=4, pool_mode="average", pool_before_projector=True, end="no_token", fit="crop"
                )
            },
            {"projector": ProjectorSpec(kind="linear", dim_in=32, dim_out=48)},
            {"projector": ProjectorSpec(kind="mlp3x_gelu", dim_in=32, dim_out=48)},
            {"rope_factor": 2.0},
            {"grid": GridSpec(layouts=(HW(1, 1), HW(1, 2), HW(2, 2)), target_tiles=9), "several": "pad"},
            {"template": "qwen_1_5", "llm": {"model_type": "qwen2", "tie_word_embeddings": True}},
            {"template": "mistral_instruct", "llm": {"model_type": "mistral", "sliding_window": None}},
        ],
        ids=["one_token", "pool_first", "linear", "mlp3x", "rope", "max_9", "qwen2 tied", "mistral"],
    )
    def test_settings_survive(self, built, tmp_path, tiny_image, changes, same_tensors, ask):
        model, processor = built(**changes)
        save(tmp_path / "run", model, processor)
        convert("official", tmp_path / "run", tmp_path / "official")
        read, its_processor = load(tmp_path / "official")
        spec = its_processor.spec
        assert (spec.grid, spec.video, spec.several) == (
            processor.spec.grid,
            processor.spec.video,
            processor.spec.several,
        )
        assert (spec.template, spec.rope_factor, spec.projector) == (
            processor.spec.template,
            processor.spec.rope_factor,
            processor.spec.projector,
        )
        same_tensors(read.state_dict(), model.state_dict())
        image = tiny_image(80, 60)
        assert torch.equal(ask(read, its_processor, image), ask(model, processor, image))

    def test_pad_and_flat_has_no_end_vectors(self, built, tmp_path, tiny_image, ask):
        model, processor = built(grid=GridSpec(overview="pad", merge="flat"))
        torch.nn.init.zeros_(model.ends_KD)
        processor = Processor(replace(processor.spec, video=VideoSpec(end="no_token", fit="crop")), processor.tokenizer)
        save(tmp_path / "run", model, processor)
        convert("official", tmp_path / "run", tmp_path / "official")
        assert not any("newline" in key for key in load_file(tmp_path / "official" / "model.safetensors"))
        read, its_processor = load(tmp_path / "official")
        assert its_processor.spec.grid == processor.spec.grid
        image = tiny_image(80, 60)
        assert torch.equal(ask(read, its_processor, image), ask(model, processor, image))

    def test_model_type_llava_and_the_folders_name_do_not_decide(self, run, tmp_path, same_tensors):
        folder, model, _ = run
        name = tmp_path / "siglip-qwen-mistral-mpt"
        convert("official", folder, name)
        config = json.loads((name / "config.json").read_text())
        # what released files say, which transformers takes for its own class of that name
        config |= {"model_type": "llava", "architectures": ["LlavaLlamaForCausalLM"]}
        del config["anyres"]
        (name / "config.json").write_text(json.dumps(config))
        read, processor = load(name)
        assert (processor.spec.llm.kind, processor.spec.encoder.backend) == ("llama", "hf_clip")
        assert processor.spec.template == "vicuna_v1"
        same_tensors(read.state_dict(), model.state_dict())

    def test_sharded(self, run, tmp_path, same_tensors):
        folder, model, _ = run
        convert("official", folder, tmp_path / "official")
        tensors = load_file(tmp_path / "official" / "model.safetensors")
        (tmp_path / "official" / "model.safetensors").unlink()
        write_tensors(tmp_path / "official", tensors, shard_bytes=30_000)
        same_tensors(load(tmp_path / "official")[0].state_dict(), model.state_dict())

    def test_a_tower_saved_by_transformers_5_is_read_too(self, run, tmp_path, same_tensors):
        folder, model, _ = run
        convert("official", folder, tmp_path / "official")
        file = tmp_path / "official" / "model.safetensors"
        save_file({key.replace(".vision_model.", "."): value for key, value in load_file(file).items()}, file)
        same_tensors(load(tmp_path / "official")[0].state_dict(), model.state_dict())

    @pytest.mark.parametrize("where", ["sub", "beside", "absolute"])
    def test_tower_next_to_the_weights(self, run, tmp_path, where, same_tensors):
        folder, model, _ = run
        official = tmp_path / "official"
        convert("official", folder, official)
        tensors = load_file(official / "model.safetensors")
        inside = [key for key in tensors if "vision_tower" in key]
        state = {key.split("vision_model.")[1]: tensors.pop(key) for key in inside}
        save_file(tensors, official / "model.safetensors")
        for path in (official / "vision_tower").iterdir():
            path.unlink()
        (official / "vision_tower").rmdir()
        place = {"sub": official / "eyes", "beside": tmp_path / "eyes", "absolute": tmp_path / "a" / "eyes"}[where]
        tower = CLIPVisionModel(
            CLIPVisionConfig(
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=3,
                num_attention_heads=2,
                image_size=42,
                patch_size=14,
            )
        )
        tower.load_state_dict(state)
        tower.save_pretrained(place)
        config = json.loads((official / "config.json").read_text())
        config["mm_vision_tower"] = {"sub": "eyes", "beside": "someone/eyes", "absolute": str(place)}[where]
        (official / "config.json").write_text(json.dumps(config))
        same_tensors(load(official)[0].state_dict(), model.state_dict())

    def test_a_missing_tower_lists_the_places(self, run, tmp_path):
        convert("official", run[0], tmp_path / "official")
        for path in (tmp_path / "official" / "vision_tower").iterdir():
            path.unlink()
        with pytest.raises(ValueError, match=r"no config of the vision tower 'vision_tower'.*openai/clip-vit-large"):
            load(tmp_path / "official")

    def test_a_published_name_of_another_size_is_refused(self, run, tmp_path):
        convert("official", run[0], tmp_path / "official")
        for path in (tmp_path / "official" / "vision_tower").iterdir():
            path.unlink()
        config = json.loads((tmp_path / "official" / "config.json").read_text())
        config["mm_vision_tower"] = "openai/clip-vit-large-patch14-336"
        (tmp_path / "official" / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match=r"dim 1024 in the spec but 32 there"):
            load(tmp_path / "official")

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("mm_patch_merge_type", "unires", "mm_patch_merge_type 'unires' is none of flat, spatial,"),
            ("mm_patch_merge_type", "spatial", "mm_newline_position 'grid' needs image_newline"),
            ("image_aspect_ratio", "crop_split", "image_aspect_ratio 'crop_split' .*: its crops have no overview"),
            ("image_aspect_ratio", "highres", "highres needs a string 'EDGE,EDGE,...', got .*42, 84"),
            ("image_grid_pinpoints", None, "image_aspect_ratio 'anyres' needs image_grid_pinpoints, got none"),
            ("mm_projector_type", "pooler", "mm_projector_type 'pooler': .*merges 2 x 2 tokens"),
            ("mm_projector_type", "mlp9x_gelu", "mm_projector_type 'mlp9x_gelu': .*expected one of linear"),
            ("mm_use_im_start_end", True, "mm_use_im_start_end true, but the tokenizer has no token <im_start>"),
            ("sep_image_conv_front", True, "sep_image_conv_front true is not supported"),
            ("s2", True, "s2 true is not supported: several scales"),
            ("add_faster_video", True, "add_faster_video true, but the weights have no model.faster_token"),
            ("mm_resampler_type", "perceiver", "mm_resampler_type 'perceiver'"),
            ("mm_spatial_pool_mode", "sum", "mm_spatial_pool_mode 'sum'"),
            ("mm_newline_position", "row", "mm_newline_position 'row'"),
            ("mm_vision_select_feature", "cls_patch", "mm_vision_select_feature 'cls_patch' keeps the class token"),
            ("mm_vision_select_feature", "slicefour_cls_patch", "'slicefour_cls_patch' keeps the class token"),
            ("mm_vision_select_feature", "cls", "mm_vision_select_feature 'cls' is none of patch"),
            ("mm_patchify_video_feature", True, "unknown keys mm_patchify_video_feature"),
            ("anyres", {"templates": "v0"}, "anyres: unknown keys templates, expected template"),
            ("anyres", {"template": "v7"}, "template 'v7'|template: expected one of"),
            ("image_grid_pinpoints", [[42, 84], [42, 80]], r"image_grid_pinpoints\[1\].*42 pixels, got \[42, 80\]"),
            ("mm_hidden_size", 64, "mm_hidden_size 64, but the vision tower is 32 wide"),
            ("architectures", ["LlavaMptForCausalLM"], "name no known language model"),
        ],
    )
    def test_what_is_not_supported_is_named(self, run, tmp_path, key, value, message):
        convert("official", run[0], tmp_path / "official")
        config = json.loads((tmp_path / "official" / "config.json").read_text())
        config |= {key: value} | ({"model_type": "llava"} if key == "architectures" else {})
        (tmp_path / "official" / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match=message):
            load(tmp_path / "official")


class TestOfficialSiglip:
    """SigLIP towers: the released code reads the last block but one and saves checkpoints without the last block."""

    def official(self, tiny_spec, tiny_tokenizer, tiny_llm, folder):
        torch.manual_seed(0)
        encoder = replace(
            tiny_spec().encoder,
            backend="hf_siglip",
            layers=2,
            layer=-1,
            prefix_tokens=0,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            act="gelu_tanh",
            norm_eps=1e-6,
            tile_px=44,
        )
        spec = tiny_spec(encoder=encoder, video=VideoSpec(end="one_token"))
        model = build_model(spec, tiny_llm).eval()
        checkpoint = Checkpoint(spec=spec, llm_config=tiny_llm, tokenizer=tiny_tokenizer(), tensors=weights(model))
        write_official(folder, checkpoint)
        return model, spec

    def test_without_its_last_block(self, tiny_spec, tiny_tokenizer, tiny_llm, tmp_path, same_tensors):
        model, spec = self.official(tiny_spec, tiny_tokenizer, tiny_llm, tmp_path)
        assert json.loads((tmp_path / "vision_tower" / "config.json").read_text())["num_hidden_layers"] == 3
        read, processor = load(tmp_path)
        assert processor.spec.encoder == replace(spec.encoder, weights="vision_tower")
        same_tensors(read.state_dict(), model.state_dict())

    def test_a_complete_tower_beside_is_read_at_the_same_place(self, tiny_spec, tiny_tokenizer, tiny_llm, tmp_path):
        model, _ = self.official(tiny_spec, tiny_tokenizer, tiny_llm, tmp_path)
        tensors = load_file(tmp_path / "model.safetensors")
        save_file({k: v for k, v in tensors.items() if "vision_tower" not in k}, tmp_path / "model.safetensors")
        config = SiglipVisionConfig(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=2,
            image_size=44,
            patch_size=14,
        )
        tower = SiglipVisionModel(config)
        ours = model.encoder.tower.state_dict()
        tower.load_state_dict(ours, strict=False)
        tower.save_pretrained(tmp_path / "vision_tower")
        read, processor = load(tmp_path)
        assert (processor.spec.encoder.layers, processor.spec.encoder.layer) == (3, -2)
        pixels = torch.randn(2, 3, 44, 44)
        with torch.no_grad():
            assert torch.equal(read.encode(pixels), model.encode(pixels))

"""Run folders and the official and llava-hf layouts: bit-equal round trips, and clear refusals."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from anyres.geometry import HW
from anyres.grid import GridSpec
from models.build import build_model, load
from models.checkpoints.convert import convert
from models.checkpoints.format import Checkpoint
from models.checkpoints.load import read_checkpoint
from models.checkpoints.main import main
from models.checkpoints.official_write import write_official
from models.checkpoints.rename import hf_layout, rename
from models.checkpoints.save import save, weights
from models.checkpoints.tensors import read_tensors, write_tensors
from models.example import Example, Turn
from models.llms.build import llm_config, llm_spec
from models.processor import Processor
from models.spec import ProjectorSpec
from video.clip import VideoSpec


def ask(model, processor, image, text="What?"):
    one = Example(id="x", media=(image,), turns=(Turn(role="user", text="<image>\n" + text),))
    with torch.no_grad():
        return model(processor.batch([one])).logits


def same_tensors(first, second):
    assert set(first) == set(second)
    for key in first:
        assert first[key].dtype == second[key].dtype, key
        assert torch.equal(first[key], second[key]), key


@pytest.fixture
def built(tiny_spec, tiny_tokenizer, tiny_llm):
    def make(llm=None, num_ends=1, **changes):
        torch.manual_seed(0)
        raw = {**tiny_llm, **(llm or {})}
        spec = tiny_spec(llm=llm_spec(llm_config(raw)), **changes)
        model = build_model(spec, raw, num_ends=num_ends).eval()
        return model, Processor(spec, tiny_tokenizer())

    return make


@pytest.fixture
def run(built, tmp_path):
    model, processor = built()
    save(tmp_path / "run", model, processor)
    return tmp_path / "run", model, processor


class TestRunFolder:
    def test_comes_back_bit_equal(self, run, tiny_image):
        folder, model, processor = run
        assert sorted(path.name for path in folder.iterdir()) == [
            "anyres.json",
            "llm_config.json",
            "model.safetensors",
            "tokenizer.json",
        ]
        again, its_processor = load(folder)
        assert its_processor.spec == processor.spec
        same_tensors(again.state_dict(), model.state_dict())
        image = tiny_image(80, 60)
        assert torch.equal(ask(again, its_processor, image), ask(model, processor, image))

    def test_half_precision_is_recorded_and_read_as_float32_on_a_cpu(self, run, tmp_path):
        _, model, processor = run
        save(tmp_path / "half", model, processor, dtype="float16")
        stored = load_file(tmp_path / "half" / "model.safetensors")
        assert {value.dtype for value in stored.values()} == {torch.float16}
        read, its_processor = load(tmp_path / "half")
        assert its_processor.spec.dtype == "float16"
        assert {value.dtype for value in read.parameters()} == {torch.float32}
        same_tensors(weights(read), {key: value.half().float() for key, value in weights(model).items()})
        asked, _ = load(tmp_path / "half", dtype=torch.bfloat16)
        assert {value.dtype for value in asked.parameters()} == {torch.bfloat16}

    def test_tied_words_are_stored_once(self, built, tmp_path):
        model, processor = built(llm={"tie_word_embeddings": True})
        save(tmp_path / "tied", model, processor)
        assert "llm.lm_head.weight" not in load_file(tmp_path / "tied" / "model.safetensors")
        again, _ = load(tmp_path / "tied")
        assert again.llm.lm_head.weight is again.llm.model.embed_tokens.weight
        same_tensors(again.state_dict(), model.state_dict())

    def test_rope_factor_is_recorded_and_replaced(self, built, tmp_path):
        model, processor = built(rope_factor=2.0)
        save(tmp_path / "far", model, processor)
        config = json.loads((tmp_path / "far" / "llm_config.json").read_text())
        assert config["rope_parameters"]["rope_type"] == "default"
        frequencies = {}
        for factor in (None, 1.0, 4.0):
            read, its_processor = load(tmp_path / "far", rope_factor=factor)
            frequencies[factor] = read.llm.model.rotary_emb.inv_freq
            assert its_processor.spec.context == 1024 * (factor or 2.0)
        assert torch.equal(frequencies[None], model.llm.model.rotary_emb.inv_freq)
        assert torch.equal(frequencies[None], frequencies[1.0] / 2)
        assert torch.equal(frequencies[4.0], frequencies[1.0] / 4)

    def test_a_wrong_key_or_shape_is_named(self, run):
        folder, _, _ = run
        file = folder / "model.safetensors"
        tensors = load_file(file)
        save_file({**tensors, "ends_KD": tensors["ends_KD"][:, :40].clone()}, file)
        with pytest.raises(ValueError, match=r"ends_KD is \[1, 40\], expected \[1, 48\]"):
            load(folder)
        tensors["ends"] = tensors["ends_KD"].clone()
        del tensors["llm.model.norm.weight"]
        save_file(tensors, file)
        with pytest.raises(ValueError, match=r"1 \(llm.model.norm.weight\) missing, 1 \(ends\) left over"):
            load(folder)

    def test_a_wrong_spec_is_named(self, run):
        folder, _, _ = run
        raw = json.loads((folder / "anyres.json").read_text())
        raw["spec"]["grid"]["slak"] = 1.0
        (folder / "anyres.json").write_text(json.dumps(raw))
        with pytest.raises(ValueError, match=r"spec.grid.slak: unknown key, did you mean 'slack'"):
            load(folder)
        (folder / "anyres.json").write_text(json.dumps({"format": 7}))
        with pytest.raises(ValueError, match="expected format 1, got 7"):
            load(folder)


class TestFiles:
    def test_shards_hold_the_same_tensors(self, run, tmp_path):
        tensors = load_file(run[0] / "model.safetensors")
        write_tensors(tmp_path / "shards", tensors, shard_bytes=20_000)
        names = sorted(path.name for path in (tmp_path / "shards").iterdir())
        assert len(names) > 3
        assert names[-1] == "model.safetensors.index.json"
        same_tensors(read_tensors(tmp_path / "shards"), tensors)
        (tmp_path / "shards" / names[1]).unlink()
        with pytest.raises(ValueError, match=f"shard {names[1]} is missing"):
            read_tensors(tmp_path / "shards")

    def test_torch_files_are_read_without_running_code(self, run, tmp_path):
        tensors = load_file(run[0] / "model.safetensors")
        folder = tmp_path / "torch"
        folder.mkdir()
        torch.save(tensors, folder / "pytorch_model.bin")
        same_tensors(read_tensors(folder), tensors)
        marker = tmp_path / "ran"

        class Payload:
            def __reduce__(self):
                return (open, (str(marker), "w"))

        torch.save({"a": Payload()}, folder / "pytorch_model.bin")
        with pytest.raises(ValueError, match=r"pytorch_model.bin: holds more than tensors"):
            read_tensors(folder)
        assert not marker.exists()

    def test_a_shard_outside_the_folder_is_refused(self, tmp_path):
        index = {"weight_map": {"a": "../a.safetensors"}}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(ValueError, match=r"'../a.safetensors' is not a plain file name"):
            read_tensors(tmp_path)

    def test_no_weights(self, tmp_path):
        with pytest.raises(ValueError, match=r"looked for model.safetensors, "):
            read_tensors(tmp_path)


class TestUnknown:
    def test_missing_folder(self, tmp_path):
        with pytest.raises(ValueError, match="no such folder"):
            load(tmp_path / "liuhaotian" / "llava-v1.6-vicuna-7b")

    def test_layouts_that_were_looked_for_are_listed(self, tmp_path):
        with pytest.raises(ValueError, match=r"anyres.json .*vision_config .*mm_vision_tower .*no config.json"):
            load(tmp_path)
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 8}))
        with pytest.raises(ValueError, match=r"found config.json with hidden_size, model_type"):
            load(tmp_path)

    def test_other_llava_hf_types_are_refused(self, tmp_path):
        config = {"model_type": "llava_onevision", "vision_config": {}, "text_config": {}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match=r"'llava_onevision' is none of llava_next, llava_next_video"):
            load(tmp_path)


class TestLlavaHf:
    def test_round_trip_is_bit_equal(self, run, tmp_path):
        folder, _, _ = run
        convert("llava-hf", folder, tmp_path / "hf")
        convert("anyres", tmp_path / "hf", tmp_path / "back")
        same_tensors(load_file(tmp_path / "back" / "model.safetensors"), load_file(folder / "model.safetensors"))
        convert("llava-hf", tmp_path / "back", tmp_path / "again")
        same_tensors(
            load_file(tmp_path / "again" / "model.safetensors"), load_file(tmp_path / "hf" / "model.safetensors")
        )

    def test_transformers_loads_what_is_written_and_agrees(self, built, tmp_path, tiny_image):
        before, its_processor = built(llm={"vocab_size": 260})
        save(tmp_path / "run", before, its_processor)
        convert("llava-hf", tmp_path / "run", tmp_path / "hf")
        theirs = LlavaNextForConditionalGeneration.from_pretrained(tmp_path / "hf").eval()
        their_processor = LlavaNextProcessor.from_pretrained(tmp_path / "hf", backend="pil")
        # 260 rows and <image> make 261, padded to a multiple of 64
        assert theirs.lm_head.weight.shape == (320, 48)
        model, processor = load(tmp_path / "hf")
        same_tensors(model.state_dict(), before.state_dict())
        image = tiny_image(80, 60)
        turns = (Turn(role="user", text="<image>\nWhat?"),)
        text = processor.template.render(turns, add_generation_prompt=True).text
        inputs = their_processor(text=text, images=image, return_tensors="pt")
        with torch.no_grad():
            expected = theirs(**inputs).logits[..., :260]
        torch.testing.assert_close(ask(model, processor, image), expected, rtol=0, atol=1e-5)

    @pytest.mark.parametrize("layout", ["hf_hosted", "hf_saved", "hf_model", "hf_nested"])
    def test_every_key_layout_is_told_and_read(self, run, tmp_path, layout):
        folder, _, _ = run
        convert("llava-hf", folder, tmp_path / "hf")
        hosted = load_file(tmp_path / "hf" / "model.safetensors")
        ours = rename(hosted, "hf_hosted", "anyres")
        theirs = rename(ours.values(), "anyres", layout)
        renamed = {theirs[ours[key]]: value for key, value in hosted.items()}
        assert len(renamed) == len(hosted)
        assert hf_layout(renamed) == layout
        save_file(renamed, tmp_path / "hf" / "model.safetensors")
        same_tensors(read_checkpoint(tmp_path / "hf").tensors, load_file(folder / "model.safetensors"))

    def test_what_it_cannot_hold_is_named(self, built, tmp_path):
        model, processor = built(grid=GridSpec(layouts=(HW(1, 1),), target_tiles=4, merge="spatial"), num_ends=2)
        save(tmp_path / "run", model, processor)
        with pytest.raises(ValueError, match=r"2 end vectors, expected 1; grid.merge 'spatial'.*; a token target"):
            convert("llava-hf", tmp_path / "run", tmp_path / "hf")


class TestOfficial:
    def test_round_trip_is_bit_equal(self, run, tmp_path):
        folder, _, processor = run
        convert("official", folder, tmp_path / "official")
        keys = set(load_file(tmp_path / "official" / "model.safetensors"))
        assert {"model.image_newline", "model.mm_projector.2.weight", "lm_head.weight", "model.norm.weight"} < keys
        assert "model.vision_tower.vision_tower.vision_model.embeddings.class_embedding" in keys
        convert("anyres", tmp_path / "official", tmp_path / "back")
        same_tensors(load_file(tmp_path / "back" / "model.safetensors"), load_file(folder / "model.safetensors"))
        back = read_checkpoint(tmp_path / "back").spec
        assert (back.grid, back.video, back.template) == (processor.spec.grid, processor.spec.video, "vicuna_v1")

    def test_through_llava_hf_and_back_is_bit_equal(self, run, tmp_path):
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
    def test_settings_survive(self, built, tmp_path, tiny_image, changes):
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

    def test_pad_and_flat_has_no_end_vectors(self, built, tmp_path, tiny_image):
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

    def test_model_type_llava_and_the_folders_name_do_not_decide(self, run, tmp_path):
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

    def test_sharded(self, run, tmp_path):
        folder, model, _ = run
        convert("official", folder, tmp_path / "official")
        tensors = load_file(tmp_path / "official" / "model.safetensors")
        (tmp_path / "official" / "model.safetensors").unlink()
        write_tensors(tmp_path / "official", tensors, shard_bytes=30_000)
        same_tensors(load(tmp_path / "official")[0].state_dict(), model.state_dict())

    @pytest.mark.parametrize("where", ["sub", "beside", "absolute"])
    def test_tower_next_to_the_weights(self, run, tmp_path, where):
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
            ("mm_patch_merge_type", "spatial_maxpool2x2", "mm_patch_merge_type 'spatial_maxpool2x2'"),
            ("image_aspect_ratio", "highres", "image_aspect_ratio 'highres'"),
            ("mm_projector_type", "pooler", "mm_projector_type 'pooler'"),
            ("mm_use_im_start_end", True, "mm_use_im_start_end true is not supported"),
            ("mm_resampler_type", "perceiver", "mm_resampler_type 'perceiver'"),
            ("mm_spatial_pool_mode", "max", "mm_spatial_pool_mode 'max'"),
            ("mm_vision_select_feature", "cls_patch", "mm_vision_select_feature 'cls_patch'"),
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

    def test_without_its_last_block(self, tiny_spec, tiny_tokenizer, tiny_llm, tmp_path):
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


class TestCommand:
    def test_converts_and_says_what(self, run, tmp_path, capsys):
        assert main(["official", str(run[0]), str(tmp_path / "out")]) == 0
        assert "(llama, " in capsys.readouterr().out
        assert main(["anyres", str(tmp_path / "out"), str(tmp_path / "back")]) == 0
        same_tensors(load_file(tmp_path / "back" / "model.safetensors"), load_file(run[0] / "model.safetensors"))

    def test_refuses_a_full_target_in_one_line(self, run, tmp_path, capsys):
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "a").touch()
        assert main(["anyres", str(run[0]), str(tmp_path / "full")]) == 2
        error = capsys.readouterr().err
        assert error == f"anyres-convert: {tmp_path / 'full'}: exists and is not an empty folder\n"

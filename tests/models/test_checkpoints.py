"""Run folders and the official and llava-hf layouts: bit-equal round trips, and clear refusals."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
)

from anyres.geometry import HW
from anyres.grid import GridSpec
from models.build import load
from models.checkpoints.convert import convert
from models.checkpoints.load import read_checkpoint
from models.checkpoints.main import main
from models.checkpoints.rename import hf_layout, rename
from models.checkpoints.save import save, weights
from models.checkpoints.tensors import read_tensors, write_tensors
from models.example import Turn


class TestRunFolder:
    def test_comes_back_bit_equal(self, run, tiny_image, same_tensors, ask):
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

    def test_half_precision_is_recorded_and_read_as_float32_on_a_cpu(self, run, tmp_path, same_tensors):
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

    def test_tied_words_are_stored_once(self, built, tmp_path, same_tensors):
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
    def test_shards_hold_the_same_tensors(self, run, tmp_path, same_tensors):
        tensors = load_file(run[0] / "model.safetensors")
        write_tensors(tmp_path / "shards", tensors, shard_bytes=20_000)
        names = sorted(path.name for path in (tmp_path / "shards").iterdir())
        assert len(names) > 3
        assert names[-1] == "model.safetensors.index.json"
        same_tensors(read_tensors(tmp_path / "shards"), tensors)
        (tmp_path / "shards" / names[1]).unlink()
        with pytest.raises(ValueError, match=f"shard {names[1]} is missing"):
            read_tensors(tmp_path / "shards")

    def test_torch_files_are_read_without_running_code(self, run, tmp_path, same_tensors):
        tensors = load_file(run[0] / "model.safetensors")
        folder = tmp_path / "torch"
        folder.mkdir()
        torch.save(tensors, folder / "pytorch_model.bin")
        same_tensors(read_tensors(folder, pickles=True), tensors)
        marker = tmp_path / "ran"

        class Payload:
            def __reduce__(self):
                return (open, (str(marker), "w"))

        torch.save({"a": Payload()}, folder / "pytorch_model.bin")
        with pytest.raises(ValueError, match=r"pytorch_model.bin: holds more than tensors"):
            read_tensors(folder, pickles=True)
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
        config = {"model_type": "vipllava", "vision_config": {}, "text_config": {}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match=r"'vipllava' is none of llava, llava_next, llava_next_video, llava_one"):
            load(tmp_path)


class TestLlavaHf:
    def test_round_trip_is_bit_equal(self, run, tmp_path, same_tensors):
        folder, _, _ = run
        convert("llava-hf", folder, tmp_path / "hf")
        convert("anyres", tmp_path / "hf", tmp_path / "back")
        same_tensors(load_file(tmp_path / "back" / "model.safetensors"), load_file(folder / "model.safetensors"))
        convert("llava-hf", tmp_path / "back", tmp_path / "again")
        same_tensors(
            load_file(tmp_path / "again" / "model.safetensors"), load_file(tmp_path / "hf" / "model.safetensors")
        )

    def test_transformers_loads_what_is_written_and_agrees(self, built, tmp_path, tiny_image, same_tensors, ask):
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
    def test_every_key_layout_is_told_and_read(self, run, tmp_path, layout, same_tensors):
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
        with pytest.raises(ValueError, match=r"2 end vectors, .* grid.merge 'spatial'.*; several 'grid', exp"):
            convert("llava-hf", tmp_path / "run", tmp_path / "hf")


class TestCommand:
    def test_converts_and_says_what(self, run, tmp_path, capsys, same_tensors):
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


class TestDamage:
    @pytest.mark.parametrize("kept", [0, 5000])
    def test_cut_weights_are_named(self, run, kept):
        folder, _, _ = run
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(ValueError, match=r"model\.safetensors: not a whole safetensors file"):
            load(folder)

    @pytest.mark.parametrize("kept", [0, 5000])
    def test_cut_torch_files_are_named(self, run, kept):
        folder, _, _ = run
        path = folder / "model.safetensors"
        torch.save(load_file(path), folder / "pytorch_model.bin")
        path.unlink()
        load(folder, pickles=True)
        (folder / "pytorch_model.bin").write_bytes((folder / "pytorch_model.bin").read_bytes()[:kept])
        with pytest.raises(ValueError, match=r"pytorch_model\.bin: not a whole torch file"):
            load(folder, pickles=True)

    def test_a_tokenizer_file_without_a_tokenizer_is_named(self, run):
        folder, _, _ = run
        (folder / "tokenizer.json").write_text("{}")
        with pytest.raises(ValueError, match=r"tokenizer\.json: not a tokenizer"):
            load(folder)

    def test_weights_that_do_not_fit_name_their_folder(self, run):
        folder, _, _ = run
        tensors = load_file(folder / "model.safetensors")
        for lost in ("ends_KD", "projector.layers.0.weight"):
            kept = {key: value for key, value in tensors.items() if key != lost}
            save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
            with pytest.raises(ValueError, match=f"{folder}: weights do not fit: .*{lost}"):
                load(folder)

"""LoRA folders: merged bit for bit as by hand, in every layout of names; refusals name the tensor and the file."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.adapters.config import read_lora_config
from models.adapters.folder import adapter_folder, read_adapter
from models.build import load
from models.checkpoints.convert import convert
from models.checkpoints.load import read_checkpoint
from models.checkpoints.main import main
from models.checkpoints.save import save
from models.checkpoints.tensors import write_tensors

RANK, ALPHA = 4, 6
TARGETS = ["q_proj", "down_proj"]
MODULES = [f"model.layers.{layer}.{part}" for layer in range(2) for part in ("self_attn.q_proj", "mlp.down_proj")]


def lora_config(**changes):
    raw = {
        "peft_type": "LORA",
        "r": RANK,
        "lora_alpha": ALPHA,
        "target_modules": TARGETS,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "base_model_name_or_path": "",
    }
    return {**raw, **changes}


def matrices(shapes, rank=RANK, inner="", seed=3):
    """Return lora_A and lora_B of each module by peft's names."""
    random = torch.Generator().manual_seed(seed)
    tensors = {}
    for module, (out, into) in shapes.items():
        name = f"base_model.model.{module}"
        tensors[f"{name}.lora_A{inner}.weight"] = torch.randn(rank, into, generator=random)
        tensors[f"{name}.lora_B{inner}.weight"] = torch.randn(out, rank, generator=random)
    return tensors


def write_adapter(folder, tensors, config=None, binary=False):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(config or lora_config()))
    if binary:
        torch.save(tensors, folder / "adapter_model.bin")
    else:
        save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def shapes_of(tensors, prefix=""):
    return {module: tuple(tensors[f"{prefix}{module}.weight"].shape) for module in MODULES}


@pytest.fixture
def official(run, tmp_path):
    folder, _, _ = run
    convert("official", folder, tmp_path / "base")
    return tmp_path / "base", load_file(tmp_path / "base" / "model.safetensors")


def by_hand(base, pairs, scale, inner=""):
    merged = dict(base)
    for module in MODULES:
        down = pairs[f"base_model.model.{module}.lora_A{inner}.weight"]
        up = pairs[f"base_model.model.{module}.lora_B{inner}.weight"]
        merged[f"{module}.weight"] = base[f"{module}.weight"] + scale * (up @ down)
    return merged


class TestMerge:
    @pytest.mark.parametrize(("binary", "inner"), [(False, ""), (True, ".default")])
    def test_equals_the_sum_by_hand_bit_for_bit(self, official, tmp_path, same_tensors, binary, inner):
        base, tensors = official
        pairs = matrices(shapes_of(tensors), inner=inner)
        write_adapter(tmp_path / "lora", pairs, binary=binary)
        expected = by_hand(tensors, pairs, ALPHA / RANK, inner)
        write_tensors(tmp_path / "hand", expected)
        for name in ("config.json", "tokenizer.json"):
            (tmp_path / "hand" / name).write_bytes((base / name).read_bytes())
        (tmp_path / "hand" / "vision_tower").symlink_to(base / "vision_tower")
        model, _ = load(base, adapter=tmp_path / "lora", pickles=binary)
        hand, _ = load(tmp_path / "hand")
        same_tensors(model.state_dict(), hand.state_dict())
        plain, _ = load(base)
        changed = [key for key, value in plain.state_dict().items() if not torch.equal(value, model.state_dict()[key])]
        assert sorted(changed) == sorted(f"llm.{module}.weight" for module in MODULES)

    def test_rank_stabilised_scale_is_alpha_over_the_root(self, official, tmp_path):
        base, tensors = official
        pairs = matrices(shapes_of(tensors))
        write_adapter(tmp_path / "lora", pairs, lora_config(use_rslora=True))
        found = read_checkpoint(base, tmp_path / "lora").tensors
        expected = by_hand(tensors, pairs, ALPHA / 2.0)
        assert torch.equal(found["llm.model.layers.1.mlp.down_proj.weight"], expected[f"{MODULES[3]}.weight"])

    def test_patterns_give_modules_their_own_rank_and_alpha(self, official, tmp_path):
        base, tensors = official
        shapes = shapes_of(tensors)
        pairs = matrices({m: s for m, s in shapes.items() if "down" not in m})
        pairs |= matrices({m: s for m, s in shapes.items() if "down" in m}, rank=2)
        config = lora_config(rank_pattern={"down_proj": 2}, alpha_pattern={r"layers\.1\.mlp\.down_proj": 10})
        write_adapter(tmp_path / "lora", pairs, config)
        found = read_checkpoint(base, tmp_path / "lora").tensors
        for module, scale in zip(MODULES, (6 / 4, 6 / 2, 6 / 4, 10 / 2), strict=True):
            assert torch.equal(found[f"llm.{module}.weight"], by_hand(tensors, pairs, scale)[f"{module}.weight"])

    def test_half_precision_is_summed_in_float32_and_rounded_once(self, run, tmp_path):
        _, model, processor = run
        save(tmp_path / "half", model, processor, dtype="bfloat16")
        tensors = load_file(tmp_path / "half" / "model.safetensors")
        pairs = matrices({m: tuple(tensors[f"llm.{m}.weight"].shape) for m in MODULES})
        write_adapter(tmp_path / "lora", pairs)
        found = read_checkpoint(tmp_path / "half", tmp_path / "lora").tensors
        key = MODULES[0]
        up, down = (pairs[f"base_model.model.{key}.lora_{side}.weight"] for side in "BA")
        expected = (tensors[f"llm.{key}.weight"].float() + 1.5 * (up @ down)).bfloat16()
        assert found[f"llm.{key}.weight"].dtype == torch.bfloat16
        assert torch.equal(found[f"llm.{key}.weight"], expected)

    def test_names_of_transformers_layouts_are_understood(self, run, tmp_path):
        folder, _, _ = run
        convert("llava-hf", folder, tmp_path / "hf")
        tensors = load_file(folder / "model.safetensors")
        inside = {m.replace("model.", "model.language_model.", 1): m for m in MODULES}
        pairs = matrices({hf: tuple(tensors[f"llm.{ours}.weight"].shape) for hf, ours in inside.items()})
        write_adapter(tmp_path / "lora", pairs)
        found = read_checkpoint(tmp_path / "hf", tmp_path / "lora").tensors
        for hf, ours in inside.items():
            up, down = (pairs[f"base_model.model.{hf}.lora_{side}.weight"] for side in "BA")
            assert torch.equal(found[f"llm.{ours}.weight"], tensors[f"llm.{ours}.weight"] + 1.5 * (up @ down))


class TestFolder:
    def test_a_plain_language_model_becomes_a_whole_one(self, official, tmp_path, same_tensors, tiny_image, ask):
        """The released LLaVA-1.5 LoRA: the base is the language model, projector and newline lie beside the adapter."""
        base, tensors = official
        write_tensors(tmp_path / "vicuna", {k: v for k, v in tensors.items() if ".mm_" not in k and "image_n" not in k})
        config = json.loads((base / "config.json").read_text())
        plain = {k: v for k, v in config.items() if not k.startswith(("mm_", "image_", "anyres"))}
        (tmp_path / "vicuna" / "config.json").write_text(json.dumps({**plain, "model_type": "llama"}))
        (tmp_path / "vicuna" / "tokenizer.json").write_bytes((base / "tokenizer.json").read_bytes())
        (tmp_path / "vicuna" / "vision_tower").symlink_to(base / "vision_tower")
        pairs = matrices(shapes_of(tensors))
        lora = write_adapter(tmp_path / "llava-lora", pairs, lora_config(base_model_name_or_path="lmsys/vicuna"))
        (lora / "config.json").write_text(json.dumps(config))
        beside = {f"base_model.model.{k}": v + 1 for k, v in tensors.items() if ".mm_" in k or "image_n" in k}
        assert "base_model.model.model.mm_projector.0.weight" in beside
        torch.save(beside, lora / "non_lora_trainables.bin")
        # the base is found by the last part of the name that the config gives, next to the adapter
        model, processor = load(lora, pickles=True)
        state = model.state_dict()
        for module in MODULES:
            assert torch.equal(state[f"llm.{module}.weight"], by_hand(tensors, pairs, 1.5)[f"{module}.weight"])
        assert torch.equal(state["projector.layers.2.bias"], tensors["model.mm_projector.2.bias"] + 1)
        assert torch.equal(state["ends_KD"][0], tensors["model.image_newline"] + 1)
        assert torch.equal(state["llm.lm_head.weight"], tensors["lm_head.weight"])
        assert ask(model, processor, tiny_image(80, 60)).isfinite().all()

    def test_trained_tensors_beside_the_adapter_replace_the_base_s(self, run, tmp_path):
        folder, model, _ = run
        state = model.state_dict()
        pairs = matrices({m: tuple(state[f"llm.{m}.weight"].shape) for m in MODULES})
        lora = write_adapter(tmp_path / "lora", pairs)
        newline = torch.arange(48.0)
        torch.save({"base_model.model.model.image_newline": newline}, lora / "non_lora_trainables.bin")
        found = read_checkpoint(folder, lora, pickles=True).tensors
        assert torch.equal(found["ends_KD"], newline[None])

    def test_a_checkpoint_s_nested_adapter_is_found(self, official, tmp_path):
        base, tensors = official
        pairs = matrices(shapes_of(tensors))
        place = tmp_path / "checkpoint-200" / "adapter_model" / "lora_default"
        write_adapter(place, pairs, lora_config(base_model_name_or_path=str(base)))
        assert adapter_folder(tmp_path / "checkpoint-200") == place
        found = read_checkpoint(tmp_path / "checkpoint-200").tensors
        assert torch.equal(found[f"llm.{MODULES[0]}.weight"], by_hand(tensors, pairs, 1.5)[f"{MODULES[0]}.weight"])

    def test_a_saved_module_replaces_the_base_s(self, official, tmp_path):
        base, tensors = official
        pairs = matrices(shapes_of(tensors))
        head = torch.ones_like(tensors["lm_head.weight"])
        pairs["base_model.model.lm_head.modules_to_save.default.weight"] = head
        write_adapter(tmp_path / "lora", pairs, lora_config(modules_to_save=["lm_head"]))
        assert torch.equal(read_checkpoint(base, tmp_path / "lora").tensors["llm.lm_head.weight"], head)

    def test_anyres_convert_merges(self, official, tmp_path, capsys):
        base, tensors = official
        pairs = matrices(shapes_of(tensors))
        lora = write_adapter(tmp_path / "lora", pairs, lora_config(base_model_name_or_path="somebody/base-13b"))
        assert main(["official", str(lora), str(tmp_path / "out"), f"base={base}"]) == 0
        written = load_file(tmp_path / "out" / "model.safetensors")
        expected = by_hand(tensors, pairs, 1.5)
        assert set(written) == set(expected)
        assert all(torch.equal(written[key], expected[key]) for key in expected)
        assert main(["official", str(lora), str(tmp_path / "out2")]) == 2
        error = capsys.readouterr().err
        assert "somebody/base-13b" in error
        assert "anyres-convert ... base=FOLDER" in error
        assert not (tmp_path / "out2").exists()


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"fan_in_fan_out": True}, "fan_in_fan_out True is not supported"),
            ({"bias": "all"}, "bias 'all' is not supported"),
            ({"use_dora": True}, "use_dora True"),
            ({"peft_type": "IA3"}, "peft_type 'IA3'"),
            ({"init_lora_weights": "pissa"}, "'pissa' changes the base's weights"),
            ({"r": None}, "expected r "),
            ({"lora_alpha": "big"}, "expected lora_alpha"),
            ({"target_modules": []}, "expected target_modules"),
        ],
    )
    def test_a_config_that_is_not_supported(self, tmp_path, changes, message):
        path = tmp_path / "adapter_config.json"
        path.write_text(json.dumps(lora_config(**changes)))
        with pytest.raises(ValueError, match=message) as caught:
            read_lora_config(path)
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (lambda p: p.pop(f"base_model.model.{MODULES[0]}.lora_B.weight"), "has no lora_B"),
            (lambda p: p.update({"model.stray.weight": torch.zeros(1)}), "tensor model.stray.weight is unknown"),
            (lambda p: p.update({"base_model.model.lm_head.weight": torch.zeros(1)}), "lm_head.weight is unknown"),
            (lambda p: p.update({f"base_model.model.{MODULES[0]}.lora_A.weight": torch.zeros(3, 48)}), r"is \[3, 48\]"),
            (
                lambda p: p.update({f"base_model.model.{MODULES[0]}.lora_A.other.weight": torch.zeros(4, 48)}),
                "two adapters",
            ),
        ],
    )
    def test_a_damaged_file_is_named_with_the_tensor(self, official, tmp_path, damage, message):
        _, tensors = official
        pairs = matrices(shapes_of(tensors))
        damage(pairs)
        write_adapter(tmp_path / "lora", pairs)
        with pytest.raises(ValueError, match=message) as caught:
            read_adapter(tmp_path / "lora")
        assert "adapter_model.safetensors" in str(caught.value)

    def test_modules_that_do_not_fit_the_base_are_named(self, official, tmp_path):
        base, tensors = official
        shapes = shapes_of(tensors)
        write_adapter(tmp_path / "deep", matrices({**shapes, "model.layers.7.mlp.down_proj": (48, 64)}))
        with pytest.raises(ValueError, match=r"1 tensors are for modules .* model\.layers\.7\.mlp\.down_proj"):
            read_checkpoint(base, tmp_path / "deep")
        write_adapter(tmp_path / "cut", matrices({m: s for m, s in shapes.items() if m != MODULES[2]}))
        with pytest.raises(ValueError, match=rf"1 modules that the config targets .* {MODULES[2]}"):
            read_checkpoint(base, tmp_path / "cut")
        write_adapter(tmp_path / "wide", matrices({**shapes, MODULES[0]: (48, 50)}))
        with pytest.raises(ValueError, match=rf"{MODULES[0]}.*is \[48, 50\], the base's is \[48, 48\]"):
            read_checkpoint(base, tmp_path / "wide")

    def test_code_in_an_adapter_is_not_run(self, tmp_path):
        lora = tmp_path / "lora"
        lora.mkdir()
        (lora / "adapter_config.json").write_text(json.dumps(lora_config()))
        torch.save({"x": Path("not a tensor")}, lora / "adapter_model.bin")
        with pytest.raises(ValueError, match="holds more than tensors"):
            read_adapter(lora, pickles=True)

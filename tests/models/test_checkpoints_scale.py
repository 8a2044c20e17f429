"""Sizes of the published systems by construction without memory; conversion a tensor at a time, cut off and resumed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

from conf.build import build
from models.build import build_model, load
from models.checkpoints.convert import WRITERS, convert
from models.checkpoints.load import read_checkpoint
from models.checkpoints.main import main
from models.checkpoints.save import weights
from models.checkpoints.stream import read_header, write_file
from models.checkpoints.tensors import LazyTensors, Written, read_tensors, write_tensors
from models.encoders.build import build_encoder
from models.encoders.spec import EncoderSpec
from models.llms.build import raw_config
from models.meta import parameters_on_meta
from models.projectors.build import build_projector
from models.spec import LlmSpec, ProjectorSpec

CONF = Path(__file__).resolve().parents[2] / "conf"
CLIP, SIGLIP = "clip-l14-336", "siglip-so400m-384"

# published totals: encoder, language model, parameters without end vectors
SYSTEMS = {
    "7B": (CLIP, "vicuna-7b", 7_062_902_784),
    "13B": (CLIP, "vicuna-13b", 13_350_839_296),
    "34B": (CLIP, "yi-34b", 34_751_159_296),
    "OneVision 0.5B": (SIGLIP, "qwen2-0.5b", 893_617_312),
    "OneVision 7B": (SIGLIP, "qwen2-7b", 8_030_345_248),
    "OneVision 72B": (SIGLIP, "qwen2-72b", 73_180_513_824),
    # CLIP 303,507,456 + projector 75,513,856 + 72,287,920,128, by the sizes of the language model's config
    "NeXT 72B": (CLIP, "qwen1.5-72b", 72_666_941_440),
    # CLIP + projector 75,513,856 + 111,209,914,368
    "NeXT 110B": (CLIP, "qwen1.5-110b", 111_588_935_680),
}
LLMS = {
    "vicuna-7b": 6_738_415_616,
    "vicuna-13b": 13_015_864_320,
    "yi-34b": 34_388_917_248,
    "llama3-8b": 8_030_261_248,
    "mistral-7b": 7_241_732_096,
    "qwen2-7b": 7_615_616_512,
    "qwen2-0.5b": 494_032_768,
    "qwen2-72b": 72_706_203_648,
}
PROJECTORS = [
    ("mlp2x_gelu", 1024, 4096, 20_979_712),
    ("mlp2x_gelu", 1024, 5120, 31_467_520),
    ("mlp2x_gelu", 1024, 7168, 58_734_592),
    ("linear", 1024, 4096, 4_198_400),
    ("mlp2x_gelu", 1152, 896, 1_836_800),
    ("mlp2x_gelu", 1152, 3584, 16_980_992),
    ("mlp2x_gelu", 1152, 8192, 76_562_432),
    ("mlp2x_gelu", 1152, 4096, 21_504_000),
    ("mlp2x_gelu", 1152, 1024, 2_230_272),
    ("mlp2x_gelu", 1024, 8192, 75_513_856),
]


def read(group, name, cls):
    return build(cls, yaml.safe_load((CONF / group / f"{name}.yaml").read_text()), where=name)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def released_encoder(name: str) -> EncoderSpec:
    """The tower as released: SigLIP without its last block, which nothing reads."""
    spec = read("encoder", name, EncoderSpec)
    return replace(spec, layers=spec.layers - 1, layer=-1) if spec.backend == "hf_siglip" else spec


class TestPublishedSizes:
    @pytest.mark.parametrize(("kind", "dim_in", "dim_out", "expected"), PROJECTORS)
    def test_projectors(self, kind, dim_in, dim_out, expected):
        assert (
            count(build_projector(ProjectorSpec(kind=kind, dim_in=dim_in, dim_out=dim_out), device="meta")) == expected
        )

    # SigLIP: what is left of OneVision 7B's total
    @pytest.mark.parametrize(("name", "expected"), [(CLIP, 303_507_456), (SIGLIP, 397_747_744)])
    def test_towers(self, name, expected):
        assert count(build_encoder(released_encoder(name), device="meta")) == expected

    @pytest.mark.parametrize(("encoder", "llm", "expected"), SYSTEMS.values(), ids=SYSTEMS)
    def test_systems(self, tiny_spec, encoder, llm, expected):
        sizes = read("llm", llm, LlmSpec)
        tower = released_encoder(encoder)
        projector = ProjectorSpec(kind="mlp2x_gelu", dim_in=tower.width, dim_out=sizes.hidden)
        spec = tiny_spec(encoder=tower, projector=projector, llm=sizes)
        model = build_model(spec, raw_config(sizes), torch.float16, initialise=False, device="meta")
        assert all(parameter.is_meta for parameter in model.parameters())
        assert not any(buffer.is_meta for buffer in model.buffers())
        assert count(model) - model.ends_KD.numel() == expected
        if llm in LLMS:
            assert count(model.llm) == LLMS[llm]

    @pytest.mark.parametrize("name", ["llama3-8b", "mistral-7b"])
    def test_other_language_models(self, tiny_spec, name):
        sizes = read("llm", name, LlmSpec)
        tower = released_encoder(CLIP)
        projector = ProjectorSpec(kind="mlp2x_gelu", dim_in=1024, dim_out=sizes.hidden)
        model = build_model(
            tiny_spec(encoder=tower, projector=projector, llm=sizes), raw_config(sizes), initialise=False, device="meta"
        )
        assert count(model.llm) == LLMS[name]


class TestMeta:
    def test_no_parameter_has_memory_and_every_buffer_has(self):
        with parameters_on_meta():
            norm = nn.BatchNorm1d(3)
        assert norm.weight.is_meta
        assert norm.weight.requires_grad
        assert norm.running_var.tolist() == [1.0, 1.0, 1.0]
        assert not nn.Linear(2, 2).weight.is_meta

    def test_a_model_filled_on_meta_answers_as_the_one_saved(self, run, ask, tiny_image):
        folder, model, processor = run
        read, reader = load(folder)
        image = tiny_image(90, 60)
        assert torch.equal(ask(read, reader, image), ask(model, processor, image))
        assert all(parameter.requires_grad for parameter in read.parameters())

    def test_tied_words_stay_one_tensor(self, built, tmp_path):
        from models.checkpoints.save import save

        model, processor = built(llm={"tie_word_embeddings": True})
        save(tmp_path / "tied", model, processor)
        read, _ = load(tmp_path / "tied")
        assert read.llm.lm_head.weight is read.llm.model.embed_tokens.weight

    def test_a_template_instead_of_the_checkpoint_s_own(self, run):
        _, processor = load(run[0], template="llava_v0")
        assert processor.spec.template == "llava_v0"


def counting(tensors: dict[str, torch.Tensor]) -> tuple[LazyTensors, list[str]]:
    """Tensors that note when they are asked for."""
    asked: list[str] = []
    lazy = LazyTensors({})
    for key, tensor in tensors.items():
        one = LazyTensors({}).joined({key: tensor})
        noted = one.changed(key, tuple(tensor.shape), lambda tensor, key=key: asked.append(key) or tensor)
        lazy = lazy.joined(noted)
    return lazy, asked


TENSORS = {
    "half": torch.arange(3, dtype=torch.bfloat16),
    "one": torch.tensor(2.5),
    "none": torch.zeros(0, 4),
    "whole": torch.arange(6).reshape(2, 3),
    "flag": torch.tensor([True, False]),
    "turned": torch.arange(12.0).reshape(3, 4).T,
}


class TestWriting:
    def test_the_library_reads_what_is_streamed(self, tmp_path, same_tensors):
        write_tensors(tmp_path, TENSORS)
        same_tensors(load_file(tmp_path / "model.safetensors"), TENSORS)

    def test_what_the_library_writes_is_read(self, tmp_path, same_tensors):
        tensors = {key: tensor.contiguous() for key, tensor in TENSORS.items()}
        save_file(tensors, tmp_path / "model.safetensors")
        same_tensors(read_tensors(tmp_path), tensors)

    def test_each_tensor_is_asked_for_once(self, tmp_path):
        lazy, asked = counting(TENSORS)
        write_tensors(tmp_path, lazy, shard_bytes=30)
        assert sorted(asked) == sorted(TENSORS)
        assert len(list(tmp_path.glob("*.safetensors"))) > 2

    def test_sizes_are_known_unread(self, tmp_path):
        write_tensors(tmp_path, TENSORS)
        slots = read_header(tmp_path / "model.safetensors")
        assert {key: slot.what.nbytes for key, slot in slots.items()} == {
            "half": 6, "one": 4, "none": 0, "whole": 48, "flag": 2, "turned": 48,
        }  # fmt: skip

    def test_a_tensor_that_is_not_as_promised(self, tmp_path):
        with pytest.raises(ValueError, match="one: expected Shape"):
            write_file(tmp_path / "a.safetensors", {"one": torch.ones(2)}, {"one": read_shape(torch.ones(3))})
        assert not (tmp_path / "a.safetensors").exists()

    def test_an_earlier_model_s_shards_are_not_left(self, tmp_path, same_tensors):
        write_tensors(tmp_path, TENSORS, shard_bytes=30)
        fewer = {"one": torch.tensor(1.0)}
        write_tensors(tmp_path, fewer)
        assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
        same_tensors(read_tensors(tmp_path), fewer)

    def test_a_cast_keeps_integers(self, tmp_path):
        write_tensors(tmp_path, LazyTensors({}).joined(TENSORS).cast(torch.float16))
        found = load_file(tmp_path / "model.safetensors")
        assert found["turned"].dtype == torch.float16
        assert found["whole"].dtype == torch.int64

    def test_sharded_torch_files_are_mapped_one_at_a_time(self, tmp_path, same_tensors):
        files = {"a": "pytorch_model-1.bin", "b": "pytorch_model-2.bin"}
        tensors = {"a": torch.arange(4.0), "b": torch.arange(5.0)}
        for key, name in files.items():
            torch.save({key: tensors[key]}, tmp_path / name)
        (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": files}))
        same_tensors(read_tensors(tmp_path, pickles=True), tensors)


def read_shape(tensor):
    from models.checkpoints.stream import shape_of

    return shape_of(tensor)


class Cut(Exception):
    """A run that ends in the middle."""


class TestResuming:
    def test_a_run_that_was_cut_off_goes_on(self, run, tmp_path, same_tensors):
        folder, model, _ = run
        target = tmp_path / "out"

        def cut(written: Written) -> None:
            if written.name.startswith("model-00003"):
                raise Cut

        with pytest.raises(Cut):
            convert("official", folder, target, shard_bytes=30_000, report=cut)
        # half a file of the next shard
        (target / "model-00004-of-00009.part").write_bytes(b"half")
        with pytest.raises(ValueError, match="unknown layout"):
            read_checkpoint(target)
        told: list[Written] = []
        convert("official", folder, target, shard_bytes=30_000, report=told.append)
        assert [written.kept for written in told[:4]] == [True, True, True, False]
        assert told[-1].done == told[-1].total
        same_tensors(dict(read_checkpoint(target).tensors), weights(model))

    def test_a_file_that_was_cut_is_written_again(self, run, tmp_path, same_tensors):
        folder, model, _ = run
        target = tmp_path / "out"
        with pytest.raises(Cut):
            convert("anyres", folder, target, report=lambda written: (_ for _ in ()).throw(Cut))
        whole = (target / "model.safetensors").read_bytes()
        (target / "model.safetensors").write_bytes(whole[:-100])
        convert("anyres", folder, target)
        same_tensors(load_file(target / "model.safetensors"), weights(model))

    def test_after_a_refused_one_the_folder_is_free(self, run, tmp_path, monkeypatch, same_tensors):
        folder, model, _ = run
        target = tmp_path / "out"

        def refuse(*arguments):
            raise ValueError("cannot hold it")

        with monkeypatch.context() as patch:
            patch.setitem(WRITERS, "llava-hf", refuse)
            with pytest.raises(ValueError, match="cannot hold it"):
                convert("llava-hf", folder, target)
        convert("anyres", folder, target)
        same_tensors(load_file(target / "model.safetensors"), weights(model))

    def test_another_conversion_in_the_same_folder(self, run, tmp_path):
        folder, _, _ = run
        target = tmp_path / "out"
        with pytest.raises(Cut):
            convert("anyres", folder, target, report=lambda written: (_ for _ in ()).throw(Cut))
        with pytest.raises(ValueError, match=r"the beginning of another conversion \(dtype differ\)"):
            convert("anyres", folder, target, dtype="float16")
        convert("anyres", folder, target)
        with pytest.raises(ValueError, match="holds a finished conversion"):
            convert("anyres", folder, target)


class TestCommand:
    def test_options_and_record(self, run, tmp_path, capsys):
        folder, model, _ = run
        target = tmp_path / "out"
        options = ["shard_size=50KB", "dtype=bfloat16", "template=llava_v0"]
        assert main(["anyres", str(folder), str(target), *options]) == 0
        out, err = capsys.readouterr()
        assert "weights rounded to bfloat16" in out
        assert err.splitlines()[0].startswith("model-00001-of-0000")
        converted = read_checkpoint(target)
        assert (converted.spec.dtype, converted.spec.template) == ("bfloat16", "llava_v0")
        for key, value in weights(model).items():
            assert torch.equal(converted.tensors[key], value.bfloat16())
        record = json.loads((target / "conversion.json").read_text())
        assert record["source_layout"] == "anyres"
        assert record["source_weights"]["model.safetensors"]["bytes"] == (folder / "model.safetensors").stat().st_size
        assert (record["layout"], record["dtype"]) == ("anyres", "bfloat16")

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (
                ["anyres", "a", "b", "shard_size=0"],
                "shard_size: expected a size such as 2GB, 500MB or a number of bytes",
            ),
            (["anyres", "a", "b", "shard_size=2 GB"], "got '2 GB'"),
            (["anyres", "a", "b", "shard_size=-1GB"], "got '-1GB'"),
            (["anyres", "a", "b", "dtype=float8"], "dtype: expected 'float32' or 'float16' or 'bfloat16', got"),
            (["anyres", "a", "b", "dtpe=float16"], "dtpe: unknown key, did you mean dtype?"),
            (["anyres", "a", "b", "--pickle"], "--pickle: unknown option; this command has --pickles and --help"),
            (
                ["llava-hff", "a", "b"],
                "layout 'llava-hff': did you mean llava-hf? expected one of official, llava-hf, anyres",
            ),
            (["anyres", "a"], "expected LAYOUT SOURCE TARGET, got 2 words: anyres a"),
            (["anyres", "pockt", "b"], "pockt: no such folder, did you mean pocket?"),
        ],
    )
    def test_a_wrong_command_line_is_told_in_one_line(self, words, said, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert main(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("anyres-convert: ")
        assert said in line
        assert list(tmp_path.iterdir()) == []

    def test_a_model_that_ships_is_named(self, tmp_path, capsys):
        assert main(["anyres", "pocket-siglip-42", str(tmp_path / "out")]) == 0
        assert capsys.readouterr().out.startswith("pocket-siglip-42 (llama, ")
        assert read_checkpoint(tmp_path / "out").spec.encoder.tile_px == 42

    def test_a_template_that_is_not_known(self, run, tmp_path, capsys):
        assert main(["anyres", str(run[0]), str(tmp_path / "out"), "template=poem"]) == 2
        assert "template 'poem' is none of" in capsys.readouterr().err

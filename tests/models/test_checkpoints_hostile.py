"""Checkpoints from anybody: no pickle is opened, no header is believed, no index leaves its folder."""

import codecs
import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.adapters.folder import read_adapter
from models.build import load
from models.checkpoints.convert import convert
from models.checkpoints.header import MOST_HEADER_BYTES
from models.checkpoints.load import read_checkpoint
from models.checkpoints.main import main
from models.checkpoints.save import save
from models.checkpoints.shards import shard_files
from models.checkpoints.stream import read_header
from models.checkpoints.tensors import read_file, read_tensors
from models.encoders.folder import read_tower

Edit = Callable[[dict[str, Any]], Any]


class Payload:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


class Importing(Payload):
    """Leaves a mark by a function that the pickle names as a text."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return codecs.open, (str(self.mark), "w")


def zipped(data: bytes, *more: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("archive/data.pkl", data)
        file.writestr("archive/version", "3\n")
        for name, content in more:
            file.writestr(name, content)
    return stream.getvalue()


def saved(value: object, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def payloads(mark: Path) -> dict[str, bytes]:
    """Return files that leave the mark when what is in them is unpickled."""
    one = Payload(mark)
    stream = io.BytesIO()
    np.save(stream, np.array([one], dtype=object), allow_pickle=True)
    dumped = io.BytesIO()
    joblib.dump(one, dumped)
    found = {f"pickle protocol {number}": pickle.dumps(one, protocol=number) for number in range(6)}
    found |= {
        "pickle of a dict": pickle.dumps({"a": one}),
        "pickle by a name": pickle.dumps(Importing(mark)),
        "tensor, then a payload": pickle.dumps([torch.zeros(2), one]),
        "torch": saved({"a": one}),
        "torch, before 1.6": saved({"a": one}, _use_new_zipfile_serialization=False),
        "torch, a tensor beside it": saved({"a": torch.zeros(2), "b": one}),
        "torch, as a key's value deep down": saved({"state": {"layers": [{"w": one}]}}),
        "numpy object array": stream.getvalue(),
        "joblib": dumped.getvalue(),
        "zip": zipped(pickle.dumps(one)),
        "zip with members twice": zipped(pickle.dumps({}), ("archive/data.pkl", pickle.dumps(one))),
        "zip behind other bytes": b"\0" * 64 + zipped(pickle.dumps(one)),
        "length, then a pickle": struct.pack("<Q", 64) + pickle.dumps(one).ljust(64, b"."),
        "stack of pickles": pickle.dumps({}) + pickle.dumps(one),
    }
    return found


NAMES = sorted(payloads(Path("mark")))


@pytest.mark.parametrize("what", NAMES)
def test_no_payload_runs(what: str, run: Any, tmp_path: Path) -> None:
    assert len(NAMES) >= 20
    mark = tmp_path / "mark"
    data = payloads(mark)[what]
    folder, lora, tower = run[0], tmp_path / "lora", tmp_path / "tower"
    lora.mkdir()
    tower.mkdir()
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["v_proj"], "bias": "none"}
    (lora / "adapter_config.json").write_text(json.dumps(config))
    (tower / "config.json").write_text(json.dumps({"model_type": "clip_vision_model", "hidden_size": 24}))
    places = {folder: "model.safetensors", lora: "adapter_model.safetensors", tower: "model.safetensors"}
    readers = {folder: lambda: load(folder), lora: lambda: read_adapter(lora), tower: lambda: read_tower(tower)}
    for place, whole in places.items():
        # under the name of what is read, and under those of what is not
        for name in (whole, whole.replace("model.safetensors", "model.bin"), "pytorch_model.bin"):
            (place / whole).unlink(missing_ok=True)
            (place / name).write_bytes(data)
            with pytest.raises(ValueError, match=r"safetensors|pickle"):
                readers[place]()
            (place / name).unlink()
    # a user who insists gets tensors or an error, and no code
    (folder / "pytorch_model.bin").write_bytes(data)
    with pytest.raises(ValueError, match=r"pytorch_model\.bin"):
        convert("anyres", folder, tmp_path / "target", pickles=True)
    assert not mark.exists()
    # the payload is a real one
    if what.startswith("pickle"):
        pickle.loads(data)
        assert mark.exists()


def test_an_old_folder_is_converted_by_one_command(
    run: Any, tmp_path: Path, capsys: pytest.CaptureFixture, same_tensors: Any
) -> None:
    folder, model, _ = run
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: a torch file is a pickle .* --pickles"):
        load(folder)
    assert main(["anyres", str(folder), str(tmp_path / "new")]) == 2
    assert "--pickles" in capsys.readouterr().err
    assert main(["anyres", str(folder), str(tmp_path / "new"), "--pickles"]) == 0
    same_tensors(load(tmp_path / "new")[0].state_dict(), model.state_dict())


# headers


def write(path: Path, header: Any, data: bytes, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def two() -> dict[str, Any]:
    return {
        "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "b": {"dtype": "U8", "shape": [3], "data_offsets": [16, 19]},
    }


def test_a_whole_header_is_read(tmp_path: Path) -> None:
    slots = read_header(write(tmp_path / "a.safetensors", {"__metadata__": {"format": "pt"}, **two()}, bytes(19)))
    assert {key: slot.what.shape for key, slot in slots.items()} == {"a": (2, 2), "b": (3,)}
    save_file({"x": torch.ones(3), "none": torch.ones(0, 4), "one": torch.tensor(2.0)}, tmp_path / "b.safetensors")
    read = read_file(tmp_path / "b.safetensors")
    assert read["x"].tolist() == [1, 1, 1] and read["none"].shape == (0, 4) and read["one"].item() == 2


LIES: dict[str, tuple[Edit, str]] = {
    "overlap": (lambda h: h["b"].update(data_offsets=[13, 16]), "overlap or leave a hole"),
    "the same place": (lambda h: h.update(c=h["a"]), "overlap or leave a hole"),
    "a hole": (lambda h: h["b"].update(data_offsets=[17, 20]), "overlap or leave a hole"),
    "not from the start": (lambda h: h.pop("a"), "overlap or leave a hole"),
    "beyond the end": (lambda h: h["b"].update(shape=[4], data_offsets=[16, 20]), "20 bytes, and the file has 19"),
    "bytes of none": (lambda h: h["b"].update(shape=[2], data_offsets=[16, 18]), "1 bytes behind its tensors"),
    "huge shape": (lambda h: h["a"].update(shape=[2**62, 2**62]), "needs"),
    "huge and zero": (lambda h: h["a"].update(shape=[2**62, 0]), "needs 0 bytes"),
    "negative shape": (lambda h: h["a"].update(shape=[-2, -2]), "has the shape"),
    "shape of floats": (lambda h: h["a"].update(shape=[2.0, 2]), "has the shape"),
    "shape of booleans": (lambda h: h["a"].update(shape=[True, 4]), "has the shape"),
    "too many axes": (lambda h: h["a"].update(shape=[1] * 70 + [4]), "has the shape"),
    "negative place": (lambda h: h["a"].update(data_offsets=[-16, 0]), "has the place"),
    "backward place": (lambda h: h["a"].update(data_offsets=[16, 0]), "has the place"),
    "three places": (lambda h: h["a"].update(data_offsets=[0, 8, 16]), "has the place"),
    "another dtype": (lambda h: h["a"].update(dtype="F128"), "dtype F128"),
    "dtype of a list": (lambda h: h["a"].update(dtype=["F32"]), "dtype"),
    "no shape": (lambda h: h["a"].pop("shape"), "not described by"),
    "more than it should": (lambda h: h["a"].update(code="import os"), "not described by"),
    "a text": (lambda h: h.update(a="F32"), "not described by"),
    "metadata": (lambda h: h.update(__metadata__={"a": 1}), "no object of texts"),
}


@pytest.mark.parametrize("what", sorted(LIES))
def test_lies_are_named_before_anything_is_read(what: str, tmp_path: Path) -> None:
    edit, message = LIES[what]
    header = two()
    edit(header)
    with pytest.raises(ValueError, match=rf"a\.safetensors: .*{message}"):
        read_header(write(tmp_path / "a.safetensors", header, bytes(19)))


@pytest.mark.parametrize(
    ("header", "length", "message"),
    [
        (b"{}", 2**63, "above the limit"),
        (b"{}", MOST_HEADER_BYTES + 1, "above the limit"),
        (b"{}", 100, "100 bytes, and 21 are left"),
        (b"not json", None, "no JSON"),
        (b"\xff\xfe{}", None, "no JSON"),
        (b"[1]", None, "no object"),
        (b'{"a":' * 100_000, None, "no JSON"),
        (b'{"a": {}, "a": {}}', None, "'a' is there twice"),
        (b'{"a": {"dtype": "U8", "dtype": "F32"}}', None, "'dtype' is there twice"),
        (b"{}", None, "19 bytes behind its tensors"),
    ],
)
def test_headers_that_are_none(header: bytes, length: int | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"a\.safetensors: not a whole safetensors file: .*{message}"):
        read_header(write(tmp_path / "a.safetensors", header, bytes(19), length))


def test_cut_at_every_byte(tmp_path: Path) -> None:
    data = write(tmp_path / "a.safetensors", two(), bytes(19)).read_bytes()
    for kept in range(len(data)):
        (tmp_path / "a.safetensors").write_bytes(data[:kept])
        with pytest.raises(ValueError, match=r"a\.safetensors: not a whole safetensors file"):
            read_header(tmp_path / "a.safetensors")


def test_flipped_bytes_give_a_value_error_or_a_header(tmp_path: Path) -> None:
    data = write(tmp_path / "a.safetensors", two(), bytes(19)).read_bytes()
    random = np.random.default_rng(3)
    for _ in range(500):
        changed = bytearray(data)
        for at in random.integers(0, len(data) - 19, 2):
            changed[at] = random.integers(0, 256)
        (tmp_path / "a.safetensors").write_bytes(bytes(changed))
        try:
            slots = read_header(tmp_path / "a.safetensors")
        except ValueError as error:
            assert "a.safetensors" in str(error)
        else:
            assert sum(slot.what.nbytes for slot in slots.values()) == 19


# indexes


@pytest.mark.parametrize(
    "name", ["../a.safetensors", "/etc/passwd", "sub/a.safetensors", "..", ".", "", "a\\b", "a\0b", 3, None, ["a"]]
)
def test_an_index_cannot_leave_its_folder(name: Any, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    (inside / "config.json").write_text(json.dumps({"model_type": "clip_vision_model"}))
    (inside / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    for read in (read_tensors, read_tower, lambda folder: shard_files(folder / "model.safetensors.index.json")):
        with pytest.raises(ValueError, match=r"index\.json: (shard .* is not a plain file name|no index of shards)"):
            read(inside)


def test_a_link_cannot_either(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    index = inside / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "b.safetensors"}}))
    (inside / "b.safetensors").symlink_to(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"shard b\.safetensors is a link out of the folder"):
        read_tensors(inside)
    (inside / "b.safetensors").unlink()
    save_file({"a": torch.ones(1)}, inside / "c.safetensors")
    (inside / "b.safetensors").symlink_to("c.safetensors")
    assert read_tensors(inside)["a"].tolist() == [1]


def test_a_download_cache_is_one_folder(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "models--a" / "blobs", tmp_path / "models--a" / "snapshots" / "main"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    save_file({"a": torch.ones(1)}, blobs / "0f")
    (snapshot / "m.safetensors").symlink_to(blobs / "0f")
    (snapshot / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "m.safetensors"}}))
    assert read_tensors(snapshot)["a"].tolist() == [1]


@pytest.mark.parametrize("index", [b"", b"[]", b"{}", b'{"weight_map": 3}', b'{"a":' * 100_000, b"\xff"])
def test_an_index_that_is_none_is_named(index: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_bytes(index)
    with pytest.raises(ValueError, match=r"index\.json: no index of shards"):
        read_tensors(tmp_path)


# configs


def edited(folder: Path, name: str, edit: Edit) -> None:
    raw = json.loads((folder / name).read_text())
    edit(raw)
    (folder / name).write_text(json.dumps(raw))


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("llm_config.json", lambda c: c.update(num_hidden_layers=10**9), "language model has 1000000000 blocks"),
        ("anyres.json", lambda c: c["spec"]["encoder"].update(layers=10**9), "vision tower has 1000000000 blocks"),
        ("anyres.json", lambda c: c["spec"]["encoder"].update(tile_px=10**6), "tokens a side|does not|multiple|tile"),
        ("llm_config.json", lambda c: c.update(intermediate_size=10**9), "weights do not fit"),
        ("llm_config.json", lambda c: c.update(vocab_size=10**9), "weights do not fit"),
        ("llm_config.json", lambda c: c.update(head_dim=10**9), "weights do not fit"),
        (
            "llm_config.json",
            lambda c: c.update(num_hidden_layers="many"),
            "language model has 'many' blocks|must be int",
        ),
    ],
)
def test_a_config_that_promises_too_much(name: str, edit: Edit, message: str, run: Any) -> None:
    edited(run[0], name, edit)
    with pytest.raises(ValueError, match=message):
        load(run[0])


def test_code_beside_a_checkpoint_is_not_run(run: Any, tmp_path: Path) -> None:
    folder, mark = run[0], tmp_path / "mark"
    code = f"import os\nos.mkdir({str(mark)!r})\nclass Config: pass\nclass Model: pass\n"
    for name in ("configuration_own.py", "modeling_own.py", "tokenization_own.py", "__init__.py"):
        (folder / name).write_text(code)
    own = {"AutoConfig": "configuration_own.Config", "AutoModelForCausalLM": "modeling_own.Model"}
    edited(folder, "llm_config.json", lambda c: c.update(auto_map=own, trust_remote_code=True))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": ["tokenization_own.T", None]}})
    )
    (folder / "chat_template.jinja").write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}")
    load(folder)
    assert not mark.exists()


def test_targets_in_a_spec_build_nothing(run: Any, tmp_path: Path) -> None:
    folder, mark = run[0], tmp_path / "mark"
    edited(folder, "anyres.json", lambda c: c["spec"].update(_target_="os.mkdir", path=str(mark)))
    with pytest.raises(ValueError, match=r"anyres\.json: spec"):
        read_checkpoint(folder)
    assert not mark.exists()


def test_a_saved_run_is_read_again(run: Any, tmp_path: Path) -> None:
    _, model, processor = run
    save(tmp_path / "again", model, processor)
    assert len(read_checkpoint(tmp_path / "again").tensors) > 10

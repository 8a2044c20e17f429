"""Annotation rows of every format, with errors that name file and row."""

import base64
import io
import json
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from evals.media.ahead import MediaFailed
from evals.media.decoding import decode
from evals.rows.cells import image_media
from evals.rows.read import is_columnar, read_rows, shards
from video.clip import VideoSpec


def png(colour: str, size: tuple[int, int] = (4, 3)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def test_json_list_object_and_mapping(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps([{"q": "x"}, {"q": "y"}]))
    assert [row.text("q") for row in read_rows(file)] == ["x", "y"]
    file.write_text(json.dumps({"data": [{"q": "x"}]}))
    assert [row.text("q") for row in read_rows(file, under="data")] == ["x"]
    file.write_text(json.dumps({"7": {"q": "x"}, "8": {"q": "y"}}))
    assert [(row.name("id"), row.text("q")) for row in read_rows(file, key="id")] == [("7", "x"), ("8", "y")]
    with pytest.raises(ValueError, match=r"a\.json: expected a list of records, got a dict"):
        list(read_rows(file))
    with pytest.raises(ValueError, match=r"a\.json: expected an object with the key 'data', got \['7', '8'\]"):
        list(read_rows(file, under="data"))


def test_records_in_a_cell_as_a_list_or_as_lists(tmp_path: Path) -> None:
    cells = {"a": [{"x": 1}, {"x": 2}], "b": {"x": [1, 2], "y": ["p", "q"]}, "c": {"x": [1], "y": []}}
    (tmp_path / "a.json").write_text(json.dumps([cells]))
    (row,) = read_rows(tmp_path / "a.json")
    assert [item.integer("x") for item in row.rows("a")] == [item.integer("x") for item in row.rows("b")] == [1, 2]
    with pytest.raises(ValueError, match=r"a\.json\[0\]: a\[1\]: no column 'y', there are \['x'\]"):
        row.rows("a")[1].text("y")
    with pytest.raises(ValueError, match=r"a\.json\[0\]: c: expected lists of equal length"):
        row.rows("c")


def test_jsonl_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"q": "x"}\n\n{"q": 1}\n{"q": \n')
    rows = read_rows(file)
    assert next(rows).text("q") == "x"
    with pytest.raises(ValueError, match=r"a\.jsonl:3: q: expected a text, got 1"):
        next(rows).text("q")
    with pytest.raises(ValueError, match=r"a\.jsonl:4: not JSON"):
        next(rows)


def test_base64_cells_of_a_tsv_stay_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    red, blue = (base64.b64encode(png(colour)).decode() for colour in ("red", "blue"))
    file.write_text(f'\ufeffindex\timage\tq\n0\t{red}\t"two\nlines"\n1\t{blue}\ty\n2\t{red}\tz\n', encoding="utf-8")
    rows = list(read_rows(file, base64=("image",)))
    assert [row.integer("index") for row in rows] == [0, 1, 2]
    media = [pickle.loads(pickle.dumps(row.image("image"))) for row in rows]
    assert [medium.draw().getpixel((0, 0)) for medium in media] == [(255, 0, 0), (0, 0, 255), (255, 0, 0)]
    assert media[0].key == media[2].key != media[1].key
    file.write_text("index\timage\tq\n0\tx\n")
    with pytest.raises(ValueError, match=r"a\.tsv:2: 2 cells, the header has 3: index,image,q"):
        list(read_rows(file))
    file.write_text("image\n%%\n")
    with pytest.raises(ValueError, match=r"a\.tsv:2: expected base64, got '%%'"):
        list(read_rows(file, base64=("image",)))


def parquet(file: Path, colours: list[str], group: int = 1) -> None:
    cells = [{"bytes": png(colour), "path": f"{colour}.png"} for colour in colours]
    table = pa.table({"q": [f"{c}?" for c in colours], "image": cells, "images": [cells[:2] for _ in cells]})
    pq.write_table(table, file, row_group_size=group)


def test_parquet_shards_and_lists_of_images(tmp_path: Path) -> None:
    parquet(tmp_path / "test-00000-of-00002.parquet", ["red", "blue"])
    parquet(tmp_path / "test-00001-of-00002.parquet", ["lime"])
    rows = list(read_rows(tmp_path))
    assert [row.text("q") for row in rows] == ["red?", "blue?", "lime?"]
    assert rows[1].image("image").draw().getpixel((0, 0)) == (0, 0, 255)
    assert [m.draw().getpixel((0, 0)) for m in rows[1].images("images")] == [(255, 0, 0), (0, 0, 255)]
    assert rows[0].images("images")[1].key == rows[1].image("image").key
    assert len(shards(tmp_path / "test-*.parquet")) == 2
    assert [is_columnar(tmp_path / name) for name in ("", "test-*", "test-*.parquet")] == [True] * 3
    with pytest.raises(ValueError, match=r"00001-of-00002\.parquet\[row 0\]: no column 'answer', there are \['image'"):
        rows[2].text("answer")
    parquet(tmp_path / "train-00000-of-00001.parquet", ["red"])
    with pytest.raises(ValueError, match=r"holds \['test', 'train'\]; choose one"):
        list(read_rows(tmp_path))
    (tmp_path / "test-00000-of-00002.parquet").unlink()
    with pytest.raises(ValueError, match=r"1 shards, their names say \[2\]"):
        list(read_rows(tmp_path / "test-*.parquet"))


def test_a_folder_that_datasets_saved(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    images = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue", "red")]
    rows = {"q": ["a", "b", "c"], "image": images, "several": [images[:2], [], images]}
    features = datasets.Features(
        {"q": datasets.Value("string"), "image": datasets.Image(), "several": datasets.Sequence(datasets.Image())}
    )
    data = datasets.Dataset.from_dict(rows, features=features)
    data.save_to_disk(tmp_path / "one")
    read = list(read_rows(tmp_path / "one"))
    assert [row.text("q") for row in read] == ["a", "b", "c"]
    assert read[1].image("image").draw().getpixel((0, 0)) == (0, 0, 255)
    assert [len(row.images("several")) for row in read] == [2, 0, 3]
    assert read[2].images("several")[1].draw().getpixel((0, 0)) == (0, 0, 255)
    datasets.DatasetDict({"test": data}).save_to_disk(tmp_path / "all")
    with pytest.raises(ValueError, match=r"holds the splits \['test'\]; expected the folder of one"):
        list(read_rows(tmp_path / "all"))


def test_cells_that_are_images(tmp_path: Path) -> None:
    picture = Image.new("RGB", (4, 3), "red")
    picture.save(tmp_path / "a.png")
    assert image_media("a.png", "x", tmp_path).path == tmp_path / "a.png"
    assert image_media(picture, "x").key == image_media(picture.copy(), "x").key
    assert image_media({"bytes": png("red"), "path": None}, "x").key == image_media(png("red"), "x").key
    assert image_media({"bytes": None, "path": "a.png"}, "x", tmp_path).path == tmp_path / "a.png"
    with pytest.raises(ValueError, match=r"^x: image 'a\.png' is a path, but no folder"):
        image_media("a.png", "x")
    with pytest.raises(ValueError, match=r"^x: expected an image, got None"):
        image_media(None, "x")
    with pytest.raises(ValueError, match=r"suffix '\.txt', expected json"):
        (tmp_path / "a.txt").write_text("")
        list(read_rows(tmp_path / "a.txt"))


def test_a_damaged_cell_is_a_media_error_that_names_its_row(tmp_path: Path) -> None:
    cells = [{"bytes": png("red"), "path": None}, {"bytes": png("red")[:40], "path": None}]
    pq.write_table(pa.table({"image": cells}), tmp_path / "a.parquet")
    good, bad = (row.image("image") for row in read_rows(tmp_path / "a.parquet"))
    assert decode(good, VideoSpec(num_frames=1)).size == (4, 3)
    with pytest.raises(MediaFailed, match=r"a\.parquet\[row 1 of group 0\]: image: .+; .+"):
        decode(bad, VideoSpec(num_frames=1))


def test_a_source_that_is_not_there_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "val_v1.json").write_text("[]")
    with pytest.raises(ValueError, match=r"no such file or folder of annotations, did you mean val_v1.json"):
        list(read_rows(tmp_path / "val_v2.json"))

"""Annotation rows of any file a benchmark comes in: JSON, JSONL, CSV, TSV, Parquet, Arrow, and folders of shards.

    for row in read_rows(Path("data/validation-*.parquet")):
        row.text("question"), row.image("image")

A source is a file, a pattern with "*", a folder of shards of one split, or a folder that `datasets` saved. Every error
names the file and the row.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from conf.nearest import near_file
from evals.rows.cells import (
    ColumnCell,
    TextCell,
    arrow_table,
    cell_bytes,
    decode_base64,
    digest,
    text_lines,
)
from evals.rows.row import Row

COLUMNAR = (".parquet", ".arrow")
_SHARD = re.compile(r"^(?P<split>.*?)[-_]?(?P<index>\d{5})-of-(?P<total>\d{5})(?:-[0-9a-f]{16})?$")


def read_rows(
    source: Path, *, under: str | None = None, key: str | None = None, base64: tuple[str, ...] = ()
) -> Iterator[Row]:
    """Yield the rows of a source, in the order of its shards.

    under: a JSON file is an object, and its rows are below this key. key: its rows are an object rather than a list,
    and each one's name goes to this column. base64: columns of text that are images. Raises ValueError naming file
    and row where something is not as expected.
    """
    for file in shards(Path(source)):
        try:
            if file.suffix in COLUMNAR:
                yield from _columnar(file, base64)
            elif file.suffix in (".csv", ".tsv"):
                yield from _delimited(file, _delimiter(file), base64)
            elif file.suffix == ".jsonl":
                yield from read_lines(file)
            elif file.suffix == ".json":
                yield from _json(file, under, key)
            else:
                raise ValueError(f"{file}: suffix {file.suffix!r}, expected json, jsonl, csv, tsv, parquet or arrow")
        except (pa.ArrowInvalid, UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{file}: {error}") from None


def read_lines(file: Path) -> Iterator[Row]:
    """Yield the rows of a file with one JSON record a line, whatever its suffix."""
    with file.open("rb") as binary:
        for number, line in enumerate(text_lines(binary), start=1):
            if line.strip():
                where = f"{file}:{number}"
                yield _row(where, _parsed(line, where), file.parent)


def is_columnar(source: Path) -> bool:
    """Tell whether a source is hub-style: Parquet or Arrow, a pattern for such files, or a folder with them in it."""
    source = Path(source)
    if "*" in str(source):
        return all(file.suffix in COLUMNAR for file in shards(source))
    if source.is_dir():
        return any(path.suffix in COLUMNAR or path.name == "dataset_dict.json" for path in source.iterdir())
    return source.suffix in COLUMNAR


def shards(source: Path) -> list[Path]:
    """Return the files of a source in order; missing shards, several splits or nothing at all are a ValueError."""
    if "*" in str(source):
        anchor = Path(source.anchor) if source.is_absolute() else Path()
        found = sorted(anchor.glob(str(source.relative_to(source.anchor) if source.is_absolute() else source)))
        return _complete(found, source)
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ValueError(f"{source}: no such file or folder of annotations{near_file(source)}")
    if (source / "dataset_dict.json").is_file():
        splits = json.loads((source / "dataset_dict.json").read_text())["splits"]
        raise ValueError(f"{source}: holds the splits {splits}; expected the folder of one, as {source / splits[0]}")
    if (source / "state.json").is_file():
        state = json.loads((source / "state.json").read_text())
        return [source / item["filename"] for item in state["_data_files"]]
    return _complete(sorted(path for path in source.iterdir() if path.suffix in COLUMNAR), source)


def _complete(files: list[Path], source: Path) -> list[Path]:
    """Return `files` if they are all shards of one split, or one file."""
    if not files:
        raise ValueError(f"{source}: no annotation files; expected shards as validation-00000-of-00003.parquet")
    parts = [_SHARD.match(file.stem) for file in files]
    splits = {part["split"] if part else file.stem for part, file in zip(parts, files, strict=True)}
    if len({(file.parent, part["split"] if part else file.stem) for part, file in zip(parts, files, strict=True)}) > 1:
        raise ValueError(f"{source}: holds {sorted(splits)}; choose one, as {files[0].parent}/{sorted(splits)[0]}-*")
    totals = {int(part["total"]) for part in parts if part}
    if totals and totals != {len(files)}:
        raise ValueError(f"{source}: {len(files)} shards, their names say {sorted(totals)}")
    return files


def _columnar(file: Path, base64: tuple[str, ...]) -> Iterator[Row]:
    number = 0
    for group, table in _groups(file):
        stored = {name for name in table.column_names if name in base64 or _holds_images(table.schema.field(name).type)}
        plain = table.select([name for name in table.column_names if name not in stored]).to_pylist()
        for row in range(table.num_rows):
            cells = dict(plain[row]) if plain else {}
            where = f"{file}[row {number}]"
            for name in stored:
                cells[name] = _stored(file, table, name, group, row, where)
            yield Row(where=where, cells=cells, folder=file.parent)
            number += 1


def _groups(file: Path) -> Iterator[tuple[int, pa.Table]]:
    if file.suffix == ".arrow":
        yield 0, arrow_table(str(file))
        return
    parquet = pq.ParquetFile(file)
    for group in range(parquet.num_row_groups):
        yield group, parquet.read_row_group(group)


def _holds_images(kind: pa.DataType) -> bool:
    """Tell whether cells are {"bytes", "path"}, bytes, or lists of these."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _holds_images(kind.value_type)
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _holds_images(kind.field(index).type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _stored(file: Path, table: pa.Table, name: str, group: int, row: int, where: str) -> object:
    value = table.column(name)[row].as_py()

    def store(value: object, item: int | None) -> object:
        if value is None:
            return None
        # a file beside the annotations
        if isinstance(value, Mapping) and value["bytes"] is None:
            return value.get("path")
        try:
            content = cell_bytes(value)
        except ValueError as error:
            raise ValueError(f"{where}: {name}: {error}") from None
        return ColumnCell(file=file, column=name, group=group, row=row, digest=digest(content), item=item)

    if isinstance(value, list):
        return [store(part, item) for item, part in enumerate(value)]
    return store(value, None)


def _delimiter(file: Path) -> str:
    """Return what separates cells: tabs in a .tsv, and in a .csv whose header has tabs and no comma."""
    with file.open("rb") as binary:
        header = binary.readline()
    return "\t" if file.suffix == ".tsv" or (b"\t" in header and b"," not in header) else ","


def _delimited(file: Path, delimiter: str, base64: tuple[str, ...]) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    with file.open("rb") as binary:
        read = _Counted(binary)
        reader = csv.reader(text_lines(read), delimiter=delimiter)
        header = next(reader, None)
        if not header:
            raise ValueError(f"{file}: no header line")
        while True:
            offset = read.count
            record = next(reader, None)
            if record is None:
                return
            where = f"{file}:{reader.line_num}"
            if not record:
                continue
            if len(record) != len(header):
                raise ValueError(f"{where}: {len(record)} cells, the header has {len(header)}: {','.join(header)}")
            cells: dict[str, object] = dict(zip(header, record, strict=True))
            for name in base64:
                if cells.get(name):
                    cells[name] = _text_cell(file, delimiter, header.index(name), offset, record, where)
            yield Row(where=where, cells=cells, folder=file.parent)


def _text_cell(file: Path, delimiter: str, index: int, offset: int, record: list[str], where: str) -> TextCell:
    try:
        content = decode_base64(record[index])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return TextCell(file=file, delimiter=delimiter, index=index, offset=offset, digest=digest(content))


class _Counted:
    """The lines of a binary file, and how many bytes they had so far."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self.lines, self.count = lines, 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self.lines:
            self.count += len(line)
            yield line


def _json(file: Path, under: str | None, key: str | None) -> Iterator[Row]:
    data = _parsed(file.read_text(encoding="utf-8-sig"), str(file))
    if under is not None:
        if not isinstance(data, dict) or under not in data:
            found = sorted(data) if isinstance(data, dict) else f"a {type(data).__name__}"
            raise ValueError(f"{file}: expected an object with the key {under!r}, got {found!r:.120}")
        data = data[under]
    if not isinstance(data, list if key is None else dict):
        wanted = "a list of records" if key is None else "an object of records by name"
        raise ValueError(f"{file}: expected {wanted}, got a {type(data).__name__}")
    if key is None:
        yield from (_row(f"{file}[{index}]", item, file.parent) for index, item in enumerate(data))
        return
    for name, item in data.items():
        row = _row(f"{file}[{name!r}]", item, file.parent)
        yield Row(where=row.where, cells={**row.cells, key: name}, folder=row.folder)


def _row(where: str, item: object, folder: Path) -> Row:
    if not isinstance(item, Mapping):
        raise ValueError(f"{where}: expected a record, got a {type(item).__name__}")
    return Row(where=where, cells=item, folder=folder)


def _parsed(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: not JSON: {error}") from None

"""Data of the user's own: what is found by looking at them, and what is said of bad ones."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.own.contents import Contents, Options, hold_out
from velodrome.taskgen.data.own.read import read

FLOWERS = "length,width,species\n" + "".join(
    f"{index}.5,{index % 4},{'rose' if index % 3 else 'tulip'}\n" for index in range(30)
)


def read_file(folder: Path, name: str, content: str | bytes, **options: object) -> Contents:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(str(path), Options(**options))  # type: ignore[arg-type] - the test names its fields


def read_npz(folder: Path, **arrays: np.ndarray) -> Contents:
    np.savez(folder / "some.npz", **arrays)  # type: ignore[arg-type] - numpy's own hint is narrower
    return read(str(folder / "some.npz"), Options())


def images(folder: Path, count: int, *, size: int = 6, mode: str = "RGB", suffix: str = "png"):
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        pixels = np.full((size, size, 3), index, np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / f"{index:02}.{suffix}")


def pets(folder: Path, **options: object) -> Path:
    for name in ("cat", "dog"):
        images(folder / "pets" / name, 10, **options)  # type: ignore[arg-type] - as above
    return folder / "pets"


def rows(count: int) -> np.ndarray:
    return np.arange(2.0 * count).reshape(count, 2)


GREY = np.arange(20 * 16).reshape(20, 4, 4).astype(np.uint8)
TWO = np.arange(20) % 2


def test_a_table(tmp_path: Path):
    found = read_file(tmp_path, "flowers.csv", FLOWERS)
    train = found.splits["train"]
    assert found.kind == "table" and found.class_names == ("rose", "tulip")
    assert train["row"].shape == (24, 2) and train["row"].dtype == np.float32
    np.testing.assert_allclose(train["row"].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(train["row"].std(axis=0), 1, rtol=1e-6)
    assert [np.sum(found.splits["heldout"]["label"] == label) for label in (0, 1)] == [4, 2]
    assert found.notes["label column"] == "species"


def test_numbers_to_predict(tmp_path: Path):
    """A label that is not whole makes a regression; whole numbers do if that is asked for."""
    prices = "size,rooms,price\n" + "".join(f"{i},{i % 4},{i * i + 0.5}\n" for i in range(30))
    found = read_file(tmp_path, "prices.csv", prices)
    train, held = (found.splits[split] for split in ("train", "heldout"))
    assert found.class_names == () and (len(train["row"]), len(held["row"])) == (24, 6)
    assert train["target"].shape == (24, 1) and train["target"].dtype == np.float32
    np.testing.assert_allclose([train["target"].mean(), train["target"].std()], [0, 1], atol=1e-6)
    assert found.notes["predicted column"] == "price"
    # The same rows and numbers, from whole ones and from arrays.
    whole = prices.replace(".5\n", "\n")
    ages = read_file(tmp_path, "ages.csv", "a,age\n" + "1,30\n2,40\n3,50\n" * 5)
    assert ages.class_names == ("30", "40", "50") and "--regression" in ages.notes["labels"]
    low = read_file(tmp_path, "low.csv", "a,b\n" + "1,-1e20\n2,-3e20\n" * 5)  # no 64-bit integers
    assert low.class_names == ()
    same = read_file(tmp_path, "whole.csv", whole, regression=True).splits
    np.testing.assert_allclose(same["heldout"]["target"], held["target"], atol=1e-6)
    index = np.arange(30)
    of_arrays = read_npz(tmp_path, x=np.stack([index, index % 4], axis=1), y=index**2 + 0.5)
    np.testing.assert_array_equal(of_arrays.splits["heldout"]["target"], held["target"])
    np.testing.assert_array_equal(of_arrays.splits["train"]["row"], train["row"])


@pytest.mark.parametrize(
    ("text", "options", "label", "names", "columns"),
    [
        ("Class,a\n" + "x,1\ny,2\n" * 5, {}, "Class", ("x", "y"), 1),
        ("a;b\n" + "1;7\n2;-3\n" * 5, {}, "b", ("-3", "7"), 1),
        ("a\tb\tc\n" + "1\t7\t0\n2\t8\t1\n" * 5, {"label": "b"}, "b", ("7", "8"), 2),
        ("id,a,target\n" + "q,1,0\nr,2,1.0\n" * 5, {"ignore": ("id",)}, "target", ("0", "1"), 1),
        ("sex,a,y\n" + "f,1,true\nm,2,false\n" * 5, {}, "y", ("0", "1"), 3),
        ("1.5,2,ham\n" + "0.5,3,spam\n1.5,2,ham\n" * 5, {}, "column 3", ("ham", "spam"), 2),
        ("a;b;c\n" + "0,5;-1,25;x\n2;1;y\n" * 5, {}, "c", ("x", "y"), 2),
        (",a,b\n" + "".join(f"{i},{i % 3},{i % 2}\n" for i in range(12)), {}, "b", ("0", "1"), 1),
        ("\ufeffa,label\r\n" + '1,"x, y"\r\n2,z\r\n' * 5, {}, "label", ("x, y", "z"), 1),
    ],
)
def test_the_forms_of_a_table(
    tmp_path: Path, text: str, options: dict[str, object], label: str, names: tuple, columns: int
):
    found = read_file(tmp_path, "table.csv", text, **options)
    assert found.notes["label column"] == label and found.class_names == names
    assert found.splits["train"]["row"].shape[1] == columns


def test_a_parquet_file(tmp_path: Path):
    pq.write_table(pa.table({"a": range(20), "label": ["x", "y"] * 10}), tmp_path / "a.parquet")
    found = read(str(tmp_path / "a.parquet"), Options())
    assert found.class_names == ("x", "y") and found.splits["train"]["row"].shape == (16, 1)


def test_decimals_are_numbers(tmp_path: Path):
    prices = [Decimal("1.25") * at for at in range(20)]
    pq.write_table(pa.table({"a": prices, "label": ["x", "y"] * 10}), tmp_path / "a.parquet")
    assert read(str(tmp_path / "a.parquet"), Options()).splits["train"]["row"].shape == (16, 1)


def test_whole_numbers_that_turn_real_far_down_are_one_column(tmp_path: Path):
    """The types of columns come from all rows, not from the first block of them."""
    text = "a,b\n" + "1,x\n2,y\n" * 200_000 + "2.5,x\n3.5,y\n"
    found = read_file(tmp_path, "long.csv", text)
    assert sum(len(part["row"]) for part in found.splits.values()) == 400_002


@pytest.mark.parametrize(
    ("x", "shape", "dtype", "largest"),
    [
        (GREY, (4, 4, 1), np.uint8, 255),
        ((GREY / 255).astype(np.float32), (4, 4, 1), np.uint8, 255),
        (GREY + 0.4 - 0.4 * (GREY == 255), (4, 4, 1), np.float32, 255),
        (GREY // 255, (4, 4, 1), np.uint8, 255),
        (GREY.astype(np.int64), (4, 4, 1), np.uint8, 255),
        (GREY > 100, (4, 4, 1), np.uint8, 255),
        (np.stack([GREY] * 3, axis=1).repeat(2, axis=3), (4, 8, 3), np.uint8, 255),
    ],
)
def test_images_in_arrays(tmp_path: Path, x: np.ndarray, shape: tuple, dtype: type, largest: int):
    found = read_npz(tmp_path, x=x, y=TWO)
    everything = np.concatenate([part["image"] for part in found.splits.values()])
    assert everything.shape == (20, *shape) and everything.max() == largest
    assert everything.dtype == dtype


def test_arrays_may_come_with_held_out_ones(tmp_path: Path):
    found = read_npz(tmp_path, x=GREY, labels=TWO.reshape(-1, 1), x_test=GREY[:3], y_test=TWO[:3])
    assert len(found.splits["train"]["label"]) == 20
    np.testing.assert_array_equal(found.splits["heldout"]["image"][..., 0], GREY[:3])
    table = read_npz(tmp_path, images=rows(20), y=np.where(TWO, "b", "a"))
    assert table.kind == "table" and table.class_names == ("a", "b")


def test_a_folder_of_images(tmp_path: Path):
    folder = pets(tmp_path)
    (folder / "cat" / ".DS_Store").write_bytes(b"x")
    (folder / "cat" / "notes.txt").write_bytes(b"x")
    found = read(str(folder), Options())
    assert found.class_names == ("cat", "dog") and "2 files" in found.notes["left out"]
    assert found.splits["train"]["image"].shape == (16, 6, 6, 3)
    images(folder / "dog", 1, size=9)
    resized = read(str(folder), Options(size=5))
    assert resized.splits["heldout"]["image"].shape == (4, 5, 5, 3)


def test_a_folder_with_held_out_images(tmp_path: Path):
    for part, count in (("Train", 6), ("validation", 2)):
        for name in ("a", "b"):
            images(tmp_path / "grey" / part / name, count, mode="L")
    found = read(str(tmp_path / "grey"), Options())
    assert found.splits["train"]["image"].shape == (12, 6, 6, 1)
    assert found.splits["heldout"]["label"].tolist() == [0, 0, 1, 1]


def test_a_text(tmp_path: Path):
    found = read_file(tmp_path, "a.txt", "a line of text\n" * 1000 + "no line’s end")
    train, heldout = (found.splits[split]["tokens"].tobytes() for split in ("train", "heldout"))
    assert train.endswith(b"\n") and heldout.endswith("no line’s end".encode())
    assert len(heldout) == pytest.approx(1500, abs=20)
    found = read_file(tmp_path, "b.md", "€" * 5000)  # without lines: not inside a character
    assert found.splits["train"]["tokens"].tobytes().decode() == "€" * 4500


def test_the_draw_is_the_same_everywhere():
    """Golden: another draw would make other data out of every file."""
    train = hold_out(np.arange(40) % 4)
    assert np.flatnonzero(~train).tolist() == [0, 2, 11, 17, 20, 21, 35, 38]
    assert hold_out(np.array([0, 1, 1])).sum() == 2


#: What is wrong -> how data are read, and what must be said.
WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing there": (lambda at: read(f"{at}/gone.csv", Options()), "there is no file or folder"),
    "empty": (lambda at: read_file(at, "a.csv", " \n"), "a.csv is empty"),
    "names alone": (lambda at: read_file(at, "a.csv", "a,b\n"), "a.csv has 0 rows; at least 10"),
    "one column": (lambda at: read_file(at, "a.csv", "a\n1\n"), "a.csv has one column, 'a'"),
    "ragged": (
        lambda at: read_file(at, "a.csv", FLOWERS + "1,2\n"),
        "row 31 of a.csv has 2 values, but there are 3 columns: '1,2'",
    ),
    "ragged without names": (
        lambda at: read_file(at, "a.csv", "1,2\n" * 6 + "1,2,3\n"),
        "row 7 of a.csv has 3 values, but there are 2 columns",
    ),
    "missing": (
        lambda at: read_file(at, "a.csv", FLOWERS + "1,NaN,rose\n"),
        "row 31, column 'width' of a.csv is missing",
    ),
    "infinite": (
        lambda at: read_file(at, "a.csv", FLOWERS + "1,inf,rose\n"),
        "row 31, column 'width' of a.csv is inf",
    ),
    "word among numbers": (
        lambda at: read_file(at, "a.csv", FLOWERS + "1,wide,rose\n"),
        "row 31, column 'width' of a.csv is 'wide', which is no number",
    ),
    "signs between thousands": (
        lambda at: read_file(at, "a.csv", "a,b\n" + '"1,234",x\n"2,500",y\n' * 5),
        "row 1, column 'a' of a.csv is '1,234', which is no number. Write numbers as 1234.5",
    ),
    "too many words": (
        lambda at: read_file(at, "a.csv", "a,b\n" + "".join(f"w{i},{i % 2}\n" for i in range(40))),
        "the column 'a' of a.csv has 40 different words.*--ignore a leaves it out",
    ),
    "one class": (
        lambda at: read_file(at, "a.csv", "a,b\n" + "1,x\n" * 12),
        "the labels in the column 'b' of a.csv have one class only, 'x'",
    ),
    "words to predict": (
        lambda at: read_file(at, "a.csv", FLOWERS, regression=True),
        "the labels in the column 'species' of a.csv are words, not numbers to predict",
    ),
    "one number to predict": (
        lambda at: read_file(at, "a.csv", "a,b\n" + "1,0.5\n2,0.5\n" * 6),
        "have the same number to predict, 0.5: nothing can be learned",
    ),
    "images of numbers": (lambda at: read_npz(at, x=GREY, y=TWO + 0.5), "is 0.5, which is no clas"),
    "numbers, not classes": (
        lambda at: read_file(at, "a.csv", "a,b\n" + "".join(f"1,{i}\n" for i in range(12))),
        "12 different values for 12 examples, so they are no classes.*--regression",
    ),
    "no such label": (
        lambda at: read_file(at, "a.csv", FLOWERS, label="kind"),
        "--label: a.csv has no column 'kind'; it has length, width, species",
    ),
    "two of a name": (lambda at: read_file(at, "a.csv", "a,a\n1,2\n"), "more than one column"),
    "not UTF-8": (lambda at: read_file(at, "a.csv", b"a,\xff\n1,2\n"), "a.csv is not text in UTF"),
    "useless option": (
        lambda at: read_file(at, "a.txt", "x", label="a"),
        "--label is for tables only",
    ),
    "short text": (
        lambda at: read_file(at, "a.txt", "too short"),
        "a.txt has 9 bytes of text; at least 10,000 are needed",
    ),
    "no text": (
        lambda at: read_file(at, "a.bin", b"PK\x03\x04\x00" * 9),
        "a.bin is not text in UTF-8: its byte 4 is 0x00",
    ),
    "a sheet": (lambda at: read_file(at, "a.xlsx", b"PK"), "a.xlsx.*Save the sheet as CSV"),
    "a pickle": (lambda at: read_file(at, "a.pkl", b"x"), "a.pkl.*Nothing is unpickled"),
    "damaged Parquet": (lambda at: read_file(at, "a.parquet", b"PAR1"), "as a Parquet file"),
    "objects": (
        lambda at: read_npz(at, x=GREY, y=np.array(["a", None] * 10, dtype=object)),
        "the array 'y' of some.npz holds Python objects, which are never unpickled",
    ),
    "damaged npz": (lambda at: read_file(at, "a.npz", b"PK\x03\x04"), "cannot be read as an .npz"),
    "other names": (
        lambda at: read_npz(at, pixels=GREY, y=TWO),
        "some.npz has the arrays pixels, y, but none of the names x, X, images",
    ),
    "lengths differ": (
        lambda at: read_npz(at, x=GREY, y=TWO[1:]),
        "some.npz has 20 examples for training, but labels of the shape .19.",
    ),
    "one-hot labels": (lambda at: read_npz(at, x=GREY, y=np.eye(20)), r"y\.argmax\(1\)"),
    "not a shape": (lambda at: read_npz(at, x=TWO, y=TWO), r"have the shape \[20\]: give \[N"),
    "pixels outside": (
        lambda at: read_npz(at, x=GREY - 112.5, y=TWO),
        "image 0 of some.npz has the pixel -112.5: pixels are from 0 to 255, or from 0 to 1",
    ),
    "NaN in a table": (
        lambda at: read_npz(at, x=np.where(rows(20) == 7, np.nan, rows(20)), y=TWO),
        "row 3 of some.npz has nan in column 1",
    ),
    "label outside": (
        lambda at: read_npz(at, x=GREY, y=TWO, x_test=GREY[:3], y_test=np.array([0, 1, 5])),
        "held-out example 2 of some.npz has the label '5', which no example for training has",
    ),
    "nothing held out": (
        lambda at: read_npz(at, x=GREY, y=TWO, x_test=GREY[:0], y_test=TWO[:0]),
        "some.npz comes with held-out examples, but there are none of them",
    ),
    "loose images": (
        lambda at: images(at / "loose", 3) or read(str(at / "loose"), Options()),
        "has no images in folders of classes, but 3 images of no class",
    ),
    "a folder of something else": (
        lambda at: images(at / "site" / "docs" / "big", 9, size=9)
        or images(at / "site" / "docs", 9)
        or read(str(at / "site"), Options()),
        "the folders of site have one class only, 'docs'",
    ),
    "other sizes": (
        lambda at: images(pets(at) / "dog", 1, size=9) or read(str(at / "pets"), Options()),
        "dog/00.png has 9x9 pixels, but cat/00.png has 6x6.*`--size 32` resizes all",
    ),
    "damaged image": (
        lambda at: (pets(at) / "dog" / "05.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        and read(str(at / "pets"), Options()),
        "the image dog/05.png cannot be read",
    ),
    "16 bits": (
        lambda at: Image.fromarray(np.full((6, 6), 40_000, np.uint16)).save(
            pets(at) / "dog" / "99.png"
        )
        or read(str(at / "pets"), Options()),
        "the image dog/99.png cannot be read: it has pixels of mode I;16, not of 8 bits",
    ),
    "latin1 far down": (
        lambda at: read_file(at, "a.csv", b"a,b,c\n" + b"1,u,0\n2,v,1\n" * 5000 + b"3,\xe9,0\n"),
        r"row 10001, column 'b' of a.csv is b'\\xe9', which is not text in UTF-8",
    ),
    "a list in a table": (
        lambda at: pq.write_table(pa.table({"a": [[1]] * 20, "b": [0, 1] * 10}), at / "a.parquet")
        or read(str(at / "a.parquet"), Options()),
        "the column 'a' of a.parquet is of type list.*--ignore a leaves it out",
    ),
    "numbers beyond squares": (
        lambda at: read_file(at, "a.csv", "a,label\n" + "1,2\n2,1e300\n" * 6),
        "row 2, column 'label' of a.csv is 1e.300; numbers to predict are finite, and at most 1e.3",
    ),
    "no zip": (
        lambda at: read_file(at, "a.npz", "hello"),
        "a.npz cannot be read as an .npz file: it is no zip of arrays",
    ),
    "half a split": (
        lambda at: images(at / "half" / "train" / "a", 9) or read(str(at / "half"), Options()),
        "half has a folder 'train', but none named 'test'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_bad_data_are_refused_with_the_place_and_the_reason(tmp_path: Path, what: str):
    make, message = WRONG[what]
    with pytest.raises(DataError, match=f"(?s){message}"):
        make(tmp_path)

import numpy as np
import pytest
import torch

from promptmlr.data import load_keep_mask

IMAGES, CLASSES = ("a", "b", "c"), ("cat", "hot dog")
ORDER = np.array([2, 0, 1])  # image a is the third row of the annotation file
KEEP = np.array([[True, False], [False, False], [True, True]])
IN_FILE = torch.tensor([[0, 0], [1, 1], [1, 0]])


def load(path, unknown_code=None, order=ORDER):
    return load_keep_mask(path, IMAGES, CLASSES, order, unknown_code)


@pytest.mark.parametrize(
    "mask",
    [IN_FILE, IN_FILE[:, None], IN_FILE[:, None].repeat(1, 3, 1), IN_FILE.bool(), IN_FILE.to(torch.bfloat16)],
)
def test_released_masks(tmp_path, mask):
    path = tmp_path / "partial_label_0.50.pt"
    torch.save(mask, path)
    np.testing.assert_array_equal(load(path), KEEP)


def unequal_rows():
    mask = IN_FILE[:, None].repeat(1, 3, 1)
    mask[2, 1, 1] = 1
    return mask


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (IN_FILE[:2], ["(2, 2)", "3 images and 2 classes"]),
        (IN_FILE[:, :1], ["(3, 1)"]),
        (unequal_rows(), ["the 3 rows of an image differ", "(3, 3, 2)"]),
        (IN_FILE.to_sparse(), ["not a plain tensor", "sparse_coo"]),
        (IN_FILE.to("meta"), ["not a plain tensor", "meta"]),
        (IN_FILE + 0j, ["not a plain tensor", "complex"]),
        (IN_FILE * 2 - 1, ["1 (kept) and 0 (hidden)"]),
        ({"mask": IN_FILE}, ["a dict"]),
        (len, ["not a tensor"]),
    ],
)
def test_other_tensors_are_refused(tmp_path, refused, content, words):
    path = tmp_path / "mask.pt"
    torch.save(content, path)
    refused(["mask.pt", *words], load, path)


def test_a_released_mask_needs_the_order_of_the_annotation_file(tmp_path, refused):
    torch.save(IN_FILE, tmp_path / "mask.pt")
    refused(["mask.pt", "whole data set"], load, tmp_path / "mask.pt", order=None)


@pytest.mark.parametrize("name", ["mask.pt", "mask.npy", "mask.csv"])
@pytest.mark.parametrize("content", [None, b"", b"\x00\x01", b"\x93NUMPY\x01\x00"])
def test_missing_and_damaged_files_are_refused(tmp_path, refused, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    refused([name], load, tmp_path / name)


@pytest.mark.parametrize(
    "make", [IN_FILE.to_sparse_csr, lambda: torch.quantize_per_tensor(IN_FILE.float(), 1.0, 0, torch.quint8)]
)
@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:torch.quantize_per_tensor")
def test_tensors_that_torch_itself_warns_of_are_refused(tmp_path, refused, make):
    torch.save(make(), tmp_path / "mask.pt")
    refused(["mask.pt", "not a plain tensor"], load, tmp_path / "mask.pt")


def array_file(header):
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04 no zip file",
        array_file("{'descr': '|b1', 'fortran_order': False, 'shape': (((("),
        array_file("{'descr': '|b1', 'fortran_order': False, 'shape': (1000000000000, 2), }\n"),
        array_file("{'descr': '|b1', 'fortran_order': False, 'shape': (3, 2), }\n") + b"\1\0\1",
        array_file("{'descr': '|O', 'fortran_order': False, 'shape': (3, 2), }\n") + b"\0" * 99,
    ],
)
def test_damaged_arrays_are_refused(tmp_path, refused, content):
    (tmp_path / "mask.npy").write_bytes(content)
    refused(["mask.npy", "not a NumPy array, or cut short"], load, tmp_path / "mask.npy")


def test_arrays_are_in_the_order_of_the_images(tmp_path, refused):
    path = tmp_path / "mask.npy"
    np.save(path, KEEP)
    np.testing.assert_array_equal(load(path, order=None), KEEP)
    np.save(path, KEEP.astype(np.int8))
    refused(["mask.npy", "bool"], load, path)
    np.save(path, KEEP[:, :1])
    refused(["mask.npy", "(3, 1)"], load, path)


def table(tmp_path, *rows):
    path = tmp_path / "mask.csv"
    path.write_text("\n".join(["image,split,hot_dog,extra,cat", *rows]) + "\n")
    return path


def test_a_table_is_matched_by_names(tmp_path):
    path = table(tmp_path, "c,train,1,0,1", "a,train,0,0,1", "other,test,1,1,1", "b,train,0,0,0")
    np.testing.assert_array_equal(load(path), KEEP)


@pytest.mark.parametrize(
    ("code", "unknown", "known"),
    [("-1", "-1", ("1", "0")), ("0", "0", ("1", "-1")), ("", "", ("1", "0")), ("-1", "-1.0", ("1.0", "0.0")),
     ("NaN", "nan", ("1", "0")), ("2", "2", ("-1", "0"))],
)  # fmt: skip
def test_a_table_of_labels_with_a_named_code(tmp_path, code, unknown, known):
    u, (k, m) = unknown, known
    path = table(tmp_path, f"a,train,{u},{k},{k}", f"b,train,{u},{k},{u}", f"c,train,{m},{k},{k}")
    np.testing.assert_array_equal(load(path, code), KEEP)


@pytest.mark.parametrize("cell", ["-1", ""])
def test_labels_without_a_named_code_are_refused_with_both_readings(tmp_path, refused, cell):
    path = table(tmp_path, "a,train,1,0,1", f"b,train,1,0,{cell}", "c,train,1,1,1")
    refused(["mask.csv, row 3, column 'cat'", "--unknown-code=-1", "--unknown-code=0", "TaI-DPT"], load, path)


@pytest.mark.parametrize(
    ("rows", "code", "words"),
    [
        (["a,train,1,0,2"], None, ["row 2", "'cat'", "'2'"]),
        (["a,train,1,0,"], "-1", ["row 2", "'cat'", "--unknown-code"]),
        (["a,train,1,0,1", "c,train,1,0,1"], None, ["no image 'b'", "1 of 3"]),
        (["a,train,1,0"], None, ["row 2", "4 cells"]),
    ],
)
def test_bad_tables_are_refused(tmp_path, refused, rows, code, words):
    refused(["mask.csv", *words], load, table(tmp_path, *rows), code)


def test_a_missing_class_is_named(tmp_path, refused):
    path = tmp_path / "mask.csv"
    path.write_text("image,cat\na,1\nb,1\nc,0\n")
    refused(["mask.csv", "no class 'hot dog'", "1 of 2"], load, path)


def test_a_code_is_for_tables_alone_and_other_files_are_refused(tmp_path, refused):
    torch.save(IN_FILE, tmp_path / "mask.pt")
    refused(["mask.pt", "--unknown-code"], load, tmp_path / "mask.pt", "-1")
    refused(["mask.json", ".pt, .npy or .csv"], load, tmp_path / "mask.json")

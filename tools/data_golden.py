"""Writes the small data sets under test/golden/data with each format's own reference tool.

Usage: python3 tools/data_golden.py FASHION_MNIST_FOLDER
Needs numpy, pyarrow and Pillow; the folder is /usr/share/datasets/fashion-mnist of Debian's dataset-fashion-mnist
(MIT licence, copyright Zalando SE). Written with numpy 2.4.6, pyarrow 25.0.1 and Pillow 12.3.0.

Picture i has at (y, x, c) the value (37 i + 11 y + 5 x + 83 c) mod 256; its class is i mod 3.
"""
import gzip
import io
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

ROOT = Path(__file__).parent.parent / "test" / "golden" / "data"
NAMES = ["ant", "bee", "cat"]
FASHION = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]


def pictures(numbers, side=8, channels=3):
    i = np.asarray(list(numbers))[:, None, None, None]
    y, x, c = np.indices((side, side, channels))
    return ((37 * i + 11 * y + 5 * x + 83 * c) % 256).astype(np.uint8)


def folder(name):
    path = ROOT / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def png(picture):
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    return out.getvalue()


def parquet():
    struct_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {
        "image": {"_type": "Image"},
        "label": {"names": NAMES, "_type": "ClassLabel"},
        "text": {"dtype": "string", "_type": "Value"},
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    halves = [("train", range(24), "snappy", 5), ("validation", range(24, 30), "zstd", 100)]
    for half, numbers, codec, rows in halves:
        columns = {
            "image": pa.array([{"bytes": png(p), "path": f"{i}.png"} for i, p in zip(numbers, pictures(numbers))], struct_type),
            "label": pa.array([i % 3 for i in numbers], pa.int64()),
            "text": pa.array([f"picture {i}" for i in numbers]),
        }
        table = pa.table(columns).replace_schema_metadata(metadata)
        pq.write_table(table, folder("parquet") / f"{half}-00000-of-00001.parquet", compression=codec, row_group_size=rows)
    numbers = range(12)
    plain = pa.table({
        "name": pa.array([NAMES[i % 3] for i in numbers]),
        "jpg": pa.array([png(p) for p in pictures(numbers)], pa.binary()),
        "label": pa.array([NAMES[i % 3] for i in numbers]),
    })
    pq.write_table(plain, folder("parquet-plain") / "part.parquet", compression="gzip", data_page_version="2.0")
    pq.write_table(plain, folder("parquet-plain") / "part2.parquet", compression="none", use_dictionary=False)


def numpy_arrays():
    labels = np.arange(30) % 3
    path = folder("npy")
    np.save(path / "images.npy", pictures(range(30)))
    np.save(path / "labels.npy", labels)
    floats = folder("npy-floats")
    chw = np.moveaxis(pictures(range(6)), -1, 1).astype(np.float32) / 255
    np.save(floats / "x_train.npy", chw)
    np.save(floats / "y_train.npy", np.asarray([NAMES[i % 3] for i in range(6)]))
    np.save(floats / "x_test.npy", pictures(range(6, 10)).astype(">f8") / 255)
    np.save(floats / "y_test.npy", np.asarray([NAMES[i % 3] for i in range(6, 10)], dtype="S"))
    np.save(folder("npy-grey") / "faces.npy", (pictures(range(6), channels=1)[..., 0] / 255).astype(np.float16))
    np.save(folder("npy-alpha") / "images.npy", pictures(range(6), channels=4))
    train, test = range(24), range(24, 30)
    halves = dict(x_train=pictures(train), y_train=labels[:24, None], x_test=pictures(test), y_test=labels[24:, None])
    np.savez(folder("npz") / "set.npz", **halves)
    np.savez_compressed(folder("npz-packed") / "set.npz", pictures(range(30)), labels.astype(np.uint8))


def cifar():
    def records(numbers, coarse):
        pixels = np.moveaxis(pictures(numbers, side=32), -1, 1).reshape(len(numbers), -1)
        fine = np.asarray([[i % 3] for i in numbers], np.uint8)
        return np.concatenate([fine + 7, fine, pixels] if coarse else [fine, pixels], axis=1).astype(np.uint8)

    ten, hundred = folder("cifar10"), folder("cifar100")
    records(range(6), False).tofile(ten / "data_batch_1.bin")
    records(range(6, 10), False).tofile(ten / "data_batch_2.bin")
    records(range(10, 14), False).tofile(ten / "test_batch.bin")
    (ten / "batches.meta.txt").write_text("\n".join(NAMES + list("defghij")) + "\n\n")
    records(range(4), True).tofile(hundred / "train.bin")
    records(range(4, 6), True).tofile(hundred / "test.bin")
    (hundred / "fine_label_names.txt").write_text("\n".join(NAMES + [f"class {i}" for i in range(3, 100)]) + "\n")


def idx(source):
    path = folder("idx")
    (path / "classes.txt").write_text("\n".join(FASHION) + "\n")
    for half, count, packed in [("train", 20, True), ("t10k", 10, False)]:
        for kind, lead, each in [("images-idx3", 16, 784), ("labels-idx1", 8, 1)]:
            data = gzip.decompress((source / f"{half}-{kind}-ubyte.gz").read_bytes())
            cut = data[:4] + struct.pack(">I", count) + data[8:lead] + data[lead:lead + count * each]
            if packed:
                (path / f"{half}-{kind}-ubyte.gz").write_bytes(gzip.compress(cut, mtime=0))
            else:
                (path / f"{half}-{kind}-ubyte").write_bytes(cut)


if __name__ == "__main__":
    parquet()
    numpy_arrays()
    cifar()
    idx(Path(sys.argv[1]))

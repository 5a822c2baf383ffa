"""Samples by class and reconstructs an image from what `ul export RUN --onnx MODEL` wrote.

    pip install onnxruntime numpy
    python sample.py MODEL --class "Food & Drink" --count 8 --out samples.png
    python sample.py MODEL --reconstruct photo.ppm --out pair.png

The image is a binary PPM of the model's size (`convert photo.jpg -resize 64x64! photo.ppm`). Noise is drawn as `ul` draws it,
so the same seed gives the same images as `ul sample`; numpy.random would do as well.
"""

import argparse
import json
import pathlib
import struct
import zlib

import numpy as np

WORD = 0xFFFFFFFF


# ---- noise: every draw is a function of (seed, stream, example) alone ----


def mix(x):
    """Scrambles 32-bit integers, one or an array of uint64."""
    h = x & WORD
    h = (h ^ h >> 16) * 0x7FEB352D & WORD
    h = (h ^ h >> 15) * 0x846CA68B & WORD
    return h ^ h >> 16


def fold(key, word):
    hi, lo = key
    return (
        mix((hi + 0x9E3779B9) ^ mix(word ^ 0x2545F491)),
        mix((lo ^ word) + 0x85EBCA6B + mix(hi)),
    )


def stream_key(seed, name, example):
    """The 64-bit key of a stream of normals."""
    text = 0x811C9DC5
    for letter in name.encode("ascii"):
        text = (text ^ letter) * 0x01000193 & WORD
    key = (0x243F6A88, 0x85A308D3)
    for word in (seed & WORD, seed >> 32, mix(text), example & WORD, example >> 32):
        key = fold(key, word)
    return key


def uniforms(key, indices):
    hi, lo = key
    words = mix(mix(indices + lo) ^ (hi + (indices * 0x9E3779B9 & WORD)))
    return (words + 0.5) / 2**32


def normals(seed, name, first, shape):
    """Standard normals [N, ...]: a stream for each example, numbered from `first`; two of each pair of words (Box-Muller)."""
    count = int(np.prod(shape[1:]))
    even = np.arange(0, count, 2, dtype=np.uint64)
    rows = []
    for n in range(shape[0]):
        key = stream_key(seed, name, first + n)
        radius = np.sqrt(-2 * np.log(uniforms(key, even)))
        angle = 2 * np.pi * uniforms(key, even + 1)
        rows.append(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).ravel()[:count])
    return np.array(rows, np.float32).reshape(shape)


# ---- the model ----


class Model:
    """A folder with model.json and the networks that it names."""

    def __init__(self, folder, session):
        folder = pathlib.Path(folder)
        self.recipe = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if (self.recipe.get("format"), self.recipe.get("version")) != ("unified-latents onnx", 1):
            raise SystemExit(f"{folder}: this is no export of version 1; write it with 'ul export RUN --onnx {folder}'")
        if self.recipe["base"] is None:
            raise SystemExit(f"{folder}: the run had no model that generates; train one, and export it again")
        self.networks = {
            name: session(str(folder / self.recipe[name]["file"])) for name in ("encoder", "decoder", "base")
        }

    def shape(self, of, n):
        """Of n images, or latents."""
        sizes = self.recipe[of]
        return [n, *(sizes[key] for key in ("channels", "frames", "height", "width") if key in sizes)]

    def ask(self, name, feeds):
        """Runs a network; inputs that are not fed are zeros: of clips, nothing is given."""
        n = len(next(iter(feeds.values())))
        for value in self.recipe[name]["inputs"]:
            if value["name"] not in feeds:
                feeds[value["name"]] = np.zeros([n, *value["shape"][1:]], value["dtype"])
        return self.networks[name].run(None, feeds)[0]

    def chain(self, name, shape, noise, predict):
        """All steps of a sampler. `predict` gives x̂ from x and the step, `noise` normals by the name of their stream."""
        chain, stream = self.recipe[name], self.recipe["noise"]
        x = noise(stream[f"{name}Start"]) if chain["start"] == "noise" else np.zeros(shape, np.float32)
        before = np.zeros(shape, np.float32)
        for i, step in enumerate(chain["steps"]):
            keep, clean, past, amount = (np.float32(step[key]) for key in ("keep", "clean", "past", "noise"))
            x_hat = predict(x, step)
            x = keep * x + clean * x_hat + past * before
            if amount != 0:
                x = x + amount * noise(stream[f"{name}Step"].replace("<step>", str(i)))
            before = x_hat
        return x

    def generate(self, labels, seed, first=0):
        """Noisy latents of classes by number; None for no class."""
        n = len(labels)
        shape = self.shape("latent", n)
        told, untold = {}, {}
        for condition in self.recipe["base"]["conditions"]:
            name, usual = condition["name"], condition["usual"]
            asked = [usual if label is None or name != "labels" else label for label in labels]
            told[name] = np.array(asked, condition["dtype"])
            untold[name] = np.full(n, condition["untold"], condition["dtype"])

        def predict(x, step):
            level = np.full(n, step["logSnr"], np.float32)
            if step["guidance"] == 1:
                return self.ask("base", {"xT": x, "logSnr": level, **told})
            both = {name: np.concatenate([told[name], untold[name]]) for name in told}
            twice = {"xT": np.concatenate([x, x]), "logSnr": np.concatenate([level, level])}
            x_told, x_untold = np.split(self.ask("base", {**twice, **both}), 2)
            return x_untold + np.float32(step["guidance"]) * (x_told - x_untold)

        return self.chain("base", shape, lambda name: normals(seed, name, first, shape), predict)

    def encode(self, images, seed, first=0):
        """Noisy latents z0 of images [N, 3, H, W] in [-1, 1]."""
        stream, latent = self.recipe["noise"], self.recipe["latent"]
        shape = self.shape("latent", len(images))
        feeds = {"x": images}
        if any(value["name"] == "zDraw" for value in self.recipe["encoder"]["inputs"]):
            feeds["zDraw"] = normals(seed, stream["encoderVariance"], first, shape)
        eps = normals(seed, stream["z0"], first, shape)
        return np.float32(latent["alpha0"]) * self.ask("encoder", feeds) + np.float32(latent["sigma0"]) * eps

    def decode(self, z0, seed, first=0):
        """Images in [-1, 1] of noisy latents."""
        shape = self.shape("image", len(z0))

        def predict(x, step):
            return self.ask("decoder", {"z0": z0, "xT": x, "logSnr": np.full(len(x), step["logSnr"], np.float32)})

        return self.chain("decoder", shape, lambda name: normals(seed, name, first, shape), predict)

    def sample(self, labels, seed):
        return self.decode(self.generate(labels, seed), seed)

    def reconstruct(self, images, seed):
        return self.decode(self.encode(images, seed), seed)


# ---- images ----


def read_ppm(path):
    """A binary PPM as [1, 3, H, W] in [-1, 1]."""
    data = pathlib.Path(path).read_bytes()
    fields = data.split(maxsplit=4)[:4]
    if len(fields) < 4 or fields[0] != b"P6" or fields[3] != b"255":
        raise SystemExit(f"{path}: this is no binary PPM of bytes; make one with 'convert photo.jpg -resize 64x64! {path}'")
    width, height = int(fields[1]), int(fields[2])
    pixels = np.frombuffer(data[-3 * width * height :], np.uint8).reshape(1, height, width, 3)
    return (pixels.transpose(0, 3, 1, 2) / 127.5 - 1).astype(np.float32)


def write_png(path, images):
    """Images [N, 3, H, W] side by side; of clips [N, 3, T, H, W] a row of frames each."""
    rows = images.transpose(0, 3, 2, 4, 1) if images.ndim == 5 else images.transpose(2, 0, 3, 1)[None]
    n, height, columns, width, _ = rows.shape
    pixels = np.clip(np.floor(127.5 * rows + 128), 0, 255).astype(np.uint8).reshape(n * height, columns * width * 3)
    lines = np.pad(pixels, ((0, 0), (1, 0))).tobytes()  # each line begins with its filter, none

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", columns * width, n * height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
    pathlib.Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def main():
    import onnxruntime

    parser = argparse.ArgumentParser(description="Samples by class, or reconstructs an image.")
    parser.add_argument("model", help="folder that ul export --onnx wrote")
    parser.add_argument("--class", dest="label", help="class by name; none when left out")
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reconstruct", metavar="IMAGE", help="binary PPM to encode and decode instead")
    parser.add_argument("--out", default="samples.png")
    args = parser.parse_args()
    model = Model(args.model, onnxruntime.InferenceSession)
    classes = model.recipe["classes"]
    if args.label is not None and args.label not in classes:
        raise SystemExit(f"--class {args.label}: classes are {', '.join(classes) or 'none'}")
    if args.reconstruct is None:
        label = None if args.label is None else classes.index(args.label)
        images = model.sample([label] * args.count, args.seed)
    else:
        original = read_ppm(args.reconstruct)
        if list(original.shape) != model.shape("image", 1):
            raise SystemExit(f"{args.reconstruct}: it is {original.shape[2:]}, the model takes {model.shape('image', 1)[2:]}")
        images = np.concatenate([original, model.reconstruct(original, args.seed)])
    write_png(args.out, images)
    print(args.out)


if __name__ == "__main__":
    main()

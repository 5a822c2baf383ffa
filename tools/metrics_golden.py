"""Golden values for test/eval and test/features, computed by numpy, SciPy, scikit-image, Pillow and PyTorch.

Run by hand from the repository's root after `npm ci`, with Debian's packages (apt-get install python3-torch
python3-scipy python3-skimage python3-pil; made with PyTorch 1.13, SciPy 1.10, scikit-image 0.19, Pillow 9.4):

    /usr/bin/python3 tools/metrics_golden.py

Inputs are drawn here, rounded to float32 and stored in test/golden/metrics.safetensors beside resized images;
numbers are stored as float64 in test/golden/metrics.json. The feature network is walked layer by layer as its
topology file lists them, in float64, without folding normalisation into weights.
"""

import base64
import json
import pathlib
import re

import numpy as np
import scipy.linalg
import torch
import torch.nn.functional as F
from PIL import Image
from skimage.metrics import structural_similarity

from golden import OUT, draw, write_safetensors

MODEL = pathlib.Path(__file__).resolve().parent.parent / "node_modules/nsfwjs/dist/models/inception_v3"

# ---- metrics -----------------------------------------------------------------------------------------------------


def statistics(x):
    return x.mean(0), np.cov(x, rowvar=False)


def frechet_sqrtm(a, b):
    (m1, s1), (m2, s2) = statistics(a), statistics(b)
    return float(((m1 - m2) ** 2).sum() + np.trace(s1 + s2 - 2 * np.real(scipy.linalg.sqrtm(s1 @ s2))))


def frechet_nuclear(a, b):
    """tr (S1 S2)^(1/2) is the sum of the singular values of A B', A and B the centred rows; also where S is singular."""
    (m1, s1), (m2, s2) = statistics(a), statistics(b)
    rows = [(x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b)]
    root = np.linalg.svd(rows[0] @ rows[1].T, compute_uv=False).sum()
    return float(((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * root)


def kid(x, y):
    k = lambda p, q: (p @ q.T / p.shape[1] + 1) ** 3
    m, n = len(x), len(y)
    within = lambda p: (k(p, p).sum() - np.trace(k(p, p))) / (len(p) * (len(p) - 1))
    return float(within(x) + within(y) - 2 * k(x, y).sum() / (m * n))


def precision_recall(real, fake, k=3):
    distance = lambda p, q: np.sqrt(((p[:, None] - q[None]) ** 2).sum(-1))
    radius = lambda p: np.sort(distance(p, p), 1)[:, k]  # the 0th is the picture itself
    inside = lambda q, p: float((distance(q, p) <= radius(p)[None]).any(1).mean())
    return {"precision": inside(fake, real), "recall": inside(real, fake)}


def ssim(a, b):
    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=2, channel_axis=0)
    return [float(structural_similarity(p, q, **options)) for p, q in zip(a, b)]


def feature_rows(name, count, dimension, shift=0.0):
    mixing = draw("mixing", (dimension, dimension)).numpy()
    return draw(name, (count, dimension)).numpy() @ mixing / np.sqrt(dimension) + shift


# ---- resizing ----------------------------------------------------------------------------------------------------


def tf1(picture, height, width):
    """Position i of the output lies at i·(in/out) of the input, beyond the last pixel at the last pixel."""
    at = lambda out, size: np.arange(out) * size / out
    rows = np.apply_along_axis(lambda v: np.interp(at(height, len(v)), np.arange(len(v)), v), 0, picture)
    return np.apply_along_axis(lambda v: np.interp(at(width, len(v)), np.arange(len(v)), v), 1, rows)


def half_pixel(picture, height, width):
    x = torch.from_numpy(picture.astype(np.float64)).permute(2, 0, 1)[None]
    return F.interpolate(x, (height, width), mode="bilinear", align_corners=False)[0].permute(1, 2, 0).numpy()


def pil_bicubic(picture, height, width):
    planes = [Image.fromarray(picture[..., c].astype(np.float32), mode="F") for c in range(3)]
    return np.stack([np.asarray(p.resize((width, height), Image.BICUBIC)).clip(0, 255) for p in planes], -1)


# ---- the feature network -----------------------------------------------------------------------------------------


def exported(path):
    text = path.read_text()
    return text[text.index('.exports=', 700) + len(".exports=") :]


def read_model():
    text = exported(MODEL / "model.min.js")
    text = text[: text.rindex("},{}]},{},[1])")]
    text = re.sub(r"([{,])([A-Za-z_]\w*):", r'\1"\2":', text).replace("!0", "true").replace("!1", "false")
    text = re.sub(r"([:\[,]-?)\.(\d)", r"\g<1>0.\2", text)
    model = json.loads(text)
    (manifest,) = model["weightsManifest"]
    shards = [exported(MODEL / f"{path}.min.js") for path in manifest["paths"]]
    data = b"".join(base64.b64decode(re.match(r'"([^"]*)"', s).group(1)) for s in shards)
    weights, offset = {}, 0
    for entry in manifest["weights"]:
        count = int(np.prod(entry["shape"]))
        q, quantization = np.frombuffer(data, np.uint8, count, offset), entry["quantization"]
        value = q.astype(np.float64) * quantization["scale"] + quantization["min"]
        weights[entry["name"]] = torch.from_numpy(value.reshape(entry["shape"]))
        offset += count
    assert offset == len(data)
    return model["modelTopology"]["model_config"]["config"]["layers"], weights


def layer(kind, config, inputs, weights):
    (x, *_), name = inputs, config["name"]
    if kind == "Conv2D":
        kernel = weights[f"{name}/kernel"].permute(3, 2, 0, 1)
        pads = [(k - 1) // 2 if config["padding"] == "same" else 0 for k in config["kernel_size"]]
        assert config["padding"] == "valid" or config["strides"] == [1, 1]
        return F.conv2d(x, kernel, stride=config["strides"], padding=pads)
    if kind == "BatchNormalization":
        beta, mean, variance = (
            weights[f"{name}/{part}"][:, None, None] for part in ("beta", "moving_mean", "moving_variance")
        )
        return (x - mean) / torch.sqrt(variance + config["epsilon"]) + beta
    if kind == "Activation":
        return torch.relu(x)
    if kind == "MaxPooling2D":
        assert config["padding"] == "valid"
        return F.max_pool2d(x, config["pool_size"], config["strides"])
    if kind == "AveragePooling2D":
        assert config["padding"] == "same" and config["pool_size"] == [3, 3] and config["strides"] == [1, 1]
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    assert kind == "Concatenate", kind
    return torch.cat(inputs, 1)


def mixed5(pictures):
    layers, weights = read_model()
    values = {layers[0]["config"]["name"]: torch.from_numpy(pictures / 255.0).permute(0, 3, 1, 2)}
    for entry in layers[1:]:
        inputs = [values[edge[0]] for edge in entry["inbound_nodes"][0]]
        values[entry["name"]] = layer(entry["class_name"], entry["config"], inputs, weights)
        if entry["name"] == "mixed5":
            return values["mixed5"].mean((2, 3)).numpy()
    raise AssertionError("no mixed5")


def patterns(size=128):
    """Two pictures by a formula of whole numbers, which the test repeats."""
    n, y, x, c = np.meshgrid(*(np.arange(s) for s in (2, size, size, 3)), indexing="ij")
    return (x * (n + 1) + y * (c + 1) + (x * y // 16) * n + 40 * c) % 256


# ---- files -------------------------------------------------------------------------------------------------------


def main():
    tensors, numbers = {}, {}
    sets = {
        "full": (feature_rows("real", 60, 12), feature_rows("fake", 50, 12, 0.3)),
        "short": (feature_rows("few real", 14, 24), feature_rows("few fake", 10, 24, 0.2)),
    }
    for name, pair in sets.items():
        a, b = (x.astype(np.float32).astype(np.float64) for x in pair)
        tensors[f"{name}/real"], tensors[f"{name}/fake"] = a, b
        numbers[name] = {"frechet": frechet_nuclear(a, b), "kid": kid(a, b), **precision_recall(a, b)}
    a, b = tensors["full/real"], tensors["full/fake"]
    numbers["full"]["frechet"] = frechet_sqrtm(a, b)

    original = np.tanh(draw("original", (2, 3, 19, 23)).numpy()).astype(np.float32).astype(np.float64)
    changed = np.clip(original + 0.2 * draw("change", original.shape).numpy(), -1, 1)
    changed = changed.astype(np.float32).astype(np.float64)
    tensors["ssim/original"], tensors["ssim/changed"] = original, changed
    numbers["ssim"] = ssim(original, changed)

    picture = np.random.default_rng(5).integers(0, 256, (17, 13, 3))
    tensors["resize/image"] = picture
    for height, width in ((7, 9), (23, 31), (17, 13), (23, 6)):
        for rule, resize in (("bilinear-tf1", tf1), ("bilinear", half_pixel), ("bicubic-antialias", pil_bicubic)):
            tensors[f"resize/{rule}/{height}x{width}"] = resize(picture, height, width)

    numbers["mixed5"] = [[float(v) for v in row[:16]] for row in mixed5(patterns())]
    write_safetensors(OUT / "metrics.safetensors", tensors)
    (OUT / "metrics.json").write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()

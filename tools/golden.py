"""Golden values for test/method/golden.test.ts, computed by PyTorch in float64 from the method's formulas alone.

Run by hand from the repository's root with Debian's PyTorch (apt-get install python3-torch python3-numpy; made with
version 1.13):

    /usr/bin/python3 tools/golden.py

Everything here is written from the paper's formulas and from the architecture's description, never by calling or
translating the graph: ONNX-shaped tricks (products of shifted pictures, fused addends, slabs) have plain PyTorch forms
here and gradients come from autograd. Parameters are drawn when they are first used, none of them zero, so every
branch and every gradient is exercised. Inputs and parameters are rounded to float32 before use, so both sides start
from the same numbers; results are stored as float32.
"""

import json
import math
import pathlib
import struct
import zlib

import numpy as np
import torch
import torch.nn.functional as F

OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "golden"
torch.set_num_threads(1)

# ---- the tiny configuration; test/method/support.ts states the same one ----------------------------------------------

SIZE, BATCH, CLASSES = 16, 3, 3
LATENT, GRID, LOG_SNR_0, LOG_SNR_1 = 4, 2, 5.0, -10.0
PATCH, ENCODER, CONV_BLOCKS = 2, [8, 16, 16], 1
DECODER, WIDTH, HEAD, BLOCKS = [8, 16], 16, 8, 2
BASE_WIDTHS, BASE_BLOCKS = (16, 24), (2, 2)
LOSS_FACTOR, BIAS, BASE_BIAS = 1.5, 2.8, 1.0


# ---- numbers, files --------------------------------------------------------------------------------------------------


def rounded(array):
    """float64 tensor of the values that float32 can hold."""
    return torch.from_numpy(np.asarray(array, dtype=np.float32).astype(np.float64))


def draw(name, shape, std=1.0):
    """Normal numbers that depend on the name alone."""
    return rounded(np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape) * std)


def write_safetensors(path, tensors):
    """Float32 (int32 for integers) tensors in the safetensors format: header length, JSON header, data."""
    header, blobs, offset = {}, [], 0
    for name, tensor in tensors.items():
        array = np.asarray(tensor.detach().numpy() if torch.is_tensor(tensor) else tensor)
        integer = array.dtype.kind == "i"
        blob = np.ascontiguousarray(array, dtype="<i4" if integer else "<f4").tobytes()
        entry = {"dtype": "I32" if integer else "F32", "shape": list(array.shape)}
        header[name] = {**entry, "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


class Params:
    """Parameters under their checkpoint paths, drawn at their first use."""

    def __init__(self, prefix):
        self.prefix, self.values = prefix, {}

    def __call__(self, path, shape, std):
        key = f"{self.prefix}.{path}"
        if key not in self.values:
            self.values[key] = draw(key, shape, std).requires_grad_()
        assert tuple(self.values[key].shape) == tuple(shape), key
        return self.values[key]


# ---- layers ----------------------------------------------------------------------------------------------------------


def weight(p, path, d_in, d_out):
    return p(path, (d_in, d_out), d_in**-0.5)


def linear(p, path, x, d_out):
    return x @ weight(p, f"{path}.weight", x.shape[-1], d_out) + p(f"{path}.bias", (d_out,), 0.2)


def conv(p, path, x, c_out, size):
    c_in = x.shape[1]
    return F.conv2d(x, p(path, (c_out, c_in, size, size), (c_in * size * size) ** -0.5), padding=size // 2)


def biased_conv(p, path, x, c_out):
    return conv(p, f"{path}.weight", x, c_out, 3) + p(f"{path}.bias", (c_out, 1, 1), 0.2)


def group_norm(x):
    return F.group_norm(x, max(1, min(32, x.shape[1] // 8)), eps=1e-5)


def rms_norm(x):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5)


def affine(p, path, x):
    c = x.shape[1]
    return x * (1 + p(f"{path}.scale", (c, 1, 1), 0.2)) + p(f"{path}.shift", (c, 1, 1), 0.2)


def film(p, path, x, embedding):
    """x·(1 + scale) + shift; x is [B, N, D] or [B, C, H, W]."""
    d = x.shape[-1] if x.dim() == 3 else x.shape[1]
    both = linear(p, path, embedding, 2 * d)
    scale, shift = both[:, :d], both[:, d:]
    if x.dim() == 3:
        return x * (1 + scale[:, None, :]) + shift[:, None, :]
    return x * (1 + scale[:, :, None, None]) + shift[:, :, None, None]


def res_block(p, path, x, embedding=None):
    c = x.shape[1]
    h = conv(p, f"{path}.conv1", F.silu(affine(p, f"{path}.norm1", group_norm(x))), c, 3)
    h = group_norm(h)
    h = affine(p, f"{path}.norm2", h) if embedding is None else film(p, f"{path}.norm2", h, embedding)
    return x + conv(p, f"{path}.conv2", F.silu(h), c, 3)


def patches_to_channels(x, b):
    """Channel index (dy, dx, c)."""
    B, C, H, W = x.shape
    rows = [x[:, :, dy::b, dx::b] for dy in range(b) for dx in range(b)]
    return torch.cat(rows, 1)


def channels_to_patches(x, b):
    B, C, H, W = x.shape
    parts = x.reshape(B, b, b, C // (b * b), H, W)
    return parts.permute(0, 3, 4, 1, 5, 2).reshape(B, C // (b * b), H * b, W * b)


def tokens(x):
    return x.flatten(2).transpose(1, 2)


def maps(x, h, w):
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], h, w)


def positions(h, w, width):
    """Per axis a quarter of the channels sine, a quarter cosine, wavelengths from 2π to just under 200π."""
    share = width // 4
    frequency = 100.0 ** (-torch.arange(share, dtype=torch.float64) / share)
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    angle_y, angle_x = (g.reshape(-1, 1).double() * frequency for g in (y, x))
    table = torch.cat([angle_y.sin(), angle_y.cos(), angle_x.sin(), angle_x.cos()], 1)
    return F.pad(table, (0, width - table.shape[1]))


def log_snr_embedding(p, path, log_snr, width):
    frequency = torch.logspace(math.log2(1 / 16), math.log2(4), 32, base=2.0, dtype=torch.float64)
    angle = log_snr[:, None] * frequency
    features = torch.cat([angle.sin(), angle.cos()], 1)
    return F.silu(linear(p, f"{path}.out", F.silu(linear(p, f"{path}.hidden", features, width)), width))


def block(p, path, x, embedding):
    B, N, D = x.shape
    h = film(p, f"{path}.film", rms_norm(x), embedding)

    def heads(x):
        return x.reshape(B, N, D // HEAD, HEAD).transpose(1, 2)

    # Queries and keys are normalised over all heads together.
    q, k = (heads(rms_norm(h @ weight(p, f"{path}.{name}", D, D))) for name in ("query", "key"))
    v = heads(h @ weight(p, f"{path}.value", D, D))
    mixed = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(HEAD), -1) @ v
    attention = mixed.transpose(1, 2).reshape(B, N, D) @ weight(p, f"{path}.attended", D, D)
    mlp = F.silu(linear(p, f"{path}.hidden", h, 4 * D)) @ weight(p, f"{path}.out", 4 * D, D)
    return x + attention + mlp


def blocks(p, path, x, embedding, count):
    for i in range(count):
        x = block(p, f"{path}.{i}", x, embedding)
    return x


# ---- networks --------------------------------------------------------------------------------------------------------


def encode(p, x):
    h = biased_conv(p, "in", patches_to_channels(x, PATCH), ENCODER[0])
    for i, channels in enumerate(ENCODER):
        if i > 0:
            h = conv(p, f"stages.{i}.down.0", patches_to_channels(h, 2), channels, 1)
        for j in range(CONV_BLOCKS):
            h = res_block(p, f"stages.{i}.blocks.{j}", h)
    return biased_conv(p, "out", F.silu(affine(p, "norm", group_norm(h))), LATENT)


def prior_v(p, z_t, log_snr):
    embedding = log_snr_embedding(p, "logSnr", log_snr, WIDTH)
    h = linear(p, "in", tokens(z_t), WIDTH) + positions(GRID, GRID, WIDTH)
    h = blocks(p, "blocks", h, embedding, BLOCKS)
    return maps(linear(p, "out", film(p, "film", rms_norm(h), embedding), LATENT), GRID, GRID)


def decoder_v(p, x_t, z_0, log_snr):
    embedding = log_snr_embedding(p, "logSnr", log_snr, WIDTH)
    h = biased_conv(p, "in", patches_to_channels(x_t, PATCH), DECODER[0])
    levels = list(zip(DECODER, [*DECODER[1:], WIDTH]))
    saved = []
    for i, (channels, below) in enumerate(levels):
        for j in range(CONV_BLOCKS):
            h = res_block(p, f"levels.{i}.before.{j}", h, embedding)
        smaller = conv(p, f"levels.{i}.down", patches_to_channels(h, 2), below, 1)
        saved.append((h, smaller))
        h = smaller
    inner = tokens(h) + linear(p, "latent", tokens(z_0), WIDTH) + positions(GRID, GRID, WIDTH)
    h = maps(blocks(p, "blocks", inner, embedding, BLOCKS), GRID, GRID)
    for i, (channels, below) in reversed(list(enumerate(levels))):
        before, smaller = saved[i]
        h = before + channels_to_patches(conv(p, f"levels.{i}.up", h - smaller, 4 * channels, 1), 2)
        for j in range(CONV_BLOCKS):
            h = res_block(p, f"levels.{i}.after.{j}", h, embedding)
    out = biased_conv(p, "out", F.silu(affine(p, "norm", group_norm(h))), 3 * PATCH**2)
    return channels_to_patches(out, PATCH)


def base_v(p, z_t, log_snr, labels):
    outer, inner = BASE_WIDTHS
    embedding = log_snr_embedding(p, "logSnr", log_snr, inner) + p("classes", (CLASSES + 1, inner), 1.0)[labels]
    first = (BASE_BLOCKS[0] + 1) // 2
    fine = linear(p, "in", tokens(z_t), outer) + positions(GRID, GRID, outer)
    fine = blocks(p, "before", fine, embedding, first)
    merged = tokens(patches_to_channels(maps(fine, GRID, GRID), 2))
    coarse = linear(p, "down", merged, inner) + positions(GRID // 2, GRID // 2, inner)
    change = blocks(p, "middle", coarse, embedding, BASE_BLOCKS[1]) - coarse
    spread = tokens(channels_to_patches(maps(linear(p, "up", change, 4 * outer), GRID // 2, GRID // 2), 2))
    h = blocks(p, "after", fine + spread, embedding, BASE_BLOCKS[0] - first)
    return maps(linear(p, "out", film(p, "film", rms_norm(h), embedding), LATENT), GRID, GRID)


# ---- the method ------------------------------------------------------------------------------------------------------


def column(v):
    return v[:, None, None, None]


def alpha_sigma(log_snr):
    return torch.sqrt(torch.sigmoid(log_snr)), torch.sqrt(torch.sigmoid(-log_snr))


def diffuse(x, eps, log_snr):
    alpha, sigma = alpha_sigma(column(log_snr))
    return alpha * x + sigma * eps


def x_hat(x_t, v, log_snr):
    alpha, sigma = alpha_sigma(column(log_snr))
    return alpha * x_t - sigma * v


def linear_log_snr(start, end):
    return lambda t: start + (end - start) * t


def cosine_log_snr(start, end, shift):
    """Cosine schedule of the shifted range: λ = shift + the unshifted schedule from start − shift to end − shift."""
    a0, a1 = (math.atan(math.exp(-(end_point - shift) / 2)) for end_point in (start, end))
    return lambda t: shift - 2 * torch.log(torch.tan(a0 + t * (a1 - a0)))


def level_and_weight(log_snr_of, times, bias=None, factor=1.0):
    """λ(t), and c·½(−dλ/dt)·e^λ·w(λ) in front of ‖x − x̂‖² (the x-space form), with dλ/dt from autograd."""
    t = torch.tensor(times, dtype=torch.float64, requires_grad=True)
    log_snr = log_snr_of(t)
    (slope,) = torch.autograd.grad(log_snr.sum(), t)
    log_snr = log_snr.detach()
    discount = 1.0 if bias is None else torch.sigmoid(bias - log_snr)
    return log_snr, factor * 0.5 * -slope * torch.exp(log_snr) * discount


def x_space_loss(x, estimate, weight_x):
    return weight_x * ((x - estimate) ** 2).sum((1, 2, 3))


def v_weight(weight_x, log_snr):
    """The weight in front of ‖v − v̂‖² = ‖x − x̂‖²/σ²."""
    return weight_x * torch.sigmoid(-log_snr)


def stage1_inputs():
    z_log_snr, z_weight = level_and_weight(linear_log_snr(LOG_SNR_0, LOG_SNR_1), [0.05, 0.45, 0.9])
    shift = 2 * math.log(32 / SIZE)
    x_schedule = cosine_log_snr(10.0, -10.0, shift)
    x_log_snr, x_weight = level_and_weight(x_schedule, [0.2, 0.6, 0.85], BIAS, LOSS_FACTOR)
    z_shape, x_shape = (BATCH, LATENT, GRID, GRID), (BATCH, 3, SIZE, SIZE)
    inputs = {
        "x": torch.tanh(draw("x", x_shape)),
        "zEps": draw("zEps", z_shape),
        "z0Eps": draw("z0Eps", z_shape),
        "xEps": draw("xEps", x_shape),
        "zLogSnr": z_log_snr,
        "zWeight": v_weight(z_weight, z_log_snr),
        "xLogSnr": x_log_snr,
        "xWeight": v_weight(x_weight, x_log_snr),
    }
    return {name: rounded(v) for name, v in inputs.items()}


def stage1_terms(encoder, prior, decoder, given, share):
    """Every term as the paper's x-space sum, from the float32 weights of ‖v − v̂‖² divided by σ²."""
    z = encode(encoder, given["x"])
    z_prior = share * z + (1 - share) * z.detach()
    z_t = diffuse(z_prior, given["zEps"], given["zLogSnr"])
    z_hat = x_hat(z_t, prior_v(prior, z_t, given["zLogSnr"]), given["zLogSnr"])
    alpha1_squared = 1 / (1 + math.exp(-LOG_SNR_1))
    sigma1_squared = 1 - alpha1_squared
    log_sigma1_squared = math.log1p(-alpha1_squared)
    kl = 0.5 * (alpha1_squared * z_prior**2 + (sigma1_squared - 1 - log_sigma1_squared))
    z_0 = diffuse(z, given["z0Eps"], torch.full((BATCH,), LOG_SNR_0, dtype=torch.float64))
    x_t = diffuse(given["x"], given["xEps"], given["xLogSnr"])
    estimate = x_hat(x_t, decoder_v(decoder, x_t, z_0, given["xLogSnr"]), given["xLogSnr"])
    return {
        "priorNats": x_space_loss(z_prior, z_hat, given["zWeight"] / torch.sigmoid(-given["zLogSnr"])),
        "terminalNats": kl.sum((1, 2, 3)),
        "decoderNats": x_space_loss(given["x"], estimate, given["xWeight"] / torch.sigmoid(-given["xLogSnr"])),
        "z": z,
    }


def stage1_loss(terms):
    return ((terms["priorNats"] + terms["terminalNats"] + terms["decoderNats"]) / (SIZE * SIZE)).mean()


def named(kind, tensors):
    return {f"{kind}/{name}": t.detach().clone() for name, t in tensors.items()}


# ---- files -----------------------------------------------------------------------------------------------------------


def stage1(trajectory_steps=3):
    nets = [Params("encoder"), Params("prior"), Params("decoder")]
    given = stage1_inputs()
    terms = stage1_terms(*nets, given, 1.0)
    values = {path: v for net in nets for path, v in net.values.items()}
    loss = stage1_loss(terms)
    out = {**named("param", values), **named("input", given), **named("output", {**terms, "loss": loss})}
    out.update(named("gradient", dict(zip(values, torch.autograd.grad(loss, list(values.values()))))))
    shared = stage1_loss(stage1_terms(*nets, given, 0.3))
    own = nets[0].values
    out.update(named("gradient03", dict(zip(own, torch.autograd.grad(shared, list(own.values()))))))

    # A few optimisation steps of the whole objective on the same batch.
    optimizer = torch.optim.AdamW(values.values(), lr=1e-3, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.01)
    ema = {path: v.detach().clone() for path, v in values.items()}
    losses, norms = [], []
    for step in range(trajectory_steps):
        optimizer.zero_grad()
        loss = stage1_loss(stage1_terms(*nets, given, 1.0))
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(values.values(), 1.0)))
        optimizer.step()
        losses.append(float(loss))
        decay = min(0.999, (1 + step) / (10 + step))
        for path, v in values.items():
            ema[path].mul_(decay).add_(v.detach(), alpha=1 - decay)
    moved = {path: v - out[f"param/{path}"] for path, v in values.items()}
    averaged = {path: v - out[f"param/{path}"] for path, v in ema.items()}
    out.update({**named("moved", moved), **named("emaMoved", averaged)})
    out["trajectory/loss"], out["trajectory/gradNorm"] = np.array(losses), np.array(norms)
    write_safetensors(OUT / "stage1.safetensors", out)
    return nets


def stage2():
    base = Params("base")
    log_snr, weight_x = level_and_weight(cosine_log_snr(LOG_SNR_0, LOG_SNR_1, 0.0), [0.15, 0.5, 0.95], BASE_BIAS)
    given = {
        "z": draw("stage2 z", (BATCH, LATENT, GRID, GRID)),
        "zEps": draw("stage2 zEps", (BATCH, LATENT, GRID, GRID)),
        "zLogSnr": rounded(log_snr),
        "zWeight": rounded(v_weight(weight_x, log_snr)),
    }
    labels = torch.tensor([2, CLASSES, 2])  # one repeated, one "no class"
    z_t = diffuse(given["z"], given["zEps"], given["zLogSnr"])
    z_hat = x_hat(z_t, base_v(base, z_t, given["zLogSnr"], labels), given["zLogSnr"])
    nats = x_space_loss(given["z"], z_hat, given["zWeight"] / torch.sigmoid(-given["zLogSnr"]))
    loss = nats.mean()
    gradients = torch.autograd.grad(loss, list(base.values.values()))
    out = {**named("param", base.values), **named("input", given), "input/labels": labels.int()}
    out.update(named("output", {"nats": nats, "loss": loss}))
    out.update(named("gradient", dict(zip(base.values, gradients))))
    write_safetensors(OUT / "stage2.safetensors", out)
    return base


def ancestral(x_t, estimate, eps, log_snr_t, log_snr_s, knob):
    """Samples q(x_s | x_t, x = estimate); the variance lies between its lower and upper bound in log space."""
    level_t, level_s = (torch.tensor(v, dtype=torch.float64) for v in (log_snr_t, log_snr_s))
    (alpha_t, sigma_t), (alpha_s, sigma_s) = alpha_sigma(level_t), alpha_sigma(level_s)
    ratio = torch.exp(level_t - level_s)  # 1 − c
    mean = ratio * alpha_s / alpha_t * x_t + (1 - ratio) * alpha_s * estimate
    lower, upper = (1 - ratio) * sigma_s**2, (1 - ratio) * sigma_t**2
    log_variance = (1 - knob) * torch.log(lower) + knob * torch.log(upper)
    return mean + torch.exp(log_variance / 2) * eps


def ddim(x_t, estimate, log_snr_t, log_snr_s):
    level_t, level_s = (torch.tensor(v, dtype=torch.float64) for v in (log_snr_t, log_snr_s))
    (alpha_t, sigma_t), (alpha_s, sigma_s) = alpha_sigma(level_t), alpha_sigma(level_s)
    eps_hat = (x_t - alpha_t * estimate) / sigma_t
    return alpha_s * estimate + sigma_s * eps_hat


def steps(decoder, base):
    """One guided base step on linear λ 5 → −10 in three (the middle one), one decoder step on 10 → −10 in four (the third)."""
    shape, x_shape = (BATCH, LATENT, GRID, GRID), (BATCH, 3, SIZE, SIZE)
    z_t, z_eps = draw("step zT", shape), draw("step zEps", shape)
    x_t, x_eps, z_0 = draw("step xT", x_shape), draw("step xEps", x_shape), draw("step z0", shape)
    labels, guidance = torch.tensor([0, 1, 2]), 2.5
    at = torch.full((BATCH,), -5.0, dtype=torch.float64)
    with torch.no_grad():
        with_class, without = (
            x_hat(z_t, base_v(base, z_t, at, which), at) for which in (labels, torch.full((BATCH,), CLASSES))
        )
        guided = without + guidance * (with_class - without)
        at = torch.zeros(BATCH, dtype=torch.float64)
        estimate = x_hat(x_t, decoder_v(decoder, x_t, z_0, at), at).clamp(-1, 1)
    out = {"zT": z_t, "zEps": z_eps, "xT": x_t, "xEps": x_eps, "z0": z_0, "labels": labels.int()}
    out["guidance"] = np.array(guidance)
    for knob in (0.0, 0.3, 1.0):
        out[f"base/ancestral/{knob:g}"] = ancestral(z_t, guided, z_eps, -5.0, 0.0, knob)
        out[f"decoder/ancestral/{knob:g}"] = ancestral(x_t, estimate, x_eps, 0.0, 5.0, knob)
    out["base/ddim"], out["decoder/ddim"] = ddim(z_t, guided, -5.0, 0.0), ddim(x_t, estimate, 0.0, 5.0)
    out["decoder/clean"] = estimate
    write_safetensors(OUT / "steps.safetensors", out)


def adamw(count=8):
    """torch.optim.AdamW with clip_grad_norm_ and an average, on drawn gradients of very different sizes."""
    shapes = {"a": (7, 5), "b": (3,), "c": (2, 3, 4)}
    values = {name: draw(f"adamw {name}", shape).requires_grad_() for name, shape in shapes.items()}
    optimizer = torch.optim.AdamW(values.values(), lr=1.0, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    ema = {name: v.detach().clone() for name, v in values.items()}
    rates = np.array([0.01 * (i + 1) for i in range(count)], dtype=np.float32).astype(np.float64)
    decays = np.array([min(0.9, (1 + i) / (10 + i)) for i in range(count)], dtype=np.float32).astype(np.float64)
    out = {**named("start", values), "lr": rates, "emaDecay": decays}
    norms = []
    for i in range(count):
        scale = (1e-3, 0.05, 1.0, 30.0)[i % 4]  # below and above the clipping norm
        for name, v in values.items():
            v.grad = draw(f"adamw gradient {name} {i}", shapes[name], scale)
            out[f"gradient/{i}/{name}"] = v.grad.clone()
        norms.append(float(torch.nn.utils.clip_grad_norm_(values.values(), 1.0)))
        optimizer.param_groups[0]["lr"] = rates[i]
        optimizer.step()
        for name, v in values.items():
            ema[name].mul_(decays[i]).add_(v.detach(), alpha=1 - decays[i])
            out[f"param/{i}/{name}"], out[f"ema/{i}/{name}"] = v.detach().clone(), ema[name].clone()
            state = optimizer.state[v]
            out[f"moment1/{i}/{name}"] = state["exp_avg"].clone()
            out[f"moment2/{i}/{name}"] = state["exp_avg_sq"].clone()
    out["gradNorm"] = np.array(norms)
    write_safetensors(OUT / "adamw.safetensors", out)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    base = stage2()
    decoder = Params("decoder")  # as in stage1() before its optimisation steps: draws depend on names alone
    steps(decoder, base)
    stage1()
    adamw()


if __name__ == "__main__":
    main()

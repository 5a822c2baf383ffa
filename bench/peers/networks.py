"""The four networks as one writes them in PyTorch for speed: float32, fused operators, strided convolutions.

Parameters come under the paths of our checkpoints and are laid out for PyTorch once, when they are loaded. Layout of
maps is [B, C, H, W], of tokens [B, N, D].
"""

import math

import torch
import torch.nn.functional as F

EPS = 1e-5
FREQUENCIES = 4 * 64 ** (torch.arange(32, dtype=torch.float64) / 31 - 1)


# ---- parameters ------------------------------------------------------------------------------------------------------


def lay_out(path, value):
    """A parameter in the form that PyTorch's operators take: gains for group norms, strided kernels for resampling."""
    last = path.split(".")[-1]
    if value.dim() == 3:  # [C, 1, 1]
        return value.flatten() + 1 if last == "scale" else value.flatten()
    if value.dim() == 4 and ".down" in path:  # [O, (dy, dx, C), 1, 1] → [O, C, 2, 2]
        return value.view(value.shape[0], 2, 2, -1).permute(0, 3, 1, 2).contiguous()
    if value.dim() == 4 and last == "up":  # [(dy, dx, O), C, 1, 1] → [C, O, 2, 2]
        return value.view(2, 2, -1, value.shape[1]).permute(3, 2, 0, 1).contiguous()
    return value


class Net:
    """Parameters of one network by path, the sizes and the memory format of its maps."""

    def __init__(self, params, prefix, config, channels_last):
        self.params, self.prefix, self.config, self.channels_last = params, prefix, config, channels_last

    def __call__(self, path):
        return self.params[f"{self.prefix}.{path}" if self.prefix else path]

    def count(self, path):
        """Length of the list of layers under a path."""
        start = f"{self.prefix}.{path}."
        own = (name[len(start) :].split(".")[0] for name in self.params if name.startswith(start))
        return max((int(index) + 1 for index in own), default=0)

    def maps(self, x):
        return x.contiguous(memory_format=torch.channels_last) if self.channels_last else x.contiguous()


# ---- layers ----------------------------------------------------------------------------------------------------------


class RmsNorm(torch.autograd.Function):
    """x/√(mean x² + eps) over the last axis; one saved map and four passes backwards, fewer than autograd takes."""

    @staticmethod
    def forward(ctx, x):
        mean = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1])
        inverse = mean.add_(EPS).rsqrt_()
        y = x * inverse
        ctx.save_for_backward(y, inverse)
        return y

    @staticmethod
    def backward(ctx, d):
        y, inverse = ctx.saved_tensors
        mean = (d * y).mean(-1, keepdim=True)
        return torch.addcmul(d, y, mean, value=-1).mul_(inverse)


rms_norm = RmsNorm.apply


def usual_rms_norm(x):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS)


def silu(x):
    return F.silu(x, inplace=not torch.is_grad_enabled())


def linear(p, path, x):
    y = torch.addmm(p(f"{path}.bias"), x.reshape(-1, x.shape[-1]), p(f"{path}.weight"))
    return y.view(*x.shape[:-1], y.shape[-1])


def groups(x):
    return max(1, min(32, x.shape[1] // 8))


def norm_silu(p, path, x):
    return silu(F.group_norm(x, groups(x), p(f"{path}.scale"), p(f"{path}.shift"), EPS))


def conv(p, path, x):
    bias = p(f"{path}.bias") if f"{p.prefix}.{path}.bias" in p.params else None
    weight = p(f"{path}.weight") if bias is not None else p(path)
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def res_block(p, path, x, embedding=None):
    h = conv(p, f"{path}.conv1", norm_silu(p, f"{path}.norm1", x))
    if embedding is None:
        h = norm_silu(p, f"{path}.norm2", h)
    else:
        scale, shift = linear(p, f"{path}.norm2", embedding)[:, :, None, None].chunk(2, 1)
        h = silu(torch.addcmul(shift, F.group_norm(h, groups(h), eps=EPS), scale + 1))
    return x + conv(p, f"{path}.conv2", h)


def res_blocks(p, path, x, embedding=None):
    for i in range(p.count(path)):
        x = res_block(p, f"{path}.{i}", x, embedding)
    return x


def film_tokens(p, path, x, embedding):
    scale, shift = linear(p, path, embedding)[:, None].chunk(2, 2)
    return torch.addcmul(shift, x, scale + 1)


def block(p, path, x, embedding, head, dropout=0.0):
    B, N, D = x.shape
    h = film_tokens(p, f"{path}.film", rms_norm(x), embedding).view(B * N, D)

    def heads(y):
        return y.view(B, N, D // head, head).transpose(1, 2).reshape(-1, N, head)

    q, k = (heads(rms_norm(h @ p(f"{path}.{name}"))) for name in ("query", "key"))
    v = heads(h @ p(f"{path}.value"))
    logits = torch.baddbmm(q.new_empty(()), q, k.transpose(1, 2), beta=0, alpha=head**-0.5)
    mixed = torch.bmm(torch.softmax(logits, -1), v).view(B, D // head, N, head).transpose(1, 2).reshape(B * N, D)
    attended = torch.addmm(x.reshape(B * N, D), mixed, p(f"{path}.attended"))
    hidden = silu(torch.addmm(p(f"{path}.hidden.bias"), h, p(f"{path}.hidden.weight")))
    if dropout > 0:
        hidden = F.dropout(hidden, dropout)
    return torch.addmm(attended, hidden, p(f"{path}.out")).view(B, N, D)


def blocks(p, path, x, embedding, head, dropout=0.0):
    for i in range(p.count(path)):
        x = block(p, f"{path}.{i}", x, embedding, head, dropout)
    return x


# ---- shapes ----------------------------------------------------------------------------------------------------------


def patches(x, b):
    """[B, C, H, W] → [B, (dy, dx, C), H/b, W/b]"""
    B, C, H, W = x.shape
    return x.view(B, C, H // b, b, W // b, b).permute(0, 3, 5, 1, 2, 4).reshape(B, -1, H // b, W // b)


def unpatch(x, b):
    """Inverse of patches."""
    B, C, H, W = x.shape
    return x.reshape(B, b, b, -1, H, W).permute(0, 3, 4, 1, 5, 2).reshape(B, -1, H * b, W * b)


def tokens(x):
    return x.flatten(2).transpose(1, 2).contiguous()


def to_maps(p, x, h, w):
    return p.maps(x.transpose(1, 2).reshape(x.shape[0], x.shape[2], h, w))


tables = {}


def positions(h, w, width):
    if (h, w, width) not in tables:
        share = width // 4
        frequency = 100.0 ** (-torch.arange(share, dtype=torch.float64) / share)
        y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        a, b = (grid.reshape(-1, 1).double() * frequency for grid in (y, x))
        table = torch.cat([a.sin(), a.cos(), b.sin(), b.cos()], 1)
        tables[h, w, width] = F.pad(table, (0, width - 4 * share)).float()
    return tables[h, w, width]


def log_snr_embedding(p, log_snr):
    angle = log_snr[:, None] * FREQUENCIES.float()
    hidden = silu(linear(p, "logSnr.hidden", torch.cat([angle.sin(), angle.cos()], 1)))
    return silu(linear(p, "logSnr.out", hidden))


# ---- networks --------------------------------------------------------------------------------------------------------


def encode(p, x):
    h = conv(p, "in", p.maps(patches(x, p.config["encoder"]["patch"])))
    for i in range(p.count("stages")):
        if i > 0:
            h = F.conv2d(h, p(f"stages.{i}.down.0"), stride=2)
        h = res_blocks(p, f"stages.{i}.blocks", h)
    return conv(p, "out", norm_silu(p, "norm", h))


def prior_v(p, z_t, log_snr):
    h, w = z_t.shape[2:]
    config, embedding = p.config["prior"], log_snr_embedding(p, log_snr)
    x = linear(p, "in", tokens(z_t)) + positions(h, w, config["width"])
    x = blocks(p, "blocks", x, embedding, config["headWidth"])
    return to_maps(p, linear(p, "out", film_tokens(p, "film", rms_norm(x), embedding)), h, w)


def decoder_v(p, x_t, z_0, log_snr, train=False):
    config, embedding = p.config["decoder"], log_snr_embedding(p, log_snr)
    dropout = config["dropout"] if train else 0.0
    grid = z_0.shape[2:]
    h = conv(p, "in", p.maps(patches(x_t, config["patch"])))
    skips = []
    for i in range(p.count("levels")):
        before = res_blocks(p, f"levels.{i}.before", h, embedding)
        h = F.conv2d(before, p(f"levels.{i}.down"), stride=2)
        skips.append((before, h))
    x = tokens(h) + (linear(p, "latent", tokens(z_0)) + positions(*grid, config["width"]))
    h = to_maps(p, blocks(p, "blocks", x, embedding, config["headWidth"], dropout), *grid)
    for i in reversed(range(len(skips))):
        before, after = skips[i]
        h = before + F.conv_transpose2d(h - after, p(f"levels.{i}.up"), stride=2)
        h = res_blocks(p, f"levels.{i}.after", h, embedding)
    return unpatch(conv(p, "out", norm_silu(p, "norm", h)), config["patch"])


def base_v(p, z_t, log_snr, labels, train=False):
    config, (B, _, h, w) = p.config["base"], z_t.shape
    outer, inner = config["widths"]
    head, dropout = config["headWidth"], config["dropout"] if train else 0.0
    embedding = log_snr_embedding(p, log_snr) + F.embedding(labels, p("classes"))
    x = linear(p, "in", tokens(z_t)) + positions(h, w, outer)
    fine = blocks(p, "before", x, embedding, head, dropout)
    merged = fine.view(B, h // 2, 2, w // 2, 2, outer).permute(0, 1, 3, 2, 4, 5).reshape(B, h * w // 4, 4 * outer)
    coarse = linear(p, "down", merged) + positions(h // 2, w // 2, inner)
    change = blocks(p, "middle", coarse, embedding, head, dropout) - coarse
    spread = linear(p, "up", change).view(B, h // 2, w // 2, 2, 2, outer).permute(0, 1, 3, 2, 4, 5)
    x = blocks(p, "after", fine + spread.reshape(B, h * w, outer), embedding, head, dropout)
    return to_maps(p, linear(p, "out", film_tokens(p, "film", rms_norm(x), embedding)), h, w)


# ---- the method ------------------------------------------------------------------------------------------------------


def level(log_snr):
    column = log_snr[:, None, None, None]
    return torch.sigmoid(column).sqrt(), torch.sigmoid(-column).sqrt()


def v_loss(x, eps, alpha, sigma, v, weight):
    return weight * (alpha * eps - sigma * x - v).square().sum((1, 2, 3))


def stage1_loss(nets, config, given, train):
    """L_z + L_x in nats per pixel; the encoder feels all of the prior's gradient, as in our feeds."""
    encoder, prior, decoder = nets
    x, latent = given["x"], config["latent"]
    z = encode(encoder, x)
    alpha, sigma = level(given["zLogSnr"])
    z_v = prior_v(prior, alpha * z + sigma * given["zEps"], given["zLogSnr"])
    nats = v_loss(z, given["zEps"], alpha, sigma, z_v, given["zWeight"])
    signal = 1 / (1 + math.exp(-latent["logSnr1"]))
    constant = math.log1p(math.exp(latent["logSnr1"])) - signal
    nats = nats + 0.5 * (signal * z.square() + constant).sum((1, 2, 3))
    alpha_0, sigma_0 = (math.sqrt(1 / (1 + math.exp(-sign * latent["logSnr0"]))) for sign in (1, -1))
    alpha, sigma = level(given["xLogSnr"])
    x_t, z_0 = alpha * x + sigma * given["xEps"], alpha_0 * z + sigma_0 * given["z0Eps"]
    x_v = decoder_v(decoder, x_t, z_0, given["xLogSnr"], train)
    nats = nats + v_loss(x, given["xEps"], alpha, sigma, x_v, given["xWeight"])
    return nats.sum() / (x.shape[0] * config["size"] ** 2)


def stage2_loss(net, given, train):
    alpha, sigma = level(given["zLogSnr"])
    z_t = alpha * given["z"] + sigma * given["zEps"]
    v = base_v(net, z_t, given["zLogSnr"], given["labels"], train)
    return v_loss(given["z"], given["zEps"], alpha, sigma, v, given["zWeight"]).sum() / z_t.numel()


def decode(net, z_0, x_t, steps):
    """DDIM with the pixels of every prediction clipped; `steps` holds level and coefficients of each."""
    for step in steps:
        log_snr = torch.full((x_t.shape[0],), step["logSnr"])
        alpha, sigma = level(log_snr[:1])
        x_hat = (alpha * x_t - sigma * decoder_v(net, x_t, z_0, log_snr)).clamp_(-1, 1)
        x_t = x_t * step["keep"] + x_hat * step["clean"]
    return x_t

"""PyTorch as a peer of the benchmark: reads one JSON command per line, answers each with one JSON line.

{"prepare": path} loads a case (safetensors, its description under `case` in the metadata), does it once and answers
with the relative errors against the expected values in the file; {"run": n} answers with the seconds of n runs.
Settings come as JSON in argv[1]: channels_last, the memory format of maps and kernels; usual, whether norm and optimiser
are PyTorch's own, as in most training scripts, instead of the fewest passes that it allows.
"""

import ctypes
import json
import math
import struct
import sys
import time

import numpy as np
import torch

import networks as n

TYPES = {"F32": np.float32, "I32": np.int32}


def read_safetensors(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        metadata = header.pop("__metadata__")
        tensors = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            file.seek(8 + length + begin)
            data = np.frombuffer(bytearray(file.read(end - begin)), TYPES[entry["dtype"]])
            tensors[name] = torch.from_numpy(data.reshape(entry["shape"]))
    return tensors, json.loads(metadata["case"])


def under(tensors, prefix):
    return {name[len(prefix) + 1 :]: t for name, t in tensors.items() if name.startswith(f"{prefix}/")}


class Optimizer:
    """AdamW on clipped gradients with an average of the weights, in the fewest passes that eager PyTorch allows.

    Tensor by tensor, so that a tensor stays in the cache through all of them; torch.optim.AdamW with foreach=True goes
    through all tensors for each of its nine.
    """

    def __init__(self, params, beta1, beta2, epsilon, weightDecay, clipNorm, lr, emaDecay):
        self.params, self.lr, self.ema_decay, self.clip_norm = params, lr, emaDecay, clipNorm
        self.betas, self.epsilon, self.weight_decay = (beta1, beta2), epsilon, weightDecay
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p), p.detach().clone()) for p in params]
        self.step_count = 0

    @torch.no_grad()
    def step(self):
        grads = [p.grad for p in self.params]
        norm = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads))))
        if not math.isfinite(norm):
            return
        self.step_count += 1
        beta1, beta2 = self.betas
        clip = min(1.0, self.clip_norm / (norm + 1e-12))
        root2 = math.sqrt(1 - beta2**self.step_count)
        rate = self.lr * root2 / (1 - beta1**self.step_count)
        for p, g, (m, v, ema) in zip(self.params, grads, self.moments):
            if clip < 1:
                g.mul_(clip)
            m.mul_(beta1).add_(g, alpha=1 - beta1)  # lerp_ is one pass, but three times slower
            v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
            if self.weight_decay > 0:
                p.mul_(1 - self.lr * self.weight_decay)
            p.addcdiv_(m, v.sqrt().add_(self.epsilon * root2), value=-rate)
            ema.mul_(self.ema_decay).add_(p, alpha=1 - self.ema_decay)


class UsualOptimizer:
    """The same by torch.optim.AdamW, clip_grad_norm_ and an average of the weights tensor by tensor."""

    def __init__(self, params, beta1, beta2, epsilon, weightDecay, clipNorm, lr, emaDecay):
        self.params, self.clip_norm, self.ema_decay = params, clipNorm, emaDecay
        self.adamw = torch.optim.AdamW(params, lr=lr, betas=(beta1, beta2), eps=epsilon, weight_decay=weightDecay)
        self.averages = [p.detach().clone() for p in params]

    def step(self):
        norm = torch.nn.utils.clip_grad_norm_(self.params, self.clip_norm)
        if not math.isfinite(norm):
            return
        self.adamw.step()
        with torch.no_grad():
            for p, ema in zip(self.params, self.averages):
                ema.lerp_(p, 1 - self.ema_decay)


class Case:
    """A case's tensors; `work` does it once."""

    def __init__(self, path, channels_last, usual):
        tensors, self.info = read_safetensors(path)
        self.given, self.expected = under(tensors, "input"), under(tensors, "expected")
        if "labels" in self.given:
            self.given["labels"] = self.given["labels"].long()
        self.channels_last, self.usual = channels_last, usual
        self.params = {}
        for name, value in under(tensors, "param").items():
            value = n.lay_out(name, value)
            if channels_last and value.dim() == 4:
                value = value.contiguous(memory_format=torch.channels_last)
            self.params[name] = value

    def net(self, prefix):
        start = f"{prefix}." if prefix else ""
        own = {name: p for name, p in self.params.items() if name.startswith(start)}
        return n.Net(own, prefix, self.info.get("config"), self.channels_last)

    def train(self, *leaves):
        for leaf in [*self.params.values(), *leaves]:
            leaf.requires_grad_()

    def fresh_noise(self):
        for name, value in self.given.items():
            if name.endswith("Eps"):
                value.normal_()


def training(case):
    case.train()
    if case.info["kind"] == "stage1":
        nets, config = [case.net(name) for name in ("encoder", "prior", "decoder")], case.info["config"]
        loss_of = lambda train: n.stage1_loss(nets, config, case.given, train)  # noqa: E731
    else:
        net = case.net("base")
        loss_of = lambda train: n.stage2_loss(net, case.given, train)  # noqa: E731
    kind = UsualOptimizer if case.usual else Optimizer
    optimizer = kind(list(case.params.values()), **case.info["optimizer"])

    def step(train):
        for p in optimizer.params:
            p.grad = None
        loss = loss_of(train)
        loss.backward()
        optimizer.step()
        return float(loss)

    def run():
        case.fresh_noise()
        step(True)

    losses = [step(False) for _ in range(case.expected["loss"].numel())]
    return run, {"loss": torch.tensor(losses)}


def gradients(case):
    """Sum of squares of one block's output, with gradients for its input and parameters."""
    net, given, info = case.net(""), case.given, case.info
    x = net.maps(given["x"]) if given["x"].dim() == 4 else given["x"]
    case.train(x)

    def run():
        for leaf in [x, *case.params.values()]:
            leaf.grad = None
        if x.dim() == 4:
            y = n.res_block(net, "block", x, given.get("embedding"))
        else:
            y = n.block(net, "block", x, given["embedding"], info["headWidth"])
        loss = y.square().sum()
        loss.backward()
        return loss.detach()

    loss = run()
    grads = {f"gradient/{name}": p.grad for name, p in case.params.items()}
    return run, {"loss": loss, "gradient/x": x.grad, **grads}


def inference(case):
    info, given = case.info, case.given
    encoder, decoder = case.net("encoder"), case.net("decoder")
    alpha, sigma = (v.item() for v in n.level(torch.tensor([info["config"]["latent"]["logSnr0"]])))

    @torch.inference_mode()
    def work():
        if info["kind"] == "encode":
            return n.encode(encoder, given["x"])
        if info["kind"] == "reconstruct":
            z = n.encode(encoder, given["x"])
            z_0 = alpha * z + sigma * given["z0Eps"]
        else:
            z_0 = given["z0"]
        return n.decode(decoder, z_0, given["xTEps"], info["steps"])

    def run():
        case.fresh_noise()
        work()

    return run, {"output": work()}


def matmul(case):
    a, b = case.given["a"], case.given["b"]
    return lambda: a @ b, {"output": a @ b}


WORKS = {"matmul": matmul, "stage1": training, "stage2": training, "gradients": gradients}


def relative_error(found, expected):
    found, expected = found.detach().double().flatten(), expected.double().flatten()
    return float((found - expected).norm() / expected.norm())


def prepare(path, settings):
    usual = settings.get("usual", False)
    if usual:
        n.rms_norm = n.usual_rms_norm
    case = Case(path, settings.get("channels_last", False), usual)
    run, found = WORKS.get(case.info["kind"], inference)(case)
    errors = {name: relative_error(found[name], value) for name, value in case.expected.items()}
    case.expected.clear()
    return run, errors


def peak_bytes():
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def describe():
    blas = ctypes.CDLL("libblas.so.3")
    try:
        blas.openblas_get_corename.restype = ctypes.c_char_p
        kernel = f"OpenBLAS {blas.openblas_get_corename().decode()}"
    except AttributeError:
        kernel = "BLAS without a name"
    return f"PyTorch {torch.__version__.split('a')[0]}, {kernel}, {torch.get_num_threads()} threads"


def main():
    torch.set_flush_denormal(True)
    settings, run = json.loads(sys.argv[1]), None
    for line in sys.stdin:
        command = json.loads(line)
        if "prepare" in command:
            run, errors = prepare(command["prepare"], settings)
            answer = {"errors": errors, "description": describe()}
        else:
            seconds, cpu = [], time.process_time()
            for _ in range(command["run"]):
                start = time.perf_counter()
                run()
                seconds.append(time.perf_counter() - start)
            answer = {"seconds": seconds, "cpu": time.process_time() - cpu, "peakBytes": peak_bytes()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

"""PyTorch as a peer of the benchmark: reads one JSON command per line, answers each with one JSON line.

{"prepare": path} loads a case (safetensors, its description under `case` in the metadata), does it once and answers
with the relative errors against the expected values in the file; {"run": n} answers with the seconds of n runs.
Settings come as JSON in argv[1]: device, cpu or cuda; precision, float32, tf32 or float16, for which PyTorch takes
bfloat16 by autocast; channels_last, the memory format of maps and kernels; usual, whether norm and optimiser are PyTorch's
own, as in most training scripts, instead of the fewest passes that it allows; compiled, whether the loss goes through
torch.compile.
"""

import ctypes
import json
import math
import os
import shutil
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


class CardOptimizer:
    """The same on a card: PyTorch's fused AdamW and one launch for many averages."""

    def __init__(self, params, beta1, beta2, epsilon, weightDecay, clipNorm, lr, emaDecay):
        self.params, self.clip_norm, self.ema_decay = params, clipNorm, emaDecay
        settings = {"lr": lr, "betas": (beta1, beta2), "eps": epsilon, "weight_decay": weightDecay}
        self.adamw = torch.optim.AdamW(params, fused=True, **settings)
        self.averages = [p.detach().clone() for p in params]

    @torch.no_grad()
    def step(self):
        torch.nn.utils.clip_grad_norm_(self.params, self.clip_norm, foreach=True)
        self.adamw.step()
        torch._foreach_lerp_(self.averages, self.params, 1 - self.ema_decay)


class Case:
    """A case's tensors on the device; `work` does it once."""

    def __init__(self, path, settings):
        tensors, self.info = read_safetensors(path)
        self.settings = settings
        tensors = {name: value.to(settings["device"]) for name, value in tensors.items()}
        self.given, self.expected = under(tensors, "input"), under(tensors, "expected")
        if "labels" in self.given:
            self.given["labels"] = self.given["labels"].long()
        self.channels_last = channels_last = settings.get("channels_last", False)
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

    def autocast(self):
        """The arithmetic of products."""
        half = self.settings["precision"] == "float16"
        return torch.autocast(self.settings["device"], torch.bfloat16, enabled=half)

    def optimizer(self):
        on_card = self.settings["device"] == "cuda"
        kind = UsualOptimizer if self.settings.get("usual") else CardOptimizer if on_card else Optimizer
        return kind(list(self.params.values()), **self.info["optimizer"])


def compiled(loss_of):
    """The loss through torch.compile. Raises a sentence where that cannot be."""
    if not hasattr(torch, "compile"):
        raise RuntimeError(f"PyTorch {torch.__version__.split('a')[0]} has no torch.compile; 2.0 or newer has it")
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        raise RuntimeError("torch.compile needs a C++ compiler, and there is no g++; install one, or set CXX")
    with torch.no_grad():
        loss_of(False)  # fills the tables that a compiled function should find made
    return torch.compile(loss_of)


def training(case):
    case.train()
    if case.info["kind"] == "stage1":
        nets, config = [case.net(name) for name in ("encoder", "prior", "decoder")], case.info["config"]
        loss_of = lambda train: n.stage1_loss(nets, config, case.given, train)  # noqa: E731
    else:
        net = case.net("base")
        loss_of = lambda train: n.stage2_loss(net, case.given, train)  # noqa: E731
    if case.settings.get("compiled"):
        loss_of = compiled(loss_of)
    optimizer = case.optimizer()

    def step(train):
        for p in optimizer.params:
            p.grad = None
        with case.autocast():
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
        with case.autocast():
            if x.dim() == 4:
                y = n.res_block(net, "block", x, given.get("embedding"))
            else:
                y = n.block(net, "block", x, given["embedding"], info["headWidth"])
        loss = y.float().square().sum()
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
    if case.settings["precision"] == "float16":
        a, b = a.bfloat16(), b.bfloat16()
    return lambda: a @ b, {"output": a @ b}


WORKS = {"matmul": matmul, "stage1": training, "stage2": training, "gradients": gradients}


def relative_error(found, expected):
    found, expected = found.detach().cpu().double().flatten(), expected.cpu().double().flatten()
    return float((found - expected).norm() / expected.norm())


def set_up(settings):
    """Makes the device and its arithmetic PyTorch's default."""
    torch.set_flush_denormal(True)
    if settings.get("usual") or settings.get("compiled") or settings["precision"] == "float16":
        n.rms_norm = n.usual_rms_norm  # a compiler fuses it, and autocast knows it
    if settings["device"] == "cpu":
        return
    if not torch.cuda.is_available():
        raise RuntimeError(f"this PyTorch {torch.__version__} finds no card")
    torch.set_default_device(settings["device"])
    n.FREQUENCIES = n.FREQUENCIES.to(settings["device"])
    is_tf32 = settings["precision"] != "float32"
    torch.backends.cuda.matmul.allow_tf32 = is_tf32
    torch.backends.cudnn.allow_tf32 = is_tf32
    torch.backends.cudnn.benchmark = True


def prepare(path, settings):
    set_up(settings)
    case = Case(path, settings)
    run, found = WORKS.get(case.info["kind"], inference)(case)
    errors = {name: relative_error(found[name], value) for name, value in case.expected.items()}
    case.expected.clear()
    return run, errors


def wait(settings):
    """Until the device has done what it was given."""
    if settings["device"] != "cpu":
        torch.cuda.synchronize()


def peak_bytes():
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def blas_name():
    try:
        blas = ctypes.CDLL("libblas.so.3")
        blas.openblas_get_corename.restype = ctypes.c_char_p
        return f"OpenBLAS {blas.openblas_get_corename().decode()}"
    except (AttributeError, OSError):
        return "BLAS without a name"


def describe(settings):
    parts = [f"PyTorch {torch.__version__.split('a')[0]}"]
    if settings["device"] == "cpu":
        parts += [blas_name(), f"{torch.get_num_threads()} threads"]
    else:
        arithmetic = {"float16": "bfloat16"}.get(settings["precision"], settings["precision"])
        parts += [f"CUDA {torch.version.cuda}", torch.cuda.get_device_name(), arithmetic]
    return ", ".join([*parts, *(["torch.compile"] if settings.get("compiled") else [])])


def timed(run, count, settings):
    seconds, cpu = [], time.process_time()
    for _ in range(count):
        start = time.perf_counter()
        run()
        wait(settings)
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "cpu": time.process_time() - cpu, "peakBytes": peak_bytes()}


def main():
    settings, run = json.loads(sys.argv[1]), None
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if "prepare" in command:
                run, errors = prepare(command["prepare"], settings)
                answer = {"errors": errors, "description": describe(settings)}
            else:
                answer = timed(run, command["run"], settings)
        except Exception as error:  # said in one line of the table: a compiler's words fill pages
            words = str(error).strip().splitlines()
            answer = {"error": words[0] if words else type(error).__name__}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

"""Writes the archives beside this file, with inputs and outputs that PyTorch computed: all, or those named. Run
with torch 2.15.0, transformers 5.23.0 and safetensors 0.8.0.
"""

import json
import pathlib
import re
import sys
import zipfile

import torch
import transformers
from safetensors.torch import save_file
from torch import nn

HERE = pathlib.Path(__file__).parent
DYNAMIC = torch.export.Dim.DYNAMIC
TOKENS = {0: DYNAMIC, 1: DYNAMIC}


def clean(path):
    """Leaves out the pickled example, and of stack traces all but the last line and its file's name."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries.items():
            if "/data/sample_inputs/" in name or "/.data/" in name:
                continue
            if "/models/" in name and name.endswith(".json"):
                program = json.loads(data)
                for node in nodes(program["graph_module"]["graph"]):
                    trace = node["metadata"].get("stack_trace", "").strip()
                    frames = [line for line in trace.splitlines() if "File" in line]
                    if frames:
                        node["metadata"]["stack_trace"] = re.sub(r'File ".*/', 'File "', frames[-1])
                program["graph_module"]["module_call_graph"] = []
                data = json.dumps(program, separators=(",", ":")).encode()
            archive.writestr(zipfile.ZipInfo(name), data)


def write(name, make, args=(), kwargs=None, dynamic=None):
    """Exports a module in evaluation; saves it, its inputs and its outputs."""
    if name not in (sys.argv[1:] or [name]):
        return
    torch.manual_seed(0)
    module, kwargs = make().eval(), kwargs or {}
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim <= 1:
                parameter += 0.1 * torch.randn_like(parameter)
        for path, buffer in module.named_buffers():
            if path.endswith("running_mean"):
                buffer += 0.1 * torch.randn_like(buffer)
            if path.endswith("running_var"):
                buffer *= 1 + 0.2 * torch.rand_like(buffer)
        program = torch.export.export(module, args, kwargs, dynamic_shapes=dynamic, strict=False)
        outputs = module(*args, **kwargs)
    torch.export.save(program, HERE / f"{name}.pt2")
    clean(HERE / f"{name}.pt2")
    flat = torch.utils._pytree.tree_flatten
    signature = program.graph_signature
    specs = [spec for spec in signature.input_specs if spec.kind.name == "USER_INPUT"]
    tensors = {
        "input." + spec.arg.name: value.long() if value.dtype == torch.bool else reals(value).contiguous()
        for spec, value in zip(specs, flat((args, kwargs))[0])
        if isinstance(value, torch.Tensor)
    }
    specs = [spec for spec in signature.output_specs if spec.kind.name == "USER_OUTPUT"]
    values = [value for value in flat(outputs)[0] if isinstance(value, torch.Tensor)]
    tensors |= {"output." + s.arg.name: reals(v).contiguous().clone() for s, v in zip(specs, values)}
    keep(name, tensors, module, args, kwargs)


def ids(items, tokens):
    return torch.randint(3, 40, (items, tokens))


def config(of, **keys):
    small = dict(vocab_size=41, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2)
    return of(**(small | keys))


class OddLetters(nn.Module):
    """Attention by einsum in letters of its own, with a mask made by hand."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Linear(16, 48, bias=False)

    def forward(self, x):
        q, k, v = self.maps(x).unflatten(-1, (3, 2, 8)).unbind(2)
        scores = torch.einsum("zpuw,zruw->zupr", q, k) * 8**-0.5
        row = torch.arange(x.shape[1])[:, None]
        column = torch.arange(x.shape[1])[None, :]
        scores = scores.masked_fill((column > row)[None, None], float("-inf"))
        return torch.einsum("zupr,zruw->zpuw", scores.softmax(-1), v).flatten(2)


class Chunked(nn.Module):
    """Attention within chunks of four tokens, in a loop over the heads."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(16, 16) for _ in range(3))
        self.out = nn.Linear(16, 16)

    def forward(self, x):
        items, tokens, width = x.shape
        parts = [map(x).view(items, tokens // 4, 4, width) for map in (self.q, self.k, self.v)]
        heads = []
        for head in range(2):
            q, k, v = (part[..., head * 8 : head * 8 + 8] for part in parts)
            weights = (q @ k.transpose(-1, -2) / 8**0.5).softmax(-1)
            heads.append(weights @ v)
        return self.out(torch.cat(heads, -1).reshape(items, tokens, width))


class Slopes(nn.Module):
    """Attention with a bias that falls with the distance, and keys that a mask hides."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Linear(16, 48)
        self.register_buffer("slopes", torch.tensor([0.5, 0.25]))

    def forward(self, x, seen):
        q, k, v = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.maps(x).chunk(3, -1))
        place = torch.arange(x.shape[1])
        bias = -self.slopes[:, None, None] * (place[:, None] - place).abs()
        bias = bias[None] + torch.where(seen[:, None, None], 0.0, float("-inf"))
        out = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return out.transpose(1, 2).flatten(2)


class Pairs(nn.Module):
    """Attention under masks of pairs: given, of documents in a row, of places on one side and on both, of lengths."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Linear(16, 48)

    def forward(self, x, pairs, documents, lengths):
        q, k, v = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.maps(x).chunk(3, -1))
        attend = nn.functional.scaled_dot_product_attention
        place = torch.arange(x.shape[1])
        apart = (place[:, None] + 2 * place) % 3 != 1
        near = (place[:, None] - place).abs() < 3
        return (
            attend(q, k, v, attn_mask=pairs),
            attend(q, k, v, attn_mask=(documents[:, :, None] == documents[:, None])[:, None] & (place[:, None] >= place)),
            attend(q, k, v, attn_mask=apart),
            attend(q, k, v, attn_mask=near),
            attend(q, k, v, attn_mask=place[:, None] - place < 2),
            attend(q, k, v, attn_mask=(place < lengths[:, None])[:, None, None]),
        )


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.maps = nn.Linear(16, 48)
        self.out = nn.Linear(16, 16)

    def forward(self, x, mask):
        q, k, v = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.maps(x).chunk(3, -1))
        out = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return x + self.out(out.transpose(1, 2).flatten(2))


class Packed(nn.Module):
    """Two layers over documents in a row, which do not see each other."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Layer(), Layer()])

    def forward(self, x, documents):
        mask = (documents[:, :, None] == documents[:, None])[:, None]
        for layer in self.layers:
            x = layer(x, mask)
        return x


class Biases(nn.Module):
    """Attention whose biases hide pairs in every manner: sums of choices, choices of sums."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Linear(16, 48)
        self.slopes = nn.Parameter(torch.tensor([0.5, 0.25]))

    def forward(self, x, seen):
        q, k, v = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.maps(x).chunk(3, -1))
        attend = nn.functional.scaled_dot_product_attention
        place = torch.arange(x.shape[1])
        bias = -self.slopes[:, None, None] * (place[:, None] - place).abs()
        dark, least = float("-inf"), torch.finfo(x.dtype).min
        causal = place[:, None] >= place
        keys = torch.where(seen[:, None, None], 0.0, least)
        after = torch.full((x.shape[1], x.shape[1]), dark).triu(1)
        return (
            attend(q, k, v, attn_mask=bias + torch.where(causal, 0.0, dark)),
            attend(q, k, v, attn_mask=torch.where(causal, bias, dark)[None]),
            attend(q, k, v, attn_mask=keys + after),
            attend(q, k, v, attn_mask=bias[None].masked_fill(~causal, dark) + keys),
            attend(q, k, v, attn_mask=bias[None]),
        )


class Capped(nn.Module):
    """Attention written out with a cap, a mask and sinks, whose weights nobody else reads."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Linear(16, 48)
        self.sinks = nn.Parameter(torch.randn(2))

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.maps(x).chunk(3, -1))
        place = torch.arange(x.shape[1])
        scores = (q @ k.mT) * 0.3
        capped = torch.tanh(scores / 2.0) * 2.0
        capped = capped.masked_fill(place[:, None] < place, float("-inf"))
        sinks = self.sinks.reshape(1, -1, 1, 1).expand(x.shape[0], -1, x.shape[1], -1)
        weights = torch.cat([capped, sinks], -1).softmax(-1)[..., :-1]
        return weights @ v


class Divided(nn.Module):
    """Attention written out whose scores are divided, before a mask and after one."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Linear(16, 48)

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.maps(x).chunk(3, -1))
        hidden = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        before = (q @ k.mT / 8**0.5).masked_fill(hidden, float("-inf"))
        after = (k @ q.mT).masked_fill(hidden, float("-inf")) / 3
        return before.softmax(-1) @ v, after.softmax(-1) @ v


class Subtracted(nn.Module):
    """Attention written out whose scores lose a bias: slopes times distances, distances, what hides as a large number;
    the first bias added as well, with the other sign; a cap behind a division; and a bias and scores in one call."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Linear(16, 48)
        self.sinks = nn.Parameter(torch.randn(2))
        self.register_buffer("slopes", torch.tensor([0.5, 0.25])[:, None, None])

    def forward(self, x):
        b, n, _ = x.shape
        q, k, v = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.maps(x).chunk(3, -1))
        place = torch.arange(n)
        apart = place[:, None] - place
        hidden = apart < 0
        dark = torch.where(hidden, float("-inf"), 0.0)
        scores = [
            q @ k.mT - self.slopes * apart.abs(),
            q @ k.mT + -(self.slopes * apart.abs()),
            q @ k.mT / 2 - self.slopes * apart,
            q @ k.mT - apart,
            2.0 * torch.tanh(q @ k.mT / 8**0.5 / 2.0),
            torch.tanh((q @ k.mT).div(3) / 4.0) * 4.0 - self.slopes * apart,
        ]
        masked = [one.masked_fill(hidden, float("-inf")) if at % 2 else one + dark for at, one in enumerate(scores)]
        sinks = self.sinks.reshape(1, -1, 1, 1).expand(b, -1, n, -1)
        beside = torch.cat([masked.pop(), sinks], -1).softmax(-1)[..., :-1]
        large = q @ k.mT - torch.where(hidden, 1e9, 0.0)
        rising = (self.slopes * place).repeat(b, 1, 1)
        added = torch.baddbmm(rising, q.flatten(0, 1), k.flatten(0, 1).mT, alpha=0.3).view(b, 2, n, n) + dark
        return *(one.softmax(-1) @ v for one in (*masked, large)), beside @ v, added.softmax(-1) @ v


class Groups(nn.Module):
    """Causal attention whose heads are grouped, each time written in another way: two heads of keys for four
    of queries, by letters in two orders, by matrices that are broadcast, by products place by place, by
    matrices that are merged and cut; one head of keys for all; letters under dots; all positions of a
    plane as keys."""

    def __init__(self):
        super().__init__()
        self.query = nn.Linear(16, 16)
        self.keys = nn.Linear(16, 16)

    def forward(self, x):
        b, n, _ = x.shape
        hidden = torch.ones(n, n, dtype=torch.bool).triu(1)
        minus = float("-inf")
        q = self.query(x).unflatten(-1, (2, 2, 4))
        k, v = (part.unflatten(-1, (2, 4)) for part in self.keys(x).chunk(2, -1))
        scores = (torch.einsum("bngre,bmge->bgrnm", q, k) * 0.5).masked_fill(hidden, minus)
        letters = torch.einsum("bgrnm,bmge->bngre", scores.softmax(-1), v)
        scores = torch.einsum("bmge,bngre->bmrgn", k, q) / 2
        scores = scores.masked_fill(hidden.T[:, None, None, :], minus).softmax(1)
        turned = torch.einsum("bmge,bmrgn->bnrge", v, scores)
        k, v = (part.transpose(1, 2) for part in (k, v))
        scores = q.permute(0, 2, 3, 1, 4) @ k.unsqueeze(2).mT / 2
        scores = torch.where(hidden, minus, scores).softmax(-1)
        broadcast = scores @ v.unsqueeze(2)
        q, k, v = q.flatten(2, 3).transpose(1, 2), *(part.repeat_interleave(2, 1) for part in (k, v))
        scores = (q.unsqueeze(3) * k.unsqueeze(2)).sum(-1).masked_fill(hidden, minus).softmax(-1)
        places = (scores.unsqueeze(-1) * v.unsqueeze(2)).sum(3)
        merged = [part.reshape(b * 4, n, 4) for part in (q, k, v)]
        scores = torch.bmm(merged[0], merged[1].transpose(1, 2)).view(b, 4, n, n)
        scores = scores + torch.zeros(n, n).masked_fill(hidden, minus)
        cut = torch.bmm(scores.view(b * 4, n, n).softmax(-1), merged[2])
        scores = torch.einsum("bhne,bme->bnhm", q, k[:, 0]).masked_fill(hidden[:, None], minus)
        one = torch.einsum("bnhm,bme->bnhe", scores.softmax(-1), v[:, 0])
        scores = torch.einsum("...ne,...me->...nm", q, k).masked_fill(hidden, minus).softmax(-1)
        dots = torch.einsum("...nm,...me->...ne", scores, v)
        return letters, turned, broadcast, places, cut, one, dots


class Unknown(nn.Module):
    """A softmax that is written out, under a mask."""

    def forward(self, q, k, v):
        n = q.shape[1]
        scores = (q @ k.mT).masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), float("-inf"))
        powers = (scores - scores.amax(-1, keepdim=True)).exp()
        return powers / powers.sum(-1, keepdim=True) @ v


class Kept(nn.Module):
    """Masks that a module keeps: truth values, numbers and least floats, a triangle and no rule; as large as
    they are needed, or cut."""

    def __init__(self):
        super().__init__()
        hidden = torch.ones(12, 12, dtype=torch.bool).triu(1)
        odd = torch.arange(12)[:, None] % 3 >= torch.arange(12) % 5
        odd[:, 0] = True
        self.register_buffer("hidden", hidden)
        self.register_buffer("numbers", torch.tril(torch.ones(12, 12)).view(1, 1, 12, 12))
        self.register_buffer("least", torch.zeros(12, 12).masked_fill(hidden, float("-inf")), persistent=False)
        self.register_buffer("odd", odd)
        slopes = -0.1 * (torch.arange(12)[:, None] - torch.arange(12)).abs()
        self.register_buffer("slopes", slopes.masked_fill(hidden, torch.finfo(torch.float32).min))

    def forward(self, x, y):
        n, minus = x.shape[1], float("-inf")
        q = x.unflatten(-1, (2, 8)).transpose(1, 2)
        r = y.unflatten(-1, (2, 8)).transpose(1, 2)
        attend = nn.functional.scaled_dot_product_attention
        return (
            (q @ q.mT).masked_fill(self.hidden[:n, :n], minus).softmax(-1) @ q,
            (q @ q.mT).masked_fill(self.numbers[:, :, :n, :n] == 0, minus).softmax(-1) @ q,
            attend(q, q, q, attn_mask=self.least[:n, :n]),
            attend(q, q, q, attn_mask=self.odd[:n, :n]),
            attend(r, r, r, attn_mask=self.odd),
            attend(r, r, r, attn_mask=self.slopes),
        )


class Least(nn.Module):
    """Masks of floats that arithmetic makes of ones and zeros."""

    def forward(self, x):
        n, least = x.shape[1], torch.finfo(x.dtype).min
        lower = torch.ones(n, n).tril()
        seen = (torch.arange(n) <= torch.arange(n)[:, None]).float()
        masks = (1 - lower) * least, (1 - lower) * -1e9, (1.0 - seen) * least, (seen - 1) * 1e9, lower * 1e9 - 1e9
        return tuple((x @ x.mT + mask).softmax(-1) @ x for mask in masks)


class Filled(nn.Module):
    """Rows that are hidden as a whole by the least float, so that all their weights are equal; keys hidden by it; a
    softplus that becomes its argument."""

    def forward(self, x, mask):
        least = torch.finfo(x.dtype).min
        both = (mask[:, None, :] * mask[:, :, None]).bool()
        either = (mask == 0)[:, None, :] | (mask == 0)[:, :, None]
        weights = (
            (x @ x.mT).masked_fill(~both, least),
            torch.where(either, least, x @ x.mT),
            (x @ x.mT).masked_fill(mask[:, None, :] == 0, least),
        )
        return *(scores.softmax(-1) @ x for scores in weights), nn.functional.softplus(x, 2.0, 0.5)


class Windows(nn.Module):
    """A small convolutional network: what ResNets, mobile nets and ConvNeXt are made of."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.depth = nn.Sequential(nn.Conv2d(8, 8, 5, padding=2, groups=8), nn.GroupNorm(2, 8), nn.Hardswish())
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1), nn.SiLU(), nn.Conv2d(4, 8, 1), nn.Sigmoid())
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.pool(self.stem(x))
        x = x + self.depth(x)
        x = x * self.squeeze(x)
        return self.head(x.mean((2, 3)))


class InPlace(nn.Module):
    """Writes into parts of a copy, as authors of Swin Transformer do, and of a form of what is forgotten, as those of the
    Funnel Transformer do."""

    def forward(self, x):
        bias = torch.zeros(1, x.shape[1], x.shape[1])
        bias[:, -2:, :] = 1.0
        y = x.clone()
        y[:, :2].mul_(3.0)
        z = (x @ x.mT).reshape(x.shape[0], -1)[:, :40]
        z *= x[:, :1, 0]
        return y @ y.transpose(1, 2) + bias, z


class Shifted(nn.Module):
    """Attention within windows that are shifted, under a mask written region by region, as Swin Transformer's is."""

    def forward(self, x):
        regions = x.new_zeros(8, 8)
        cuts = slice(0, -4), slice(-4, -2), slice(-2, None)
        for at, (rows, columns) in enumerate((rows, columns) for rows in cuts for columns in cuts):
            regions[rows, columns] = at
        regions = regions.view(2, 4, 2, 4).transpose(1, 2).reshape(4, 16)
        apart = regions[:, None] != regions[:, :, None]
        y = x.view(-1, 2, 4, 2, 4, 16).transpose(2, 3).reshape(-1, 4, 16, 16)
        return (y @ y.mT).masked_fill(apart, -100.0).softmax(-1) @ y


class Places(nn.Module):
    """Elements looked up, written and added at places, in each way that PyTorch has."""

    def forward(self, x, ids, few):
        items, tokens, width = x.shape
        rows = torch.arange(items)
        last = x[rows, ids.argmax(-1)]
        zeros = torch.zeros(items, 5, width)
        kept = ids > 9
        seen = x.masked_fill(~kept[..., None], 0.0)
        return (
            last,
            x[:, -1, [3, 0, -2]],
            x[few[:, None], :, few],
            x.gather(1, (ids % tokens)[..., None].expand(-1, -1, width)),
            x.gather(2, ids[..., None] % width),
            x.flip(1, 2),
            x.index_select(2, few),
            zeros.scatter(1, (ids % 5)[:, :, None].expand(-1, -1, width), 2.0),
            zeros.scatter_add(1, (ids % 5)[..., None].expand(-1, -1, width), x),
            zeros.index_add(1, few, x[:, :2], alpha=0.5),
            zeros.index_copy(1, few, x[:, :2]),
            zeros.index_put((rows, ids[:, 0] % 5), last),
            zeros.index_put((rows[:, None], ids % 5), x, accumulate=True),
            x.masked_scatter(kept[..., None], torch.arange(x.numel()).float().view_as(x)),
            nn.functional.one_hot(ids % 7, 7).float(),
            seen.sum(1) / kept.sum(1, keepdim=True),
            ids.max(1).values + ids.amin(1),
            (ids > 30).any(1).float() + (ids > 2).all().float(),
            x.unfold(1, 2, 1),
            torch.diagonal(x, 1, 1, 2),
        )


class Resampled(nn.Module):
    """Images on other grids: interpolated, padded, cut into windows and put together again."""

    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1, groups=2)
        self.dilated = nn.ConvTranspose2d(4, 3, (3, 2), (1, 2), dilation=(2, 1), bias=False)
        self.line = nn.ConvTranspose1d(4, 2, 4, 3)
        self.cube = nn.ConvTranspose3d(2, 2, 2, 2)
        self.item, self.group = nn.InstanceNorm2d(4, affine=True), nn.GroupNorm(2, 4)

    def forward(self, x):
        f = nn.functional
        linear = dict(mode="bilinear", align_corners=False)
        return (
            f.interpolate(x, scale_factor=2),
            f.interpolate(x, size=(4, 9)),
            f.interpolate(x, size=(4, 9), mode="nearest-exact"),
            f.interpolate(x, scale_factor=2, **linear),
            f.interpolate(x, scale_factor=1.5, **linear),
            f.interpolate(x, size=(3, 4), mode="bilinear", align_corners=True),
            f.interpolate(x, size=(11, 5), mode="bicubic"),
            f.interpolate(x, size=(11, 5), mode="bicubic", align_corners=True),
            f.interpolate(x.flatten(2), size=50, mode="linear"),
            f.interpolate(x[:, :, None], size=(2, 4, 4), mode="trilinear"),
            f.pixel_shuffle(x, 2),
            f.pixel_unshuffle(x[..., :6, :6], 3),
            f.channel_shuffle(x, 2),
            f.unfold(x, (2, 3), padding=1, stride=2),
            f.fold(f.unfold(x, 3, padding=1), (6, 7), 3, padding=1),
            f.pad(x, (1, 2, 2, 1), mode="reflect"),
            f.pad(x, (1, 2, 2, 1), mode="replicate"),
            f.pad(x, (1, 2, 2, 1), mode="circular"),
            f.pad(x, (1, -2, 0, 1), value=1.5),
            self.up(x),
            self.dilated(x),
            self.line(x.flatten(2)),
            self.cube(x[:, :2, None]),
            self.item(x),
            self.group(x),
            f.adaptive_avg_pool2d(x, (4, 3)),
            f.adaptive_max_pool2d(x, (7, 2)),
            f.adaptive_avg_pool1d(x.flatten(2), 5),
            f.max_pool2d(x, 2),
        )


class Upscaled(nn.Module):
    """A pyramid of images of any size."""

    def __init__(self):
        super().__init__()
        self.down, self.head = nn.Conv2d(2, 3, 3, 2, 1), nn.Linear(3 * 4, 2)

    def forward(self, x):
        small = self.down(x)
        large = nn.functional.interpolate(small, x.shape[-2:], mode="bilinear", align_corners=False)
        doubled = nn.functional.interpolate(small, scale_factor=2)
        return large, doubled, self.head(nn.functional.adaptive_avg_pool2d(small, 2).flatten(1))


class Functions(nn.Module):
    """Functions and forms that are seldom, each once."""

    def __init__(self):
        super().__init__()
        self.bags = nn.ModuleList(nn.EmbeddingBag(40, 8, mode=mode) for mode in ("sum", "mean", "max"))
        self.slope, self.pair = nn.PReLU(8), nn.Bilinear(8, 8, 3)

    def forward(self, x, ids):
        f = nn.functional
        y = x * 0.5 + 0.25
        square = x @ x.transpose(1, 2)
        return (
            *(bag(ids) for bag in self.bags),
            self.slope(x.flatten(0, 1)).view_as(x),
            self.pair(x, y),
            f.glu(x),
            f.log_softmax(x, 1),
            x.logsumexp((1, 2)),
            f.cosine_similarity(x, y, dim=-1),
            torch.cdist(x, y),
            f.pairwise_distance(x, y),
            torch.where(x > y, x, y) + torch.where(x <= 0.1, 1.0, 0.0),
            f.threshold(x, 0.2, -1.0) + f.softplus(x, beta=2.0) + f.hardtanh(x) + f.celu(x),
            torch.lerp(x, y, 0.3) + torch.log1p(x.abs()) + torch.expm1(y).clamp(-0.5, 0.5),
            x.clamp(min=y) + torch.nn.functional.logsigmoid(x),
            x.amin(1) + x.min(1).values + x.max(1).values + x.argmin(1) + x.max(2).indices.sum(1, keepdim=True),
            torch.einsum("...ij,...kj", x, y),
            torch.einsum("bii->bi", square) + torch.einsum("bij->bj", square),
            torch.einsum("bij,bjk,bkl->bil", x, x.transpose(1, 2), x),
            torch.einsum("bi,bj->bij", x[:, 0], y[:, 1]),
            torch.einsum("bij,k->bk", x, x[0, 0]),
            (x == y).float() + (x != x.round()).float() + torch.eye(x.shape[1], 8),
            ids.clamp(5, 30).float() + ids.clamp(min=20),
        )


class Quotients(nn.Module):
    """Attention within chunks of four tokens, of any number of chunks."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Linear(16, 48)

    def forward(self, x):
        items, tokens, width = x.shape
        q, k, v = self.maps(x).view(items, tokens // 4, 4, 3, width).unbind(3)
        mixed = (q @ k.transpose(-1, -2)).softmax(-1) @ v
        turned = x.view(items, 4, tokens // 4, width).transpose(1, 2)
        return mixed.reshape(items, tokens, width), turned


class Blocks(nn.Module):
    """Layers that tell their sizes apart once, layers whose parameters have dimensions of one element (scales of heads,
    filters of single channels), and maps of one width one after the other."""

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.attention = nn.LayerNorm(16), nn.MultiheadAttention(16, 2, batch_first=True)

        def forward(self, x):
            y = self.norm(x)
            return x + self.attention(y, y, y, need_weights=False)[0]

    class Channels(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.out, self.scale = nn.Linear(16, 48), nn.Linear(16, 16), nn.Parameter(torch.rand(2, 1, 1))
            self.near = nn.Conv2d(16, 16, 3, padding=1, groups=16)

        def forward(self, x):
            q, k, v = self.qkv(x.flatten(1, 2)).unflatten(-1, (3, 2, 8)).permute(2, 0, 3, 4, 1)
            weights = (nn.functional.normalize(q, dim=-1) @ nn.functional.normalize(k, dim=-1).mT * self.scale).softmax(-1)
            x = x + self.out((weights @ v).permute(0, 3, 1, 2).flatten(2)).view(x.shape)
            return x + self.near(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    def __init__(self):
        super().__init__()
        self.tokens = nn.Sequential(*[self.Tokens() for _ in range(3)])
        self.channels = nn.Sequential(*[self.Channels() for _ in range(3)])
        self.maps = nn.ModuleList([nn.Sequential(nn.Linear(16, 16), nn.ReLU()) for _ in range(3)])

    def forward(self, x):
        x = self.channels(self.tokens(x).unflatten(1, (2, 4)))
        for layer in self.maps:
            x = layer(x)
        return x


class Recurrent(nn.Module):
    """A network of each kind, some of two layers and in both directions."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(6, 5, num_layers=2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(6, 4, batch_first=True)
        self.rnn = nn.RNN(6, 3, bidirectional=True, bias=False)
        self.smaller = nn.LSTM(6, 5, proj_size=2)

    def forward(self, x, state):
        sequence, (hidden, cell) = self.lstm(x)
        gru, last = self.gru(x, state)
        rnn, end = self.rnn(x.transpose(0, 1))
        return sequence, hidden, cell, gru, last, rnn, end, self.smaller(x.transpose(0, 1))[0]


class Joined(nn.Module):
    """Elements that meet at one place, what runs along a dimension, and places among sorted numbers."""

    def __init__(self):
        super().__init__()
        self.register_buffer("bounds", torch.tensor([-1.0, -0.25, 0.5, 0.5, 1.5]))
        self.register_buffer("steps", torch.tensor([2, 9, 9, 30]))

    def forward(self, x, ids, few, v):
        kinds = [(kind, own) for kind in ("sum", "prod", "mean", "amax", "amin") for own in (True, False)]
        places = (ids % x.shape[1])[..., None].expand(-1, -1, x.shape[2])
        rising = x.abs().cumsum(-1)
        dark = x.masked_fill(x < 0.3, float("-inf"))
        return (
            *(x.scatter_reduce(1, places, v, kind, include_self=own) for kind, own in kinds),
            *(x.index_reduce(1, few, v[:, :2], kind, include_self=own) for kind, own in kinds[2:]),
            x.scatter(1, places, v, reduce="multiply"),
            x.scatter(1, places, 0.5, reduce="add"),
            ids.scatter_reduce(1, ids % 3, ids, "amin", include_self=False),
            ids.scatter_reduce(1, ids % 3, ids, "amax"),
            x.cumprod(1),
            (ids % 3 + 1).cumprod(1),
            x.logcumsumexp(1),
            dark.logcumsumexp(2),
            torch.searchsorted(rising, v[:, : x.shape[1]].abs()),
            torch.searchsorted(self.bounds, x, right=True),
            torch.bucketize(x, self.bounds),
            torch.bucketize((4 * x).round() / 4, self.bounds),
            torch.bucketize((4 * x).round() / 4, self.bounds, right=True),
            torch.bucketize(ids, self.steps),
            torch.bucketize(ids, self.steps, right=True),
            (x.round() * v[:, : x.shape[1]]).bool() & (ids[:, : x.shape[1], None] > 9),
        )


class Further(nn.Module):
    """Functions in cases, and of all elements along dimensions."""

    def forward(self, x, y, ids):
        f = nn.functional
        odd = torch.where(x > 0.5, float("inf"), torch.where(x < -0.5, float("-inf"), x.sign().sqrt() * x))
        return (
            odd.isinf() & (y > 0),
            odd.isfinite().float() + odd.isnan().float(),
            odd.nan_to_num(),
            odd.nan_to_num(0.5, 2.0, -2.0),
            x.mul(3.0).trunc() + x.frac(),
            f.hardshrink(x, 0.3) + f.softshrink(y, 0.2),
            torch.logaddexp(x, y),
            torch.logaddexp(odd.nan_to_num(0.0, float("inf"), float("-inf")), odd.nan_to_num(1.0, float("inf"), float("-inf"))),
            *torch.var_mean(x, (1, 2)),
            *torch.std_mean(x, 1, correction=0, keepdim=True),
            *torch.aminmax(x, dim=1),
            x.prod(1),
            x.prod(2, keepdim=True),
            (ids % 5 + 1).prod(1),
            torch.count_nonzero(ids % 3, 1) + (x > 0).sum((1, 2))[:, None],
            x * torch.linspace(-1.0, 2.0, 5),
            torch.tensordot(x, y, ([2], [2])),
            torch.tensordot(x, y[0], ([1, 2], [0, 1])),
            *x.topk(2, largest=False),
            x.norm(float("inf"), 1) + x.norm(float("-inf"), 2).amax(1, keepdim=True),
            x.take(ids % 7),
        )


class Relative(nn.Module):
    """Scores of displacements, as DeBERTa has them, and weights that are directions times lengths."""

    def __init__(self):
        super().__init__()
        weight_norm = nn.utils.parametrizations.weight_norm
        self.maps, self.table = nn.Linear(16, 48), nn.Parameter(torch.randn(2, 9, 8))
        self.near = weight_norm(nn.Conv1d(16, 16, 3, padding=1, groups=2), dim=2)
        self.out = weight_norm(nn.Linear(16, 16))

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.maps(x).chunk(3, -1))
        place = torch.arange(x.shape[1])
        apart = (place[:, None] - place + 4).clamp(0, 8).expand(x.shape[0], 2, -1, -1)
        scores = (q @ k.mT) + (q @ self.table.mT).gather(-1, apart)
        scores = scores + (k @ self.table.mT).gather(-1, apart).mT
        y = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        return self.out(y + self.near(y.mT).mT)


class Sampled(nn.Module):
    """Images sampled at places that are given, and made smaller or larger with care."""

    def forward(self, x, grid, volume, places, turns):
        f = nn.functional
        smooth = dict(mode="bilinear", antialias=True)
        cubic = dict(mode="bicubic", antialias=True)
        return (
            f.grid_sample(x, grid, align_corners=False),
            f.grid_sample(x, grid, align_corners=True),
            f.grid_sample(x, grid, padding_mode="border", align_corners=False),
            f.grid_sample(x, grid, mode="nearest", align_corners=False),
            f.grid_sample(x, grid, mode="nearest", padding_mode="border", align_corners=True),
            f.grid_sample(x, 2.0 * grid, padding_mode="reflection", align_corners=False),
            f.grid_sample(x, 2.0 * grid, padding_mode="reflection", align_corners=True),
            f.grid_sample(x, grid, mode="bicubic", align_corners=False),
            f.grid_sample(x, grid, mode="bicubic", padding_mode="border", align_corners=True),
            f.grid_sample(x, 2.0 * grid, mode="bicubic", padding_mode="reflection", align_corners=False),
            f.grid_sample(x, 2.0 * grid, mode="bicubic", padding_mode="reflection", align_corners=True),
            f.grid_sample(volume, places, align_corners=False),
            f.affine_grid(turns, (x.shape[0], 3, 3, 4), align_corners=False),
            f.affine_grid(turns, (x.shape[0], 3, 3, 4), align_corners=True),
            f.interpolate(x, size=(3, 4), **smooth),
            f.interpolate(x, size=(7, 13), **smooth),
            f.interpolate(x, size=(2, 5), **cubic),
            f.interpolate(x, size=(11, 3), **cubic),
            f.interpolate(x, size=(2, 4), align_corners=True, **smooth),
            f.interpolate(x, scale_factor=0.5, **smooth),
        )


class Thumbnail(nn.Module):
    """An image of any size made one of a fixed size, and sampled at a place of its own for each result."""

    def __init__(self):
        super().__init__()
        self.turn = nn.Parameter(torch.tensor([0.8, -0.6]))

    def forward(self, x):
        small = nn.functional.interpolate(x, size=(4, 5), mode="bilinear", antialias=True)
        grid = small[:, :2].permute(0, 2, 3, 1) * self.turn
        return small, nn.functional.grid_sample(x, grid, align_corners=False)


class Modes(nn.Module):
    """Parts of a module under modes: a precision, no gradients, memory that is saved in training."""

    def __init__(self):
        super().__init__()
        self.up, self.down, self.scale = nn.Linear(16, 24), nn.Linear(24, 16), nn.Parameter(torch.rand(16))

    def block(self, x):
        with torch.autocast("cpu", enabled=False):
            hidden = self.up(x.float()).relu()
            with torch.no_grad():
                largest = hidden.amax(-1, keepdim=True)
            return self.down(hidden / (largest + 1.0)), largest

    def forward(self, x):
        y, largest = torch.utils.checkpoint.checkpoint(self.block, x, use_reentrant=False)
        with torch.autocast("cpu", enabled=False):
            same = y * self.scale
        return x + same, largest, x.shape[1] * same


class Products(nn.Module):
    """Products that PyTorch makes of matrices, of vectors or of elements, by sizes, strides and gradients."""

    def __init__(self):
        super().__init__()
        self.trained = nn.Parameter(torch.randn(6))
        self.register_buffer("kept", torch.randn(6))

    def forward(self, x, y, one):
        t, e = torch.tensordot, torch.einsum
        turned = x.transpose(0, 1)
        return (
            x @ self.trained + x @ self.kept + x @ one[0, 0],
            turned @ self.trained + turned @ self.kept,
            self.trained @ x.mT + self.kept @ x.mT,
            self.kept @ y + self.trained @ y,
            t(x, x, ([0, 1, 2], [0, 1, 2])) + t(self.kept, self.kept, 1) + self.kept @ self.trained,
            t(x, one, ([2], [2])),
            t(x[..., :1], one[..., :1], ([2], [2])),
            t(one, x, ([1], [1])),
            e("bij,bkj->bik", x[..., :1], y[:, :2, :1]),
            e("bij,bj->bi", x[..., :1], one.expand(x.shape[0], 1, 6)[:, 0]),
            e("bij,bjk,bkl->bil", x, y, x),
            e("bi,ij,bj->b", x[..., 0], one[0, :1].expand(5, 6), x[:, 0]),
            e("i,j,bjk->ik", self.kept, self.trained, y),
            e("bij,bij,bij->bi", x, x, x),
            e("ca,cb,cd->", self.kept[:, None], self.trained[:, None], one[0, :, :1]),
            e("bij->j", x) + e("bij,j->j", x, self.kept),
            e("...ij,...jk", x, y) + e("bji,bjk->bik", y[:, :5], x @ y),
        )


class Narrow(nn.Module):
    """Whole numbers of few bits, and a mask that is the logarithm of what is seen."""

    def forward(self, x, places):
        n = x.shape[1]
        steps = 100 * torch.arange(n)
        seen = torch.ones(n, n).tril().log()
        scores = x @ x.mT + seen
        return (
            steps.to(torch.int8) + places.to(torch.uint8).long() - places.to(torch.int16).long(),
            scores.softmax(-1) @ x,
        )


class Complex(nn.Module):
    """Layers whose positions turn complex numbers, as the first code of Llama has them, and other arithmetic."""

    def __init__(self):
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(16, 48, bias=False) for _ in range(2))
        angles = torch.outer(torch.arange(40.0), 10000.0 ** -(torch.arange(4) / 4))
        self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles), persistent=False)

    def turned(self, x, turns):
        pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turns.view(1, x.shape[1], 1, -1)).flatten(3).type_as(x)

    def forward(self, x, waves):
        turns = self.turns[: x.shape[1]]
        for maps in self.maps:
            q, k, v = maps(x).view(*x.shape[:2], 3, 2, 8).unbind(2)
            q, k = (self.turned(part, turns).transpose(1, 2) for part in (q, k))
            y = nn.functional.scaled_dot_product_attention(q, k, v.transpose(1, 2), is_causal=True)
            x = x + y.transpose(1, 2).flatten(2)
        other = torch.complex(x[..., :4], x[..., 4:8]) * waves.conj() - waves * 0.5 + torch.polar(x[..., 8:12], x[..., 12:])
        return x, other, other.abs() + other.real * waves.imag, torch.cat([waves, other.transpose(0, 1).mT.mT.transpose(0, 1)], 1).sum(1)


def keep(name, tensors, module, args, kwargs):
    """Saves inputs and outputs, and what PyTorch's own counter counts."""
    save_file(tensors, HERE / f"{name}.safetensors")
    count(name, module, args, kwargs)
    if name in DIFFERENTIATED:
        differentiate(name, module, args, kwargs)


#: Programs whose gradients are kept.
DIFFERENTIATED = [
    "encoder_layer", "odd_letters", "divided", "blocks", "groups", "merged", "modulated", "recurrent", "skipped", "vit",
    "windows",
]


def differentiate(name, module, args, kwargs):
    """Saves what autograd computes in double precision: `gradient` is the given gradient of the first result,
    `gradient.p` that of parameter p."""
    import copy

    module = copy.deepcopy(module).double()
    double = lambda value: value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
    args, kwargs = torch.utils._pytree.tree_map(double, (args, kwargs))
    result = torch.utils._pytree.tree_leaves(module(*args, **kwargs))[0]
    seed = torch.randint(-8, 9, result.shape).double() / 8
    own = dict(module.named_parameters())
    found = torch.autograd.grad(result, list(own.values()), seed, allow_unused=True)
    gradients = {f"gradient.{path}": value.contiguous() for path, value in zip(own, found) if value is not None}
    (HERE / "gradients").mkdir(exist_ok=True)
    save_file({"gradient": seed, **gradients}, HERE / "gradients" / f"{name}.safetensors")


def reals(value):
    """Complex numbers as pairs of reals."""
    return torch.view_as_real(value.resolve_conj()) if value.is_complex() else value


def count(name, module, args, kwargs):
    """Records what PyTorch's own counter counts of a run, gradients being recorded as in training."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.enable_grad(), FlopCounterMode(display=False) as counter:
        module(*args, **kwargs)
    path = HERE / "flops.json"
    flops = json.loads(path.read_text()) if path.exists() else {}
    flops[name] = counter.get_total_flops()
    path.write_text(json.dumps(dict(sorted(flops.items())), indent=1) + "\n")


def nodes(graph):
    """The nodes of a graph, and of the graphs that they call."""
    for node in graph["nodes"]:
        yield node
        for argument in node["inputs"]:
            if "as_graph" in argument["arg"]:
                yield from nodes(argument["arg"]["as_graph"]["graph"])


F = nn.functional


class Cells(nn.Module):
    """Recurrent cells, called step by step."""

    def __init__(self):
        super().__init__()
        self.gru, self.lstm = nn.GRUCell(6, 5), nn.LSTMCell(5, 4)
        self.plain, self.straight = nn.RNNCell(4, 3), nn.RNNCell(3, 3, bias=False, nonlinearity="relu")

    def forward(self, x, state):
        lstm, plain, straight, seen = None, None, x.new_zeros(x.shape[0], 3), []
        for step in range(2):
            state = self.gru(x[:, step], state)
            lstm = self.lstm(state, lstm)
            plain = self.plain(lstm[0], plain)
            straight = self.straight(plain, straight)
            seen.append(straight)
        return torch.stack(seen, 1), lstm[1]


class Losses(nn.Module):
    """What models are trained by, in every reduction, with weights, smoothing and ignored classes."""

    def forward(self, x, y, classes, weight):
        p, log = torch.sigmoid(x), F.log_softmax(x, 1)
        probabilities = y.abs() / y.abs().sum(1, keepdim=True)
        ignored = dict(weight=weight, ignore_index=1)
        return (
            F.mse_loss(x, y), F.l1_loss(x, y, reduction="sum"), F.smooth_l1_loss(x, y, reduction="none", beta=0.5),
            F.huber_loss(x, y, delta=0.7), F.binary_cross_entropy(p, probabilities, weight=weight),
            F.binary_cross_entropy_with_logits(x, probabilities, pos_weight=weight),
            F.kl_div(log, probabilities.relu(), reduction="batchmean"), F.kl_div(log, y, log_target=True),
            F.nll_loss(log, classes), F.nll_loss(log, classes, reduction="none", **ignored),
            F.cross_entropy(x, torch.where(classes == 4, -100, classes)), F.cross_entropy(x, classes, reduction="sum", **ignored),
            F.cross_entropy(x, classes, label_smoothing=0.1, **ignored),
            F.cross_entropy(x, classes, label_smoothing=0.1, reduction="none"),
            F.cross_entropy(x, probabilities, label_smoothing=0.2, weight=weight),
            F.cross_entropy(x[:, :, None].expand(-1, -1, 3), classes[:, None].repeat(1, 3)),
        )


class Ordered(nn.Module):
    """What is sorted, chosen and compared along any dimension, of reals and of whole numbers."""

    def forward(self, x, whole):
        return (
            *x.sort(dim=0), *x.sort(dim=1, descending=True), x.argsort(-1), x.msort(), *x.topk(2, dim=1),
            *x.kthvalue(3, dim=1, keepdim=True), x.median(), *x.median(1), *x.cummax(1), *x.cummin(0),
            *whole.sort(dim=0, descending=True, stable=True), whole.argsort(dim=0, stable=True),
            whole.topk(3).values, *whole.cummax(1), *whole.cummin(0), torch.diff(x, n=2),
            torch.diff(x, dim=0, prepend=x[:1], append=x[:1]), torch.diff(whole, append=whole[:, -1:]),
            torch.inner(x, x[0]), torch.inner(x[0], x[0, 0]),
        )


class Sized(nn.Module):
    """Arithmetic of sizes, and what is cut, hidden and scaled by it."""

    def forward(self, x, memory):
        n, m = x.shape[1], memory.shape[1] + x.shape[1]
        keys = torch.cat([memory, x], 1)
        seen = torch.ones(n, m, dtype=torch.bool).tril(m - n)
        attended = F.scaled_dot_product_attention(x, keys, keys, attn_mask=seen)
        apart = torch.arange(n - 1, -n, -1)
        padded = F.pad(x, (0, 0, 0, -n % 3))
        grids = torch.meshgrid(torch.arange(n), torch.arange(m), indexing="xy")
        return (
            attended, apart, padded, *grids, *torch.broadcast_tensors(x[:, :, 0], x[:1, :, 1]),
            torch.cartesian_prod(x[0, :, 0], x[0, :, 1]), (x * n**-0.5) @ (keys / (m - 1.5)).mT,
            x.new_full((n,), 1 / n), x[:, : max(n // 2, 1)], x[:, -(-n // 3) :], x.tril(-1), x.triu(1),
        )


class Modulated(nn.Module):
    """A convolution of each item by weights of its own: as many groups as items."""

    def __init__(self):
        super().__init__()
        self.kernels, self.choice = nn.Parameter(torch.randn(3, 6, 4, 3, 3)), nn.Linear(4, 3)

    def forward(self, image):
        items, channels, height, width = image.shape
        share = self.choice(image.mean((2, 3))).softmax(-1)
        weight = torch.einsum("bk,koihw->boihw", share, self.kernels).reshape(items * 6, 4, 3, 3)
        grouped = image.reshape(1, items * channels, height, width)
        return F.conv2d(grouped, weight, padding=1, groups=items).view(items, 6, height, width)


class Skipped(nn.Module):
    """A U-Net of any size that its blocks divide."""

    def __init__(self):
        super().__init__()
        self.first, self.narrower = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 4, stride=2, padding=1)
        self.least, self.wider = nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.ConvTranspose2d(12, 8, 4, 2, 1)
        self.joined, self.last = nn.Conv2d(16, 4, 3, padding=1), nn.Conv2d(8, 3, 1)

    def forward(self, image):
        first = F.silu(self.first(image))
        half = F.silu(self.narrower(first))
        least = self.least(half)
        tokens = least.flatten(2).mT
        least = least + F.scaled_dot_product_attention(tokens, tokens, tokens).mT.reshape(least.shape)
        half = self.joined(torch.cat([self.wider(least), half], 1))
        return self.last(torch.cat([F.interpolate(half, scale_factor=2, mode="nearest"), first], 1))



class Written(nn.Module):
    """Elements that are written through views, and what is returned twice."""

    def forward(self, x):
        a, b, c = x.clone(), x.clone(), x.clone()
        a[..., 0] = 0.5
        a[0] = x[-1]
        a.transpose(0, -1)[0].fill_(1.5)
        a.unsqueeze(0)[0, ..., 0].copy_(x[..., -1])
        b.view(-1)[0] = 9.0
        b.mT[..., 0:1].add_(1)
        b[:, 0] = 0
        seen = torch.zeros(x.shape[1], x.shape[1], dtype=torch.bool)
        seen[0], seen[:, 0], seen[-1, -1] = True, True, True
        c.select(-1, -1).mul_(2)
        scores = (x @ x.mT).masked_fill(~seen, float("-inf"))
        return a, b, c, scores.softmax(-1) @ x, b, (c > 0) ^ (a > 0.1)


class Rounded(nn.Module):
    """Quotients that are rounded, triangles of reals, and functions that others make up."""

    def forward(self, x):
        f, one = nn.functional, x[..., :1]
        scores = x @ x.mT
        return (
            torch.remainder(x, -0.7) + torch.remainder(x, x.mean()) + torch.fmod(x, 0.3),
            torch.div(x, 0.3, rounding_mode="floor") + torch.div(x, 0.3, rounding_mode="trunc") + x // 0.2,
            scores.tril() @ x + scores.triu(1) @ x.flip(-1),
            f.pad(one, (2, 1), mode="replicate").logsumexp(-1),
            torch.erfc(x) + torch.sinh(x) - torch.cosh(x) + torch.hypot(x, x + 1) + torch.sgn(x),
        )


class Defined(nn.Module):
    """Functions that others make up by their definitions; sums over nothing."""

    def forward(self, x):
        none, part = x[..., :0], x.tanh() * 0.9
        return (
            torch.asinh(x) + torch.acosh(x.abs() + 1.5) + torch.atanh(part),
            torch.sinc(x.floor() * x) + torch.special.ndtr(x) + torch.ldexp(x, x[:1]),
            torch.deg2rad(x) + torch.rad2deg(x) + torch.positive(x) - torch.absolute(x),
            none @ none.mT + none.sum(-1, keepdim=True) + nn.functional.linear(none, none.new_zeros(8, 0), x[0, 0, :8]).sum(),
            none.softmax(-1),
        )


class Nothing(nn.Module):
    """Means and products over nothing."""

    def forward(self, x):
        none = x[..., :0]
        return (
            x + torch.nan_to_num(none.mean(-1, keepdim=True), 0.75),
            torch.isnan(none.mean(-1)).float() * 2,
            x.sum(-1) * none.prod(-1),
            x + none.mean((1, 2), keepdim=True).isnan() + none.long().prod(-1, keepdim=True),
        )


class Hiding(nn.Module):
    """Pairs that large numbers hide, or a tensor of one number; numbers by places beside them; every third token; and
    numbers of a list by places in two dimensions."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(15))
        self.register_buffer("places", torch.arange(48).reshape(16, 3) * 7 % 15)

    def forward(self, x):
        n = x.shape[1]
        above = torch.ones(n, n, dtype=torch.bool).triu(1)
        hidden = [
            x @ x.mT / 4 + above * -5e9,
            x @ x.mT / 4 + above.float() * -1e12,
            x @ x.mT / 4 + (1.0 - (~above).float()) * -1e10,
            torch.where(above, torch.tensor(float("-inf")), x @ x.mT / 4),
            (x @ x.mT / 4 + torch.arange(n)).masked_fill(above, float("-inf")),
        ]
        looked = x @ self.table[self.places]
        return *(one.softmax(-1) @ x for one in hidden), looked, x[:, ::3], x[:, 1::3].sum(1), x[:, :-1:3], x.flip(1)[:, ::2]


class Margins(nn.Module):
    """Losses that end at a margin, and those of counts, one by one and in sums and means."""

    def forward(self, x, y, wanted):
        f = nn.functional
        signs = torch.where(x > 0, 1.0, -1.0)
        return (
            f.margin_ranking_loss(x, y, signs, margin=0.2),
            f.hinge_embedding_loss(x, signs, margin=0.3, reduction="none"),
            f.cosine_embedding_loss(x, y, signs[:, 0], margin=0.1, reduction="none"),
            f.triplet_margin_loss(x, y, x.flip(1)),
            f.triplet_margin_loss(x, y, x.flip(1), margin=0.5, p=1.0, swap=True, reduction="none"),
            f.soft_margin_loss(x, signs),
            f.poisson_nll_loss(x, y.abs()),
            f.poisson_nll_loss(x.abs(), 3 * y.abs(), log_input=False, full=True, reduction="sum"),
            f.multi_margin_loss(x, wanted, margin=0.7),
            f.multi_margin_loss(x, wanted, p=2, weight=torch.arange(1.0, 7.0), reduction="none"),
            torch.logit(x.sigmoid()) + torch.logit(x, 0.3),
            torch.addbmm(y[:1, :3], x[:, :4, None].expand(-1, 4, 2), y[:, :2, None].expand(-1, 2, 3)),
        )


class Unordered(nn.Module):
    """Order among elements that are no numbers; positions written and read by threes, and counted down in reals."""

    def forward(self, x):
        n = x.shape[1]
        roots = x.sqrt()
        median, where = roots.median(1)
        ordered = [
            roots.sort(1)[0], roots.sort(1, descending=True)[0], roots.cummax(1)[0], roots.cummin(1)[0],
            roots.kthvalue(2, 1)[0], roots.topk(3, 1, largest=False)[0], nn.functional.threshold(roots, 1.0, 9.0),
            median, torch.fmax(roots, roots.flip(1)), torch.fmin(roots, roots.flip(1)),
        ]
        written = x.clone()
        written[:, 1::3] = 2 * x[:, 1::3]
        written[1:, ::2] += 1
        first, second = written[..., :6].chunk(2, -1)
        first.mul_(second)
        written.narrow(2, 2, 2).fill_(3)
        backwards = torch.arange(n - 1, -1, -1.0)
        kept = torch.zeros(n, dtype=torch.long)
        kept[1::2] = torch.arange(n // 2)
        return (
            *(torch.nan_to_num(one, nan=77.0) for one in ordered), where, roots.cummax(1)[1], roots.cummin(1)[1],
            written, torch.slice_scatter(x, 0 * x[:, ::2], 1, 0, None, 2), x[:, backwards.long()], x[:, kept],
            torch.arange(0.0, n, 0.5) * x[0, 0, 0], torch.arange(n, -n, -1.0) * x[0, 0, 0],
        )


class Merged(nn.Module):
    """Windows of four times four pixels, before and after four neighbours are merged into one."""

    def __init__(self):
        super().__init__()
        self.patches, self.first = nn.Conv2d(3, 4, 2, 2), nn.Linear(4, 4)
        self.merge, self.second = nn.Linear(16, 6), nn.Linear(6, 6)

    def windows(self, x, map):
        items, height, width, channels = x.shape
        y = x.view(items, height // 4, 4, width // 4, 4, channels).transpose(2, 3).reshape(-1, 16, channels)
        y = map(y).view(items, height // 4, width // 4, 4, 4, channels)
        return x + y.transpose(2, 3).reshape(items, height, width, channels)

    def forward(self, x):
        x = self.windows(self.patches(x).permute(0, 2, 3, 1), self.first)
        x = torch.cat([x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)], -1)
        return self.windows(self.merge(x), self.second)


class Forms(nn.Module):
    """Tensors put together of others, functions under their second names, bits, bags with padding."""

    def __init__(self):
        super().__init__()
        self.bags = nn.ModuleList(nn.EmbeddingBag(12, 5, mode=mode, padding_idx=2) for mode in ("sum", "mean"))
        self.table = nn.Parameter(torch.randn(3, 2))

    def forward(self, x, ids):
        s, line, few = torch.special, x[0, 0], x[..., :3]
        odd = torch.where(x > 0.8, float("nan"), x)
        negative = ids - 6
        norm = torch.linalg.vector_norm
        return (
            torch.hstack([x, 2 * x]), torch.vstack([line, x[0]]), torch.dstack([x, x + 1]), torch.column_stack([line, x[0].mT]),
            torch.hstack([line, line]), torch.hstack([ids, ids + 1]), torch.atleast_2d(line), torch.atleast_3d(x[0]),
            torch.rot90(x, 1, (1, 2)), torch.rot90(x, 2, (2, 1)), torch.rot90(x, -1, (1, 2)), torch.rot90(ids, 3, (1, 0)),
            torch.diag(line), torch.diag(x[0], 1), torch.diag_embed(x), torch.diag_embed(x, dim1=0, dim2=2), torch.diag_embed(ids),
            (x[0] @ x[0].mT).trace(), torch.kron(self.table, x[0]), torch.kron(self.table, line), torch.cross(few, few.flip(-1), dim=2),
            torch.linalg.cross(few, few * few), torch.linalg.vecdot(x, x.flip(1)), torch.linalg.vecdot(x, x + 1, dim=1),
            torch.trapezoid(x), torch.trapezoid(x, dx=0.5, dim=1), torch.trapezoid(x, x.cumsum(-1)), torch.trapezoid(x, line),
            odd.nansum(1), odd.nansum(), odd.nanmean((0, 2)), odd.nanmean(-1, keepdim=True),
            x.round(decimals=1), (100 * x).round(decimals=-2), s.round(x),
            s.erf(x) + s.erfc(x) + s.exp2(x) + s.expit(x) + s.expm1(x) + s.log1p(x.abs()), s.logit(s.expit(x)),
            s.softmax(x, 1) + s.log_softmax(x, 2), s.logsumexp(x, 1), torch.float_power(x, 2).float(),
            x.adjoint() @ x, x.mH + 1, torch.moveaxis(x, 2, 0), torch.moveaxis(ids, 0, 1),
            norm(x, 3, -1) + norm(x, 0.5, -1) + norm(x, 0, -1), norm(x, -2, 1), torch.linalg.matrix_norm(x), F.normalize(x, p=3.0, dim=1),
            torch.addmv(line[:2], self.table.mT, line[:3]), torch.addr(self.table, line[:3], line[:2], beta=0.5, alpha=2),
            torch.div(negative, 4, rounding_mode="trunc"), torch.div(negative, -4, rounding_mode="trunc"), torch.fmod(negative, 4),
            negative & 6, 13 & negative, negative & -4, negative | 5, negative ^ 9, ~negative, negative << 2, negative >> 1,
            F.max_pool1d(x, 2, return_indices=True)[0], F.max_pool2d(x[:, None], 2, return_indices=True)[0],
            *(bag(ids) for bag in self.bags),
        )


class Nested(nn.Module):
    """Inputs in dictionaries and lists, whose sizes are compared in every way."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(8, 8)

    def forward(self, batch, xs, *, more):
        x, y = batch["x"], more["y"]
        shared = torch.sym_min(x.shape[1], y.shape[1])
        if shared > 4 and torch.sym_max(x.shape[1], y.shape[1]) < 40:
            x = x + 1
        if not x.shape[1] == 7:
            x = 2 * x
        parts = xs[0].view(xs[0].shape[0], xs[0].shape[1] // 8, 8)
        return self.map(x[:, :shared] + y[:, :shared]), parts.sum(1), xs[1][:, : xs[1].shape[1] - 3]


class Branching(nn.Module):
    """Another map where a size is none of some, in forms that conditions have."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x):
        n, y = x.shape[1], self.one(x)
        if -n % 3 == 0:
            y = self.other(y)
        return self.other(y) if n // 4 == 1 else y


class Angles(nn.Module):
    """Inverses of sine, cosine and tangent, and the angles of points and of complex numbers."""

    def forward(self, x):
        part, other = 0.9 * torch.tanh(x), x.flip(2)
        points = torch.atan2(x, other), torch.atan2(F.relu(x - 0.5), F.relu(other - 0.5)), torch.angle(torch.complex(other, x))
        return torch.asin(part), torch.acos(part), torch.atan(x), torch.arctan2(x, -other.abs()), *points


class Ranked(nn.Module):
    """Numbers between others in their order: of tokens as many as there are, of columns, of all; of those that are
    numbers alone."""

    def forward(self, x):
        holes = torch.where(x > 1, torch.nan, x)
        modes = "linear", "lower", "higher", "midpoint", "nearest"
        columns = [torch.quantile(x[:, :, :6], 0.3, dim=-1, keepdim=True, interpolation=mode) for mode in modes]
        tokens = torch.quantile(x, 0.25, dim=1), torch.nan_to_num(torch.quantile(holes, 0.5, dim=1), 7.0), torch.nanquantile(holes, 0.35, dim=1)
        return *columns, *tokens, torch.quantile(x[0, 0], 0.5), torch.nanmedian(holes, dim=2)[0], torch.nanmedian(holes)


class Chains(nn.Module):
    """Products of several matrices in the order of fewest multiplications, and powers of one."""

    def __init__(self):
        super().__init__()
        sizes = 8, 3, 7, 2, 5
        self.maps = nn.ParameterList([nn.Parameter(torch.randn(a, b)) for a, b in zip(sizes, sizes[1:])])
        self.end = nn.Parameter(torch.randn(5))

    def forward(self, x):
        a, b, c, d = self.maps
        square = a[:3] / 2
        pairs = 0.1 * x @ x.transpose(1, 2)
        return (
            x @ torch.linalg.multi_dot([a, b, c, d]),
            torch.chain_matmul(a, b, c) + torch.chain_matmul(a, (b @ c)),
            torch.linalg.multi_dot([self.end[:2], c.T, b.T, a.T, a, self.end[:3]]),
            torch.linalg.matrix_power(square, 5),
            torch.matrix_power(pairs, 3),
            torch.linalg.matrix_power(pairs, 0),
            torch.linalg.matrix_norm(a, ord=1) + torch.linalg.norm(a, ord=-float("inf"), dim=(0, 1)),
        )


class Put(nn.Module):
    """Elements put where whole numbers say: in a row of all, where a mask holds, beside the diagonal, where the
    largest of a window stood, into bags of any length; bits of bytes and of what several numbers are packed in."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(9, 4))
        self.bags = nn.EmbeddingBag(9, 4, mode="mean", include_last_offset=True)
        self.register_buffer("packed", torch.randint(0, 2**31 - 1, (3, 4)))

    def forward(self, x, values, at, ids, starts, bytes):
        put = torch.ones(4, 3).put(at, x[0, :3, 0]) + torch.ones(4, 3).put_(at[:2], x[0, :2, 1], accumulate=True)
        masked, slices = x.clone(), x.clone()
        masked[x[:, :, 0] > 0] = values[0, 0]
        slices[:, at[:2] - 4] = values[:, :2]
        largest, places = F.max_pool2d(x[:, None, :, :6], (2, 3), return_indices=True)
        row, of_row = F.max_pool1d(x, 4, return_indices=True)
        added = F.embedding_bag(ids, self.table, starts, mode="sum")
        most = F.embedding_bag(ids, self.table, starts, mode="max")
        means = self.bags(ids, torch.cat([starts, torch.full((1,), ids.shape[0])]))
        joined = (bytes & bytes.flip(0)).int() + 3 * (bytes | bytes.flip(0)).int() + 7 * (bytes ^ bytes.flip(0)).int()
        halves = (self.packed[..., None] >> torch.arange(0, 32, 4)) & 15
        return (
            put,
            masked,
            slices,
            torch.diag_embed(x[0], offset=1),
            torch.diag_embed(x[0], offset=-2, dim1=0, dim2=2),
            F.max_unpool2d(largest, places, (2, 3)),
            F.max_unpool1d(row, of_row, 4),
            places,
            added,
            most,
            means,
            joined,
            halves.flatten(1).float() @ x[0, 0, :1].expand(32)[:, None],
        )


class Quantised(nn.Module):
    """Weights in whole numbers and in reals of 8 bits that training leaves alone, and one in half precision."""

    def __init__(self):
        super().__init__()
        frozen = lambda values: nn.Parameter(values, requires_grad=False)
        self.steps = frozen(torch.randint(-100, 100, (8, 16), dtype=torch.int8))
        self.scale = nn.Parameter(torch.rand(8) / 100)
        self.narrow = frozen(torch.randn(4, 8).to(torch.float8_e4m3fn))
        self.wide = frozen(torch.randn(4, 4).to(torch.float8_e5m2))
        self.places = frozen(torch.arange(4)[None])
        self.last = nn.Parameter(torch.randn(3, 4, dtype=torch.float16))

    def forward(self, x):
        x = F.linear(x, self.steps.to(x.dtype) * self.scale[:, None])
        x = F.linear(x, self.narrow.to(x.dtype)) + self.places[0]
        return F.linear(F.linear(x, self.wide.to(x.dtype)), self.last.float())


class Stored(nn.Module):
    """Buffers that are read as weights are, whatever their elements are: of zeros, of ones, of zeros and ones, of
    places, in whole numbers of 8 bits; and buffers that hide, choose and say places."""

    def __init__(self):
        super().__init__()
        self.register_buffer("zeros", torch.zeros(16, 16))
        self.register_buffer("ones", torch.ones(1, 16))
        self.register_buffer("unit", torch.eye(16))
        self.register_buffer("steps", torch.randint(-100, 100, (8, 16), dtype=torch.int8))
        self.register_buffer("none", torch.zeros(8, 16, dtype=torch.int8))
        self.register_buffer("halves", torch.full((8, 8), 0.5, dtype=torch.float16))
        self.register_buffer("weights", torch.arange(8))
        self.register_buffer("causal", torch.tril(torch.ones(12, 12)))
        self.register_buffer("positions", torch.arange(12)[None])
        self.table = nn.Embedding(12, 16)

    def forward(self, x):
        n = x.shape[1]
        x = x + self.table(self.positions[:, :n]) + F.linear(x, self.zeros) * self.ones
        x = F.linear(x * self.ones, self.unit)
        y = F.linear(x, self.steps.float() * 0.01) + F.linear(x, self.none.to(x.dtype)) * self.weights
        scores = (x @ x.transpose(1, 2)).masked_fill(self.causal[:n, :n] == 0, float("-inf"))
        return F.linear(scores.softmax(-1) @ y, self.halves.float())


class Bitwise(nn.Module):
    """Bits of two tensors of whole numbers, sums under a mask, and places in windows that reach beyond the input."""

    def forward(self, a, b, k, x):
        narrow, other = a.int(), b.int()
        one = (narrow & other).long() + 3 * (narrow | other).long() + 7 * (narrow ^ other).long()
        two = (a & b) + 3 * ((a | b) ^ b)
        added = torch.index_put(x, (x > 0,), torch.tensor(2.0), accumulate=True)
        largest, places = F.max_pool2d(x[:, None], 3, 2, 1, return_indices=True)
        row, of_row = F.max_pool1d(x, 4, 3, 2, return_indices=True, ceil_mode=True)
        return one, two, a << k, a >> k, added, largest, places, row, of_row


class Guarded(Branching):
    """The same by a form that conditions have not."""

    def forward(self, x):
        y = self.one(x)
        return self.other(y) if x.shape[1] & 1 else y


T = transformers
x, image = torch.randn(2, 8, 16), torch.randn(2, 3, 20, 20)
tokens, seen = ids(2, 6), torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
bounded = {0: DYNAMIC, 1: torch.export.Dim("n", max=30)}
causal = dict(kwargs={"input_ids": tokens, "use_cache": False}, dynamic={"input_ids": TOKENS, "use_cache": None})
masked = {"input_ids": tokens, "attention_mask": seen}

write("encoder_layer", lambda: nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), (torch.randn(3, 5, 32),), dynamic=(TOKENS,))
write("odd_letters", OddLetters, (x,), dynamic=(TOKENS,))
write("chunked", Chunked, (x,), dynamic=({0: DYNAMIC},))
write("slopes", Slopes, (x, torch.arange(8) < torch.tensor([[8], [5]])), dynamic=(TOKENS, TOKENS))
write("pairs", Pairs, (x, torch.rand(2, 1, 8, 8) < 0.6, torch.arange(8).repeat(2, 1) // torch.tensor([[3], [5]]), torch.tensor([8, 5])), dynamic=(TOKENS, {0: DYNAMIC, 2: DYNAMIC, 3: DYNAMIC}, TOKENS, {0: DYNAMIC}))
write("packed", Packed, (x, torch.arange(8).repeat(2, 1) // torch.tensor([[3], [5]])), dynamic=(TOKENS, TOKENS))
write("biases", Biases, (x, torch.arange(8) < torch.tensor([[8], [5]])), dynamic=(TOKENS, TOKENS))
write("capped", Capped, (x,), dynamic=(TOKENS,))
write("divided", Divided, (x,), dynamic=(TOKENS,))
write("subtracted", Subtracted, (x,), dynamic=(TOKENS,))
write("groups", Groups, (x,), dynamic=(TOKENS,))
write("unknown", Unknown, (x, x + 1, x - 1), dynamic=(TOKENS,) * 3)
write("kept", Kept, (x, torch.randn(2, 12, 16)), dynamic=(TOKENS, {0: DYNAMIC}))
write("windows", Windows, (image,), dynamic=({0: DYNAMIC},))
write("in_place", InPlace, (x,), dynamic=({0: DYNAMIC},))
write("shifted", Shifted, (torch.randn(2, 64, 16),), dynamic=({0: DYNAMIC},))
write("places", Places, (x[..., :7], ids(2, 8), torch.tensor([1, 0])), dynamic=({0: DYNAMIC}, {0: DYNAMIC}, None))
write("resampled", Resampled, (torch.randn(2, 4, 6, 7),), dynamic=({0: DYNAMIC},))
write("upscaled", Upscaled, (torch.randn(2, 2, 12, 8),), dynamic=({0: DYNAMIC, 2: DYNAMIC, 3: DYNAMIC},))
write("functions", Functions, (x[..., :8], ids(2, 8)), dynamic=({0: DYNAMIC}, {0: DYNAMIC}))
write("further", Further, (x[:, :4, :5], torch.randn(2, 4, 5), ids(2, 6)), dynamic=({0: DYNAMIC},) * 3)
write("joined", Joined, (torch.randn(2, 4, 5), ids(2, 6), torch.tensor([3, 1]), torch.randn(2, 6, 5)), dynamic=({0: DYNAMIC}, {0: DYNAMIC}, None, {0: DYNAMIC}))
write("relative", Relative, (x,), dynamic=(TOKENS,))
write("sampled", Sampled, (torch.randn(2, 3, 5, 6), 1.4 * (2 * torch.rand(2, 4, 3, 2) - 1), torch.randn(2, 2, 3, 4, 5), 1.4 * (2 * torch.rand(2, 2, 3, 2, 3) - 1), torch.randn(2, 2, 3)), dynamic=({0: DYNAMIC},) * 5)
write("thumbnail", Thumbnail, (torch.randn(2, 3, 13, 8),), dynamic=({0: DYNAMIC, 2: DYNAMIC, 3: DYNAMIC},))
write("products", Products, (torch.randn(2, 5, 6), torch.randn(2, 6, 5), torch.randn(1, 1, 6)), dynamic=({0: DYNAMIC}, {0: DYNAMIC}, None))
write("complex", Complex, (x, torch.randn(2, 8, 4, dtype=torch.complex64)), dynamic=(TOKENS, TOKENS))
write("narrow", Narrow, (x, 40000 * torch.arange(8)), dynamic=(TOKENS, {0: DYNAMIC}))
write("written", Written, (x,), dynamic=({0: DYNAMIC},))
write("rounded", Rounded, (x,), dynamic=(TOKENS,))
# Where one token is left, einsum over tokens contracts nothing.
for name, make in ("odd_letters", OddLetters), ("groups", Groups):
    count(f"{name} n=1", make().eval(), (x[:, :1],), {})
write("defined", Defined, (x,), dynamic=(TOKENS,))
write("nothing", Nothing, (x,), dynamic=(TOKENS,))
write("modes", Modes, (x,), dynamic=(TOKENS,))
write("quotients", Quotients, (x,), dynamic=(TOKENS,))
write("blocks", Blocks, (x,), dynamic=({0: DYNAMIC},))
write("recurrent", Recurrent, (torch.randn(2, 7, 6), torch.randn(1, 2, 4)), dynamic=({0: DYNAMIC}, {1: DYNAMIC}))
write("llama", lambda: T.LlamaForCausalLM(config(T.LlamaConfig, num_key_value_heads=1)), **causal)
write("gemma3", lambda: T.Gemma3ForCausalLM(config(T.Gemma3TextConfig, num_key_value_heads=1, head_dim=8, sliding_window=4, layer_types=["sliding_attention"])), **causal)
write("gemma2", lambda: T.Gemma2ForCausalLM(config(T.Gemma2Config, num_key_value_heads=1, head_dim=8, sliding_window=4, attn_logit_softcapping=2.0, layer_types=["sliding_attention"])), **causal)
write("gpt_oss", lambda: T.GptOssForCausalLM(config(T.GptOssConfig, num_key_value_heads=1, head_dim=8, sliding_window=4, num_local_experts=3, num_experts_per_tok=2, layer_types=["sliding_attention"])), **causal)
write("mixtral", lambda: T.MixtralForCausalLM(config(T.MixtralConfig, num_key_value_heads=1, num_local_experts=3, num_experts_per_tok=2)), **causal)
write("bert", lambda: T.BertModel(config(T.BertConfig, max_position_embeddings=32)), kwargs=masked, dynamic={"input_ids": bounded, "attention_mask": bounded})
write("vit", lambda: T.ViTModel(T.ViTConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4), add_pooling_layer=False), (torch.randn(2, 3, 8, 8),), dynamic=({0: DYNAMIC},))
write("t5_encoder", lambda: T.T5EncoderModel(T.T5Config(vocab_size=41, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2)), kwargs=masked, dynamic={"input_ids": TOKENS, "attention_mask": TOKENS})
write("filled", Filled, (x, (torch.arange(8) < torch.tensor([[8], [5]])).long()), dynamic=(TOKENS, TOKENS))
write("least", Least, (x,), dynamic=(TOKENS,))
write("cells", Cells, (x[:, :2, :6].clone(), x[:, 2, :5].clone()), dynamic=({0: DYNAMIC}, {0: DYNAMIC}))
write("losses", Losses, (x[0, :7, :6].clone(), x[1, :7, :6].clone(), torch.tensor([0, 3, 1, 4, 2, 1, 5]), x[0, 0, :6].abs()), dynamic=({0: DYNAMIC}, {0: DYNAMIC}, {0: DYNAMIC}, None))
write("labelled", lambda: T.LlamaForCausalLM(config(T.LlamaConfig)), kwargs={"input_ids": tokens, "labels": torch.where(seen == 1, tokens, -100), "use_cache": False}, dynamic={"input_ids": TOKENS, "labels": TOKENS, "use_cache": None})
write("ordered", Ordered, (x[..., :7].clone(), (10 * x[..., 0]).long()), dynamic=({0: DYNAMIC}, {0: DYNAMIC}))
write("sized", Sized, (x, x[:, :5] + 1), dynamic=(TOKENS, TOKENS))
write("skipped", Skipped, (image[..., :12, :8].clone(),), dynamic=({0: DYNAMIC, 2: DYNAMIC, 3: DYNAMIC},))
write("modulated", Modulated, (torch.cat([image, image[:, :1]], 1)[..., :6, :5].clone(),), dynamic=({0: DYNAMIC},))
write("hiding", Hiding, (x,), dynamic=(TOKENS,))
write("margins", Margins, (x[0, :7, :6].clone(), x[1, :7, :6].clone(), torch.tensor([0, 3, 1, 4, 2, 1, 5])), dynamic=({0: DYNAMIC},) * 3)
write("unordered", Unordered, (torch.randn(3, 8, 7),), dynamic=(TOKENS,))
write("forms", Forms, (x[:, :6, :5].clone(), torch.tensor([[2, 5, 0, 2, 11, 7], [2, 2, 2, 2, 2, 2]])), dynamic=({0: DYNAMIC}, {0: DYNAMIC}))
sixteen = 16 * torch.export.Dim("rows"), 16 * torch.export.Dim("columns")
write("merged", Merged, (torch.randn(2, 3, 32, 48),), dynamic=({0: DYNAMIC, 2: sixteen[0], 3: sixteen[1]},))
write("nested", Nested, ({"x": torch.randn(2, 6, 8)}, [torch.randn(2, 32), torch.randn(3, 9)]), {"more": {"y": torch.randn(2, 9, 8)}}, {"batch": {"x": TOKENS}, "xs": [TOKENS, TOKENS], "more": {"y": TOKENS}})
write("branching", Branching, (x,), dynamic=(TOKENS,))
write("guarded", Guarded, (x,), dynamic=(TOKENS,))
write("stored", Stored, (x,), dynamic=({0: DYNAMIC, 1: torch.export.Dim("n", max=11)},))
write("bitwise", Bitwise, (torch.randint(-2**30, 2**30, (2, 8)), torch.randint(-2**30, 2**30, (2, 8)), torch.randint(0, 9, (2, 8)), x), dynamic=({0: DYNAMIC},) * 4)
write("quantised", Quantised, (x,), dynamic=(TOKENS,))
write("angles", Angles, (x,), dynamic=(TOKENS,))
write("ranked", Ranked, (x,), dynamic=(TOKENS,))
write("chains", Chains, (x[..., :8].clone(),), dynamic=(TOKENS,))
write("put", Put, (torch.randn(2, 8, 8), torch.randn(2, 3, 8), torch.tensor([5, 7, 4]), torch.tensor([1, 2, 3, 8, 5, 1]), torch.tensor([0, 2, 5]), torch.arange(-100, 100, 17, dtype=torch.int8)), dynamic=({0: DYNAMIC}, {0: DYNAMIC}, None, None, None, {0: DYNAMIC}))

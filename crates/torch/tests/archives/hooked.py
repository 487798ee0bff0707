"""Writes archives of modules of the classes that tools hook. Run with torch 2.15.0."""

import torch
from torch import nn

from export import write


class Transposed(nn.Module):
    """Transposed convolutions of one axis, two and three, in groups and without a bias."""

    def __init__(self):
        super().__init__()
        self.line = nn.ConvTranspose1d(8, 6, 3, stride=2)
        self.plane = nn.ConvTranspose2d(6, 4, (2, 3), stride=(2, 1), groups=2, bias=False)
        self.room = nn.ConvTranspose3d(1, 2, 2, padding=1)

    def forward(self, x):
        plane = self.plane(self.line(x).unflatten(2, (3, 5)))
        return self.room(plane.unsqueeze(1))


class Stepped(nn.Module):
    """Cells that are called several times, and recurrent layers: with projected states, and in both directions."""

    def __init__(self):
        super().__init__()
        self.gated, self.long, self.plain = nn.GRUCell(8, 6), nn.LSTMCell(6, 5, bias=False), nn.RNNCell(5, 7)
        self.projected = nn.LSTM(7, 9, num_layers=2, bidirectional=True, proj_size=4)
        self.both = nn.GRU(8, 3, num_layers=2, bidirectional=True, bias=False)
        self.simple = nn.RNN(6, 4, batch_first=True)

    def forward(self, x):
        state = None
        for step in x.unbind(1):
            state = self.gated(step, state)
        y = self.plain(self.long(state)[0])
        return self.simple(self.both(self.projected(y.unsqueeze(1))[0])[0])[0]


class Resized(nn.Module):
    """Activations, norms, pools and changes of size that are modules."""

    def __init__(self):
        super().__init__()
        self.slope, self.slopes = nn.PReLU(), nn.PReLU(4)
        self.norm, self.plain = nn.InstanceNorm2d(4, affine=True), nn.InstanceNorm1d(4)
        self.twice = nn.Upsample(scale_factor=2, mode="bilinear")
        self.nearest, self.cubic = nn.Upsample(scale_factor=(2.0, 1.0)), nn.Upsample(size=(9, 7), mode="bicubic")
        self.most, self.shuffled, self.wider = nn.AdaptiveMaxPool2d((4, 3)), nn.PixelShuffle(2), nn.ZeroPad2d(1)

    def forward(self, x):
        x = self.nearest(self.norm(self.slope(x)))
        x = self.most(self.cubic(self.twice(self.slopes(x))))
        return self.plain(self.wider(self.shuffled(x)).flatten(1).unflatten(1, (4, -1)))


class Appended(nn.Module):
    """Attention to keys beside those given."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, add_bias_kv=True, add_zero_attn=True)

    def forward(self, x):
        return self.attention(x, x, x)[0]


class Named(nn.Module):
    """One map under two names, which is called twice."""

    def __init__(self):
        super().__init__()
        self.own = nn.Linear(8, 8)
        self.all = nn.ModuleList([self.own])

    def forward(self, x):
        return self.own(self.all[0](x))


def cases():
    """Each module with its argument."""
    torch.manual_seed(0)
    yield "transposed", Transposed(), torch.randn(2, 8, 7)
    yield "stepped", Stepped(), torch.randn(3, 4, 8)
    yield "resized", Resized(), torch.randn(2, 4, 3, 5)
    yield "appended", Appended(), torch.randn(2, 9, 8)
    yield "named", Named(), torch.randn(2, 9, 8)


if __name__ == "__main__":
    for name, module, x in cases():
        write(name, module, (x,), None)

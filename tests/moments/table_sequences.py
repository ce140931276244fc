"""The layers of torch.nn for sequences, attention and large outputs, in the forms that they can take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from batchlab.tests.moments.table_models import SAMPLES, WIDE, Case, Net, sequences, vectors


def recurrent(cls: Any, rule: Any = lambda m, x: m.out(m.rnn(m.inner(x))[0]), **options: Any) -> Callable[[], Net]:
    width = options.get("proj_size", 3) * (1 + options.get("bidirectional", False))
    options = {"batch_first": True, **options}
    return lambda: Net(rule, inner=nn.Linear(WIDE, 3), rnn=cls(3, 3, **options), out=nn.Linear(width, 2))


def steps_first(m: Any, x: Tensor) -> Any:
    return m.out(m.rnn(m.inner(x.transpose(0, 1)))[0]).transpose(0, 1)


def last_state(m: Any, x: Tensor) -> Any:
    return m.out(m.rnn(m.inner(x))[1][-1])


def from_state(m: Any, x: Tensor) -> Any:
    h = m.inner(x)
    return m.out(m.rnn(h, h[:, :1].transpose(0, 1).tanh().contiguous())[0])


def packed(m: Any, x: Tensor) -> Any:
    lengths = x.detach()[:, 0, 0].mul(10).long() % 3 + 1
    rows = pack_padded_sequence(m.inner(x), lengths, batch_first=True, enforce_sorted=False)
    return m.out(pad_packed_sequence(m.rnn(rows)[0], batch_first=True, total_length=x.shape[1])[0])


def stepped(cls: Any, **options: Any) -> Callable[[], Net]:
    def rule(m: Any, x: Tensor) -> Any:
        state = None
        for step in m.inner(x).unbind(1):
            state = m.cell(step, state)
        return m.out(state[0] if isinstance(state, tuple) else state)

    return lambda: Net(rule, inner=nn.Linear(WIDE, 3), cell=cls(3, 3, **options), out=nn.Linear(3, 2))


def attend(rule: Any = None, width: int = WIDE, heads: int = 2, **options: Any) -> Callable[[], nn.Module]:
    def plain(m: Any, x: Tensor) -> Any:
        h = m.inner(x)
        return m.out(m.attention(h, h, h)[0])

    options = {"batch_first": True, **options}
    return lambda: Net(
        rule or plain,
        inner=nn.Linear(WIDE, width), attention=nn.MultiheadAttention(width, heads, **options), out=nn.Linear(width, 2),
    )  # fmt: skip


def attend_steps_first(m: Any, x: Tensor) -> Any:
    h = m.inner(x).transpose(0, 1)
    return m.out(m.attention(h, h, h, need_weights=False)[0].transpose(0, 1))


def attend_across(m: Any, x: Tensor) -> Any:
    return m.out(m.attention(m.inner(x), x[:, :2, :3], x[:, :2, :2])[0])


def attend_masked(kind: str) -> Any:
    def rule(m: Any, x: Tensor) -> Any:
        h, length = m.inner(x), x.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool).triu(1)
        if kind == "keys":
            padding = torch.arange(length) > x.detach()[:, :1, 0].mul(10).long() % length
            return m.out(m.attention(h, h, h, key_padding_mask=padding)[0])
        if kind == "by head":  # as many rows as samples times heads
            return m.out(m.attention(h, h, h, attn_mask=causal.repeat(len(x) * m.attention.num_heads, 1, 1))[0])
        return m.out(m.attention(h, h, h, attn_mask=causal, is_causal=kind == "causal", need_weights=False)[0])

    return rule


def weights_too(m: Any, x: Tensor) -> Any:
    h = m.inner(x)
    output, weights = m.attention(h, h, h, average_attn_weights=False)
    return torch.cat([m.out(output).flatten(1), weights.flatten(1)], 1)


def transformer(part: Any, dropout: float = 0.0, layers: int = 0, **options: Any) -> Callable[[], nn.Module]:
    stack = {nn.TransformerEncoderLayer: nn.TransformerEncoder, nn.TransformerDecoderLayer: nn.TransformerDecoder}

    def rule(m: Any, x: Tensor) -> Any:
        x = x if options.get("batch_first", True) else x.transpose(0, 1)
        h = m.part(x) if part is nn.TransformerEncoderLayer else m.part(x, (2 * x).tanh())
        return m.out(h if options.get("batch_first", True) else h.transpose(0, 1))

    def make() -> nn.Module:
        shared = {"nhead": 2, "dim_feedforward": 5, "dropout": dropout, "batch_first": True, **options}
        if part is nn.Transformer:
            return Net(rule, part=part(WIDE, num_encoder_layers=1, num_decoder_layers=1, **shared), out=nn.Linear(4, 2))
        layer = part(WIDE, **shared)
        return Net(rule, part=stack[part](layer, layers, nn.LayerNorm(WIDE)) if layers else layer, out=nn.Linear(4, 2))

    return make


def adaptive_softmax(target: bool) -> Case:
    def make() -> nn.Module:
        def rule(m: Any, x: Tensor) -> Any:
            h = m.inner(x[:, :WIDE])
            return m.head(h, x[:, WIDE].abs().mul(3).long().clamp(max=8)).output if target else m.head.log_prob(h)

        return Net(rule, inner=nn.Linear(WIDE, 8), head=nn.AdaptiveLogSoftmaxWithLoss(8, 9, [3, 6], div_value=2.0))

    return Case(make, partial(vectors, WIDE + 1), "loop" if target else "one pass")


def linear_cross_entropy(**options: Any) -> Case:
    def rule(m: Any, x: Tensor) -> Any:
        return m.loss(m.inner(x[:, :WIDE]), x[:, WIDE].abs().mul(3).long().clamp(max=2))

    cls: Any = getattr(nn, "LinearCrossEntropyLoss", None)  # later than the oldest torch that batchlab runs on
    return Case(
        lambda: Net(rule, inner=nn.Linear(WIDE, 6), loss=cls(6, 3, reduction="none", **options)),
        partial(vectors, WIDE + 1), "vmap",
    )  # fmt: skip


RNNS: dict[str, Any] = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}

SEQUENCES: dict[str, Case] = {
    "Attention": Case(attend(), sequences, "vmap"),
    "Attention, one head per sample": Case(attend(width=SAMPLES, heads=SAMPLES), sequences, "vmap"),
    "Attention, as many steps as samples": Case(attend(attend_masked("steps")), partial(sequences, SAMPLES), "vmap"),
    "Attention, causal": Case(attend(attend_masked("causal")), sequences, "vmap"),
    "Attention, padded keys": Case(attend(attend_masked("keys")), sequences, "vmap"),
    "Attention, mask by head": Case(attend(attend_masked("by head")), sequences, "vmap"),
    "Attention, mask by one head": Case(attend(attend_masked("by head"), heads=1), sequences, "vmap"),
    "Attention, weights too": Case(attend(weights_too), sequences, "vmap"),
    "Attention, bias_kv": Case(attend(add_bias_kv=True, add_zero_attn=True), sequences, "vmap"),
    "Attention, steps first": Case(attend(attend_steps_first, batch_first=False), sequences, "vmap"),
    "Attention, steps first, as many as samples": Case(
        attend(attend_steps_first, batch_first=False), partial(sequences, SAMPLES), "vmap"
    ),
    "Attention across": Case(attend(attend_across, kdim=3, vdim=2), sequences, "vmap"),
    "Attention, dropout": Case(attend(dropout=0.5), sequences, "loop", alone=False),
    "Attention, steps first, dropout": Case(
        attend(attend_steps_first, batch_first=False, dropout=0.5), sequences, "loop", alone=False
    ),
    "Transformer": Case(transformer(nn.Transformer), sequences, "vmap"),
    "Transformer, eval": Case(lambda: transformer(nn.Transformer)().eval(), sequences, "vmap"),
    "Transformer, dropout": Case(transformer(nn.Transformer, 0.3), sequences, "loop", alone=False),
    "TransformerEncoderLayer": Case(transformer(nn.TransformerEncoderLayer), sequences, "vmap"),
    "TransformerEncoderLayer, norm first": Case(
        transformer(nn.TransformerEncoderLayer, norm_first=True, activation="gelu"), sequences, "vmap"
    ),
    "TransformerEncoderLayer, dropout": Case(
        transformer(nn.TransformerEncoderLayer, 0.3), sequences, "loop", alone=False
    ),
    "TransformerEncoder": Case(transformer(nn.TransformerEncoderLayer, layers=2), sequences, "vmap"),
    "TransformerEncoder, eval": Case(
        lambda: transformer(nn.TransformerEncoderLayer, layers=2)().eval(), sequences, "vmap"
    ),
    "TransformerEncoder, steps first": Case(
        transformer(nn.TransformerEncoderLayer, layers=2, batch_first=False), partial(sequences, SAMPLES), "vmap"
    ),
    "TransformerDecoderLayer": Case(transformer(nn.TransformerDecoderLayer), sequences, "vmap"),
    "TransformerDecoder": Case(transformer(nn.TransformerDecoderLayer, layers=2), sequences, "vmap"),
    "AdaptiveLogSoftmaxWithLoss": adaptive_softmax(target=True),
    "AdaptiveLogSoftmaxWithLoss.log_prob": adaptive_softmax(target=False),
}
for name, cls in RNNS.items():
    cell = {"RNN": nn.RNNCell, "GRU": nn.GRUCell, "LSTM": nn.LSTMCell}[name]
    SEQUENCES |= {
        name: Case(recurrent(cls), sequences, "loop"),
        f"{name}, two layers both ways": Case(recurrent(cls, num_layers=2, bidirectional=True), sequences, "loop"),
        f"{name}, no bias": Case(recurrent(cls, bias=False), sequences, "loop"),
        f"{name}, steps first": Case(recurrent(cls, steps_first, batch_first=False), sequences, "loop"),
        f"{name}, steps first, as many as samples": Case(
            recurrent(cls, steps_first, batch_first=False), partial(sequences, SAMPLES), "loop"
        ),
        f"{name}, steps first, one step": Case(
            recurrent(cls, steps_first, batch_first=False), partial(sequences, 1), "loop"
        ),
        f"{name}, packed": Case(recurrent(cls, packed), sequences, "loop"),
        f"{name}, dropout": Case(recurrent(cls, num_layers=2, dropout=0.5), sequences, "loop", alone=False),
        f"{name}Cell": Case(stepped(cell), sequences, "loop"),
        f"{name}Cell, no bias": Case(stepped(cell, bias=False), sequences, "loop"),
    }
for name in ("RNN", "GRU"):
    SEQUENCES[f"{name}, last state"] = Case(recurrent(RNNS[name], last_state), sequences, "loop")
    SEQUENCES[f"{name}, from a state"] = Case(recurrent(RNNS[name], from_state), sequences, "vmap")
SEQUENCES["RNN, as many layers as samples"] = Case(recurrent(nn.RNN, last_state, num_layers=SAMPLES), sequences, "loop")
SEQUENCES["LSTM, projected"] = Case(recurrent(nn.LSTM, proj_size=2), sequences, "loop")
SEQUENCES["LSTM, cell state"] = Case(
    recurrent(nn.LSTM, lambda m, x: m.out(m.rnn(m.inner(x))[1][1][-1])), sequences, "loop"
)
if hasattr(nn, "LinearCrossEntropyLoss"):
    SEQUENCES["LinearCrossEntropyLoss"] = linear_cross_entropy()
    SEQUENCES["LinearCrossEntropyLoss, bias"] = linear_cross_entropy(bias=True)

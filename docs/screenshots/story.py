"""The first image of the README: a customer and an invalid record with their answers in a real run."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_MONO = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace'
_SANS = 'system-ui, "Segoe UI", Helvetica, Arial, sans-serif'
_STYLE = f"""
.ground {{ fill: #0d1117; }} .card {{ fill: #161b22; stroke: #3d444d; }}
.mono {{ font: 13px {_MONO}; fill: #c9d1d9; white-space: pre; }} .topic {{ font: bold 14px {_MONO}; fill: #79c0ff; }}
.small {{ font: 13px {_SANS}; fill: #9aa4af; }} .head {{ font: bold 17px {_SANS}; fill: #f0f6fc; }}
.key {{ fill: #9aa4af; }} .good {{ fill: #56d364; }} .bad {{ fill: #ff7b72; }} .strong {{ font-weight: bold; }}
.flow {{ fill: none; stroke: #8b949e; stroke-width: 2.5; }}
.flow.good {{ stroke: #56d364; fill: none; }} .flow.bad {{ stroke: #ff7b72; fill: none; }}
"""
_MARKER = (
    '<marker id="{0}" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0L10 5L0 10z" fill="{1}"/></marker>'
)
#: The shown fields of a customer, of 21.
_SHOWN = ("customerID", "tenure", "Contract", "InternetService", "MonthlyCharges")


def story(customer: Mapping[str, Any], answer: Mapping[str, Any], letter: Mapping[str, Any], ledger: Any) -> str:
    """Return an SVG with a raw record, its prediction, a dead letter and the ledger of `verify`."""
    cards = [
        _card(24, 24, 296, 182, "telco.raw.customers", [*_fields(customer, _SHOWN), _plain("  … 16 more fields")]),
        _card(24, 230, 296, 86, "", [_text([("mono bad", _short(letter["original_message"], 33))]), *_BROKEN]),
        _card(392, 84, 180, 172, "", _WORK),
        _card(640, 24, 296, 152, "telco.churn.predictions", _answer(answer)),
        _card(640, 200, 296, 116, "telco.deadletter", _letter(letter)),
        _card(24, 340, 912, 56, "", [_ledger(ledger)]),
    ]
    flows = [
        _flow("M320 112 H388", "flow", "grey"),
        _flow("M320 262 H348 Q356 262 356 254 V206 Q356 198 364 198 H388", "flow", "grey"),
        _flow("M572 112 H636", "flow good", "green"),
        _flow("M572 198 H596 Q604 198 604 206 V250 Q604 258 612 258 H636", "flow bad", "red"),
    ]
    markers = "".join(
        _MARKER.format(*marker) for marker in (("grey", "#8b949e"), ("green", "#56d364"), ("red", "#ff7b72"))
    )
    return (
        '<svg viewBox="0 0 960 420" xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="t">\n'
        '<title id="t">Customers come in as JSON; each is answered by a prediction or by a dead letter</title>\n'
        f'<style>{_STYLE}</style>\n<defs>{markers}</defs>\n<rect class="ground" width="960" height="420" rx="12"/>\n'
        + "\n".join([*cards, *flows])
        + "\n</svg>\n"
    )


_Line = str
_WORK: Sequence[_Line] = (
    '<tspan class="head">telco-stream</tspan>',
    '<tspan class="head">consume</tspan>',
    '<tspan class="small">decode, check, score,</tspan>',
    '<tspan class="small">deliver, commit:</tspan>',
    '<tspan class="small">answers and offsets</tspan>',
    '<tspan class="small">are one transaction</tspan>',
)
_BROKEN: Sequence[_Line] = ('<tspan class="small">what no model should see</tspan>',)


def _card(x: int, y: int, width: int, height: int, topic: str, lines: Sequence[_Line]) -> str:  # noqa: PLR0913, PLR0917
    shown = [f'<tspan class="topic">{topic}</tspan>', *lines] if topic else list(lines)
    top = y + 32 if topic or len(lines) != 1 else y + 34
    texts = [f'<text class="mono" x="{x + 18}" y="{top + 22 * row}">{line}</text>' for row, line in enumerate(shown)]
    return f'<rect class="card" x="{x}" y="{y}" width="{width}" height="{height}" rx="10"/>\n' + "\n".join(texts)


def _fields(record: Mapping[str, Any], names: Sequence[str]) -> list[_Line]:
    return [
        _text([("key", f"{name:<16}"), ("", _short(json.dumps(record[name], ensure_ascii=False), 18))])
        for name in names
    ]


def _answer(answer: Mapping[str, Any]) -> list[_Line]:
    probability = ("good strong", f"{answer['churn_probability']:.3f}")
    return [
        *_fields(answer, ["customerID"]),
        _text([("key", "probability     "), probability]),
        _text([("key", "prediction      "), ("good strong", json.dumps(answer["prediction"]))]),
        _text([("key", "model_version "), ("", _short(answer["model_version"], 20))]),
    ]


def _letter(letter: Mapping[str, Any]) -> list[_Line]:
    return [
        _text([("key", "error_type      "), ("bad strong", letter["error_type"])]),
        _text([("", _short(letter["error_message"], 34))]),
        _text([("key", "original, source, time, replayable")]),
    ]


def _ledger(ledger: Any) -> _Line:
    parts = [("key", "telco-stream verify  "), ("good strong", "✓ ")]
    for name in ("inputs", "predicted", "dead_lettered", "missing", "duplicated"):
        parts += [("strong", f"{ledger[name]:,}"), ("key", f" {name.replace('_', ' ')}   ")]
    return _text(parts)


def _plain(text: str) -> _Line:
    return _text([("key", text)])


def _text(parts: Sequence[tuple[str, str]]) -> _Line:
    return "".join(f'<tspan class="{style}">{escape(text)}</tspan>' for style, text in parts)


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _flow(path: str, style: str, marker: str) -> str:
    return f'<path class="{style}" d="{path}" marker-end="url(#{marker})"/>'

"""The simple templates of Home Assistant configurations: parsed by Jinja's own grammar, evaluated by none of its machinery.

A configuration comes from the network. What is evaluated is a short list: the message, a place in its JSON, a few filters,
arithmetic, a comparison, a choice. Everything else is refused when the configuration is read.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any, Final

import jinja2
from jinja2 import nodes

from ingest.payload import leniently, utf8
from ioc.errors import RejectedError
from ioc.values import shorten

#: Longer templates are programs; and no shorter one is nested deeper than Python's stack.
_MOST: Final = 500
_JINJA: Final = jinja2.Environment(autoescape=True)  # parses alone; nothing is ever rendered


class _Missing:
    """That the message says nothing there."""


MISSING: Final = _Missing()


class Said:
    """A message as templates see it.

    Attributes:
        text: the payload.
    """

    def __init__(self, payload: bytes) -> None:
        self.text = utf8(payload)
        self._payload = payload

    @cached_property
    def json(self) -> Any:
        """The payload as JSON, parsed once for all templates; `MISSING` when it is none."""
        try:
            return leniently(self._payload)
        except RejectedError:
            return MISSING


Evaluate = Callable[[Said], Any]


class Template:
    """One template, ready.

    Attributes:
        path: the place in the message's JSON whose value it is, as it is; empty when it makes something else of the message.

    Args:
        source: as configured; "" is the message itself.
        defaults: whether a default that it states stands for what is missing. For a measure it does not: a reading that is
            not there must not become a zero.

    Raises:
        RejectedError: `shape`: it is not of the simple kind.
    """

    def __init__(self, source: str, *, defaults: bool = False) -> None:
        self.path: tuple[str, ...] = ()
        self._defaults = defaults
        self._evaluate: Evaluate = _text
        if not source.strip():
            return
        if len(source) > _MOST:
            raise RejectedError("shape", f"template of {len(source)} characters, most is {_MOST}")
        try:
            expression = _expression(_JINJA.parse(source))
            self._evaluate = self._build(expression)
            self.path = _path(expression)
        except (jinja2.TemplateError, RecursionError, _ComplexError) as error:
            why = error if isinstance(error, _ComplexError) else "it cannot be parsed"
            raise RejectedError("shape", f"template {shorten(source, 200)} is not evaluated: {why}") from error

    def value(self, said: Said) -> Any:
        """What it makes of a message; `MISSING` when the message says nothing there.

        Raises:
            RejectedError: `value`: arithmetic on what is no number.
        """
        return self._evaluate(said)

    def _build(self, node: nodes.Node) -> Evaluate:
        match node:
            case nodes.Const(value=constant) if constant is None or isinstance(constant, str | int | float):
                return lambda _: constant
            case nodes.Neg(node=nodes.Const(value=constant)) if type(constant) in (int, float):
                return lambda _: -constant
            case nodes.Name(name="value"):
                return _text
            case nodes.Name(name="value_json"):
                return _json
            case nodes.Getattr(node=of, attr=key):
                return _place(self._build(of), key)
            case nodes.Getitem(node=of, arg=nodes.Const(value=key)) if isinstance(key, str | int):
                return _place(self._build(of), key)
            case nodes.Filter(node=nodes.Node() as of, name=name, args=args, kwargs=[], dyn_args=None, dyn_kwargs=None):
                return self._filter(self._build(of), name, [_constant(one) for one in args])
            case nodes.Test(node=of, name="defined" | "undefined" as name, args=[]):
                of_value, wanted = self._build(of), name == "defined"
                return lambda said: (of_value(said) is not MISSING) is wanted
            case nodes.Compare(expr=left, ops=[nodes.Operand(op="eq" | "ne" as op, expr=right)]):
                return _compared(self._build(left), self._build(right), equal=op == "eq")
            case nodes.CondExpr(test=test, expr1=yes, expr2=no):
                return _chosen(self._build(test), self._build(yes), _nothing if no is None else self._build(no))
            case nodes.Add(left=left, right=right) | nodes.Sub(left=left, right=right):
                return _calculated(self._build(left), type(node).__name__, self._build(right))
            case nodes.Mul(left=left, right=right) | nodes.Div(left=left, right=right):
                return _calculated(self._build(left), type(node).__name__, self._build(right))
        raise _ComplexError(f"{type(node).__name__} {getattr(node, 'name', '')}".strip())

    def _filter(self, of: Evaluate, name: str, args: list[Any]) -> Evaluate:
        match name, args:
            case "float" | "int", [] | [_]:
                whole, default = name == "int", args[0] if args and self._defaults else MISSING
                return lambda said: _number(of(said), default, whole=whole)
            case "round", [] | [_] if all(type(digits) is int and abs(digits) < 16 for digits in args):
                return lambda said: _rounded(of(said), args[0] if args else 0)
            case "default" | "d", [default]:
                return lambda said: default if (got := of(said)) is MISSING and self._defaults else got
            case "is_defined" | "trim" | "string", []:
                return of
            case "lower" | "upper", []:
                return lambda said: getattr(got, name)() if isinstance(got := of(said), str) else got
        raise _ComplexError(f"filter {name} of {len(args)} arguments" if args else f"filter {name}")


def rendered(value: Any) -> str:
    """A value as Jinja would write it, to be compared with configured payloads."""
    return value if isinstance(value, str) else str(value) if isinstance(value, int | float) or value is None else ""


class _ComplexError(Exception):
    """A template has a part that is not of the simple kind; says which."""


def _expression(template: nodes.Template) -> nodes.Node:
    """The one expression of a template, white space around it left out."""
    parts = [part for output in template.body for part in _parts(output)]
    kept = [part for part in parts if not (isinstance(part, nodes.TemplateData) and not part.data.strip())]
    if len(kept) != 1:
        raise _ComplexError("more than one expression")
    (only,) = kept
    if isinstance(only, nodes.TemplateData):
        return nodes.Const(only.data.strip())
    return only


def _parts(node: nodes.Node) -> list[nodes.Node]:
    if not isinstance(node, nodes.Output):
        raise _ComplexError(f"statement {type(node).__name__}")
    return list(node.nodes)


def _constant(node: nodes.Node) -> Any:
    match node:
        case nodes.Const(value=constant):
            return constant
        case nodes.Neg(node=nodes.Const(value=constant)) if type(constant) in (int, float):
            return -constant
    raise _ComplexError("a filter's argument that is not constant")


def _path(node: nodes.Node) -> tuple[str, ...]:
    """The place in the JSON that an expression names, filters that leave its value the same left out."""
    keys: list[str] = []
    while True:
        match node:
            case nodes.Filter(node=nodes.Node() as of):
                node = of
            case nodes.Getattr(node=of, attr=key) | nodes.Getitem(node=of, arg=nodes.Const(value=key)):
                keys.append(str(key))
                node = of
            case nodes.Name(name="value_json"):
                return tuple(reversed(keys))
            case _:
                return ()


def _place(container: Evaluate, key: str | int) -> Evaluate:
    return lambda said: _item(container(said), key)


def _text(said: Said) -> Any:
    return said.text


def _json(said: Said) -> Any:
    return said.json


def _nothing(said: Said) -> Any:
    del said
    return MISSING


def _item(container: Any, key: str | int) -> Any:
    if isinstance(container, dict):
        return container.get(key if isinstance(key, str) else str(key), MISSING)
    if isinstance(container, list) and isinstance(key, int) and -len(container) <= key < len(container):
        return container[key]
    return MISSING


def _as_float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    with suppress(ValueError, OverflowError):
        return float(value)
    return None


def _number(value: Any, default: Any, *, whole: bool) -> Any:
    number = _as_float(value)
    if number is None:
        return value if default is MISSING else default
    if whole:
        with suppress(ValueError, OverflowError):
            return int(number)
    return number


def _rounded(value: Any, digits: int) -> Any:
    number = _as_float(value)
    return value if number is None else round(number, digits)


def _compared(left: Evaluate, right: Evaluate, *, equal: bool) -> Evaluate:
    def compare(said: Said) -> Any:
        one, other = left(said), right(said)
        if isinstance(one, dict | list) or isinstance(other, dict | list):
            return not equal  # a constant is neither
        return (one == other) is equal

    return compare


def _chosen(test: Evaluate, yes: Evaluate, no: Evaluate) -> Evaluate:
    def choose(said: Said) -> Any:
        held = test(said)
        return yes(said) if held is not MISSING and held else no(said)

    return choose


def _calculated(left: Evaluate, operation: str, right: Evaluate) -> Evaluate:
    def calculate(said: Said) -> Any:
        one, other = left(said), right(said)
        if one is MISSING or other is MISSING:
            return MISSING
        numbers = [
            float(value) if type(value) in (int, float) and abs(value) < 1e300 else None for value in (one, other)
        ]
        a, b = numbers
        if a is None or b is None or (operation == "Div" and b == 0):
            raise RejectedError("value", f"{operation} of {shorten(one)} and {shorten(other)}, expected numbers")
        match operation:
            case "Add":
                return a + b
            case "Sub":
                return a - b
            case "Mul":
                return a * b
        return a / b

    return calculate

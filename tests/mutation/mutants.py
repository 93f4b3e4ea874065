"""Makes mutants: copies of a module with one small change, which some test must notice.

Not changed: docstrings, annotations, decorators, texts of errors, and what is passed to the log.
"""

import ast
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Final

COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
ARITHMETIC: Final[dict[type[ast.operator], list[type[ast.operator]]]] = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Add],
}
FUNCTIONS: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}
LOGGERS: Final = {"log", "logger"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one module. `node` is the node's position in the walk of its tree."""

    path: Path
    node: int
    variant: int
    line: int
    code: str  # the text of that line
    change: str  # "before -> after"

    @property
    def name(self) -> tuple[str, str, str]:
        """A name that stays the same when lines move."""
        return str(self.path), self.code, self.change

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.change}"


def mutants_of(path: Path) -> list[Mutant]:
    """Return all mutants of a module."""
    text = path.read_text()
    lines = [each.strip() for each in text.splitlines()]
    return [
        Mutant(path, index, variant, node.lineno, lines[node.lineno - 1], f"{_text(node)} -> {_text(changed)}")
        for index, node in enumerate(_changeable(ast.parse(text)))
        for variant, changed in enumerate(_variants(node))
    ]


def mutated(mutant: Mutant) -> ast.Module:
    """Return the tree of the module with the change."""
    tree = ast.parse(mutant.path.read_text())
    node = list(_changeable(tree))[mutant.node]
    changed = ast.copy_location(list(_variants(node))[mutant.variant], node)
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is node:
                setattr(parent, name, changed)
            elif isinstance(value, list):
                value[:] = [changed if each is node else each for each in value]
    return ast.fix_missing_locations(tree)


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.If | ast.While):
        return f"if {ast.unparse(node.test)}"
    return " ".join(ast.unparse(node).split())


def _changeable(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Yield the expressions and statements that may be changed, outer ones first."""
    if isinstance(node, ast.expr | ast.stmt):
        yield node
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _left_alone(node, name, child):
                yield from _changeable(child)


def _left_alone(parent: ast.AST, field: str, child: ast.AST) -> bool:
    if field in {"annotation", "returns", "decorator_list", "pattern"}:
        return True
    if isinstance(parent, ast.Call) and field in {"args", "keywords"} and _is_log(parent):
        return True
    if isinstance(parent, ast.Raise) and field == "exc":
        return True
    return isinstance(child, ast.Constant) and isinstance(parent, ast.Expr | ast.JoinedStr | ast.FormattedValue)


def _is_log(call: ast.Call) -> bool:
    return (
        isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) and call.func.value.id in LOGGERS
    )


def _variants(node: ast.expr | ast.stmt) -> Iterator[ast.AST]:
    """Yield each change of one node."""
    match node:
        case ast.Compare(left=left, ops=[op], comparators=right):
            yield ast.Compare(left, [COMPARISONS[type(op)]()], right)
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
            for each in values:
                kept = [value for value in values if value is not each]
                yield ast.BoolOp(op, kept) if len(kept) > 1 else kept[0]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=op, right=right):
            yield from [ast.BinOp(left, other(), right) for other in ARITHMETIC.get(type(op), [])]
        case ast.Constant(value=bool() | int() | float() | str() as value):
            yield ast.Constant(_other(value))
        case ast.Call():
            yield from _changed_calls(node)
        case ast.If() | ast.While() | ast.IfExp() if not _has_negation(node.test):
            changed = copy(node)
            changed.test = ast.UnaryOp(ast.Not(), node.test)
            yield changed
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            yield from _without_filter(node)
        case _:
            yield from _changed_statements(node)


def _other(value: bool | float | str) -> bool | float | str:
    if isinstance(value, bool):
        return not value
    return f"{value}!" if isinstance(value, str) else value + 1


def _has_negation(test: ast.expr) -> bool:
    """True if one of the changes of the condition itself is its negation."""
    ordered = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
    return isinstance(test, ast.UnaryOp) or (isinstance(test, ast.Compare) and not isinstance(test.ops[0], ordered))


def _changed_calls(call: ast.Call) -> Iterator[ast.AST]:
    """Yield `max` for `min`, `all` for `any`, and copies with one member fewer for `replace(row, a=1, b=2)`."""
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    if name in FUNCTIONS:
        yield ast.Call(ast.Name(FUNCTIONS[name], ast.Load()), call.args, call.keywords)
    if name == "replace":
        for each in call.keywords:
            yield ast.Call(call.func, call.args, [keyword for keyword in call.keywords if keyword is not each])


def _without_filter(node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> Iterator[ast.AST]:
    for index, loop in enumerate(node.generators):
        for condition in loop.ifs:
            changed, unfiltered = copy(node), copy(loop)
            unfiltered.ifs = [each for each in loop.ifs if each is not condition]
            changed.generators = [*node.generators[:index], unfiltered, *node.generators[index + 1 :]]
            yield changed


def _changed_statements(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call(func=ast.Name(id="assert_never"))):
            return  # the type checker's, never run
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Raise():
            yield ast.Pass()
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()
        case _:
            return

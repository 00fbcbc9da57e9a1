"""Every template that Python gives to `said` (hrv/wording.py): what translations go by."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from devtools.setup import ROOT

FOLDERS = ("hrv", "host", "nodes")


@functools.cache
def templates() -> dict[str, str]:
    """Template → where it is said. Raises AssertionError for one that cannot be read from the source."""
    found: dict[str, str] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            module = Module(path)
            for call, scopes in module.calls():
                where = f"{path.relative_to(ROOT).as_posix()}:{call.lineno}"
                texts = list(module.texts(call.args[0], scopes))
                assert texts, f"{where}: what `said` is given cannot be read from the source"
                found |= dict.fromkeys(texts, where)
    return found


class Module:
    def __init__(self, path: Path):
        self.path = path
        self.tree = ast.parse(path.read_text(encoding="utf-8"))

    def calls(self) -> Iterator[tuple[ast.Call, Sequence[ast.AST]]]:
        """Every call of `said`, with the functions that it stands in."""
        functions = [node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)]
        for call in ast.walk(self.tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "said":
                yield (
                    call,
                    [one for one in functions if one.lineno <= call.lineno <= (one.end_lineno or 0)],
                )

    def texts(self, node: ast.AST, scopes: Sequence[ast.AST] = ()) -> Iterator[str]:
        """All texts that an expression may be: of both branches, of every value of a dict."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.BinOp):
            for first in self.texts(node.left, scopes):
                yield from (first + second for second in self.texts(node.right, scopes))
        elif isinstance(node, ast.IfExp | ast.Dict):
            for value in node.values if isinstance(node, ast.Dict) else (node.body, node.orelse):
                yield from self.texts(value, scopes)
        elif isinstance(node, ast.Subscript):
            yield from self.texts(node.value, scopes)
        elif isinstance(node, ast.Name):
            inside = [one for scope in scopes for one in ast.walk(scope)]
            yield from self.named(node.id, inside, scopes) or self.named(node.id, self.tree.body, ())

    def named(self, name: str, where: Sequence[ast.AST], scopes: Sequence[ast.AST]) -> list[str]:
        """All texts that are assigned to a name, or imported under it."""
        found: list[str] = []
        for node in where:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    pairs = [(target, node.value)]
                    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                        pairs = list(zip(target.elts, node.value.elts, strict=True))
                    for one, value in pairs:
                        itself = any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(value))
                        if isinstance(one, ast.Name) and one.id == name and not itself:
                            found += self.texts(value, scopes)
            elif isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
                folder = self.path.parents[node.level - 1]
                other = folder.joinpath(*(node.module or "").split(".")).with_suffix(".py")
                if node.level and other.is_file():
                    found += Module(other).named(name, Module(other).tree.body, ())
        return found

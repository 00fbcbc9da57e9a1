"""No call whose arguments must be counted: past the fifth they have names."""

import ast

import pytest

from devtools.setup import ROOT

MOST = 5
LIBRARIES = {"torch", "np", "cv2", "F"}  # want their arguments in places
# the host's own: what it calls with places, or is called with as it asks
HOST = {"_diffusion_model", "_apply_model", "executor", "unwrapped", "redirect_request"}
HOST |= {"_probabilities"}  # Triton compiles it, and calls it by names


def crowded(source: str) -> list[tuple[int, str, int]]:
    """(line, name, number of places) of every function that takes, and every call that gives, more than MOST by place.

    A node's `execute` takes the node's inputs, which ComfyUI gives by name.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = node.func.func if isinstance(node.func, ast.Call) else node.func
            function = ast.unparse(called)
            if function.split(".")[0] not in LIBRARIES:
                found.append((node.lineno, function.rsplit(".", 1)[-1], len(node.args)))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != "execute":
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            found.append((node.lineno, node.name, len(names) - (names[:1] in (["self"], ["cls"]))))
    return [one for one in found if one[2] > MOST]


@pytest.mark.parametrize("folder", ["hrv", "host", "nodes"])
def test_few_arguments_have_no_names(folder):
    wrong = []
    for path in (ROOT / folder).rglob("*.py"):
        place = path.relative_to(ROOT)
        found = crowded(path.read_text(encoding="utf-8"))
        wrong += [f"{place}:{line}: {name} has {count}" for line, name, count in found if name not in HOST]
    assert wrong == []


def test_what_counts():
    assert [name for _, name, _ in crowded("def f(a, b, c, d, e, g): pass\nh(1, 2, 3, 4, 5, 6)\n")] == [
        "f",
        "h",
    ]
    assert crowded("class A:\n    def f(self, a, b, c, d, e, *, g): pass\ncv2.line(1, 2, 3, 4, 5, 6)\n") == []
    assert crowded("def execute(cls, a, b, c, d, e, f): pass\nh(1, 2, 3, 4, 5, key=6)\n") == []

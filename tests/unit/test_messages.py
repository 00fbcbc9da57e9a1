"""docs/messages.md has a row for every message of the pack, and no row for one that it no longer has."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOC = ROOT / "docs" / "messages.md"
GAP = "…"  # what a message fills in
FIELD = re.compile(r"\{[a-z_][^{}\s\"]*\}")  # of str.format
SAYING = {"warn", "warning", "end"}  # methods that say their arguments
# what is found in an image is explained on the report's help page; texts about vectors are no messages
REPORT = (
    "hrv/report/",
    "hrv/relevance/summary.py",
    "hrv/look/word_effect_page.py",
    "hrv/look/model_effect_page.py",
)
WORDS_OF_KEY = 4


def text_of(node: ast.AST) -> str:
    """The literal text of an expression, a gap for everything that is not literal."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else GAP
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(value) for value in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text_of(node.left) + text_of(node.right)
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("strip", "format")
    ):
        return FIELD.sub(GAP, text_of(node.func.value))  # fmt: skip
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "said":
        return FIELD.sub(GAP, text_of(node.args[0]))
    return GAP


def literals(node: ast.AST | None) -> Iterator[str]:
    """Texts of an expression, of all branches and of all values of a dict or tuple."""
    if isinstance(node, ast.IfExp | ast.BoolOp):
        for branch in (node.body, node.orelse) if isinstance(node, ast.IfExp) else node.values:
            yield from literals(branch)
    elif isinstance(node, ast.Dict | ast.Tuple):
        for value in node.values if isinstance(node, ast.Dict) else node.elts:
            yield from literals(value)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "sentences":
        for sentence in node.args:
            yield from literals(sentence)
    elif node is not None:
        yield text_of(node)


def is_sentence(text: str) -> bool:
    return len(re.findall(r"\w+", text)) >= 6 and re.search(r"[.:]$|\. ", text.strip()) is not None


def messages_of(path: Path) -> Iterator[str]:
    """Every text that a module raises or warns of; of what it returns and gives names to, the sentences."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            for argument in node.exc.args:
                yield from literals(argument)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            says = node.func.attr in SAYING or (
                node.func.attr in ("append", "extend") and "warning" in ast.unparse(node.func)
            )
            for argument in node.args if says else ():
                yield from literals(argument)
        elif isinstance(node, ast.Return):
            yield from filter(is_sentence, literals(node.value))
        elif isinstance(node, ast.Assign):
            yield from (FIELD.sub(GAP, text) for text in literals(node.value) if is_sentence(text))


def sources() -> list[Path]:
    found = [p for folder in ("hrv", "host", "nodes") for p in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if not path.relative_to(ROOT).as_posix().startswith(REPORT)]


def plain(text: str) -> str:
    return " ".join(text.replace("`", "").split())


def key_of(message: str) -> str:
    """The first words of the first piece of a message that is always the same and has three; empty where there is none."""
    pieces = plain(message.removeprefix("[HRV]").replace("%s", GAP)).split(GAP)
    for piece in pieces:
        words = [word for word in piece.split() if re.search(r"\w", word)]
        if len(words) >= 3:
            return " ".join(words[:WORDS_OF_KEY]).strip(" ,.:;()[]“”\"'")
    return ""


# of a build that went well
SUMMARIES = {"Each of the", "These prompts contained"}
KEYS = sorted(
    {
        (p.relative_to(ROOT).as_posix(), key_of(m))
        for p in sources()
        for m in messages_of(p)
        if key_of(m) not in {"", *SUMMARIES}
    }
)
"""(file, key) of every message."""


def rows() -> list[list[str]]:
    """The cells of every row of the tables, their heads left out."""
    lines = [line for line in DOC.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] not in ("message", "of") and not set(row[0]) <= {"-"}]


def test_the_messages_are_found():
    """Of those that everybody knows, in each of the ways in which they are said."""
    found = {key for _, key in KEYS}
    assert len(KEYS) > 200
    for known in (
        "is not in the prompt",
        "in a prompt whose words",
        "The image batch has",
        "The model was given",
    ):
        assert any(known in key or key in known for key in found), known


def test_every_message_has_a_row():
    doc = plain(DOC.read_text(encoding="utf-8"))
    missing = [f"{path}: {key}" for path, key in KEYS if key not in doc]
    assert not missing, "no row in docs/messages.md for:\n" + "\n".join(missing)


def test_every_row_is_a_message():
    python = [
        plain(text)
        for p in sources()
        for n in ast.walk(ast.parse(p.read_text("utf-8")))
        for text in [text_of(n)]
    ]
    scripts = " ".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / "js").rglob("*.js")))
    scripts = re.sub(r"\$\{[^}]*\}", GAP, re.sub(r"[\"'`]\s*\+\s*[\"'`]", "", scripts))
    said = "\n".join([FIELD.sub(GAP, "\n".join(python)), plain(scripts)])
    gone = []
    for row in rows():
        cell = row[0] if len(row) == 3 else row[1]
        for piece in re.split(rf"{GAP}| · ", plain(cell)):
            words = piece.strip(" “”,.:;()")
            if len(words.split()) >= 3 and words not in said:
                gone.append(words)
    assert not gone, "rows of docs/messages.md that nothing says:\n" + "\n".join(gone)


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ("No … image is here, but …", "image is here, but"),
        ("… is not in ….", "is not in"),
        ("… (…)", ""),
    ],
)
def test_the_key_of_a_message(message, key):
    assert key_of(message) == key

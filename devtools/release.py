"""`python3 -m devtools.release v0.2.0`: whether a version is ready to be published. Standard library only."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def faults(tag: str, project: str, changelog: str) -> list[str]:
    """What speaks against publishing under this tag. project, changelog: the text of pyproject.toml and of CHANGELOG.md."""
    found = []
    said = re.search(r'^version = "([^"]+)"$', project, re.MULTILINE)
    version = said[1] if said else "none"
    if tag != f"v{version}":
        found.append(f"The tag is {tag}, but pyproject.toml says version {version}.")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        found.append(f"CHANGELOG.md has no heading “## [{version}] - YYYY-MM-DD”.")
    return found


def main(tag: str) -> int:
    texts = ((ROOT / name).read_text("utf-8") for name in ("pyproject.toml", "CHANGELOG.md"))
    found = faults(tag, *texts)
    print("\n".join(found) or f"{tag} can be published.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

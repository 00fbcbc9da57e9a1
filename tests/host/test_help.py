"""Help pages as the editor loads them: over HTTP, with their pictures."""

import re
import urllib.request


def fetch(server, path: str) -> bytes:
    with urllib.request.urlopen(
        f"http://{server.address}/extensions/{server.folder_name}/docs/{path}"
    ) as answer:
        return answer.read()


def test_every_node_has_a_help_page_whose_pictures_load(server):
    nodes = [name for name in server.get("/object_info") if name.startswith("HRV")]
    assert len(nodes) > 5
    for node in nodes:
        page = fetch(server, f"{node}.md").decode("utf-8")
        assert page.startswith("# ") and len(page) > 300, node
        for picture in re.findall(r"!\[[^\]]+\]\(([^):]+)\)", page):
            assert len(fetch(server, picture)) > 1000, (node, picture)

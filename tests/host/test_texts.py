"""Every node explains itself: help page, tooltips, and the English texts that translators start from."""

import importlib.util
import json
import re

from devtools.server import ROOT

LOCALE = ROOT / "locales" / "en" / "nodeDefs.json"


def definitions(object_info: dict) -> dict:
    spec = importlib.util.spec_from_file_location("make_locale", ROOT / "tools" / "make_locale.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool.node_definitions(object_info)


def test_the_english_texts_are_those_of_the_nodes(server):
    found = definitions(server.object_info())
    assert json.loads(LOCALE.read_text(encoding="utf-8")) == found, "run tools/make_locale.py"


def test_every_node_input_and_output_has_a_text(comfy, server):
    found = definitions(server.object_info())
    assert set(found) == set(comfy.ids)
    for node, texts in found.items():
        assert texts["display_name"] and texts["description"], node
        for name, text in [*texts["inputs"].items(), *texts["outputs"].items()]:
            assert text.get("tooltip"), f"{node}: {name}"


def test_every_node_has_a_help_page_that_names_its_inputs_and_outputs(comfy):
    complaints = []
    for node in comfy.ids:
        page = ROOT / "js" / "docs" / f"{node}.md"
        schema = comfy.node_class(node).GET_SCHEMA()
        text = page.read_text(encoding="utf-8") if page.is_file() else ""
        if not text.startswith(f"# {schema.display_name}\n"):
            complaints.append(f"{page.name} does not begin with “# {schema.display_name}”")
        names = {i.id for i in schema.inputs} | {o.display_name for o in schema.outputs}
        missing = names - set(re.findall(r"`([^`\n]+)`", text))
        if missing:
            complaints.append(f"{page.name} does not name {sorted(missing)}")
    assert not complaints, "\n".join(complaints)

"""What the pack knows of ComfyUI (host/facts, docs/host.md), each looked up in the running host.

A test that fails here says by its name what a new ComfyUI no longer has, and the fact's row in docs/host.md what breaks.
"""

import facts_of_models  # noqa: F401  these register their checks
import facts_of_options  # noqa: F401
import facts_of_page  # noqa: F401
import facts_of_running  # noqa: F401
import facts_of_sampling  # noqa: F401
import facts_of_texts  # noqa: F401
import pytest
from fact_checks import CHECKS


@pytest.mark.parametrize("name", CHECKS)
def test_host_has(name, comfy):
    CHECKS[name](comfy)

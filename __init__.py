"""ComfyUI-HRV: shows which word drew which part of a picture, and helps to mend what went wrong."""

from comfy_api.latest import ComfyExtension, io

from .host.page.routes import register as register_routes
from .nodes import all_nodes

WEB_DIRECTORY = "./js"


class HRVExtension(ComfyExtension):
    """What ComfyUI asks for when it loads the pack."""

    async def on_load(self) -> None:
        register_routes()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return all_nodes()


async def comfy_entrypoint() -> HRVExtension:
    """Entry point of ComfyUI's node API."""
    return HRVExtension()

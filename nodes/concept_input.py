"""The input that names a concept, shared by the nodes that have one."""

from __future__ import annotations

from comfy_api.latest import io

from ..host.store import concept_store, vector_store


def concept_input(name: str, tooltip: str, default: str = "Animals", **more) -> io.Combo.Input:
    """A list of the concepts of all vectors that can be loaded.

    The node must name this input in its `validate_inputs`, so that concepts of vectors which are built in the same
    graph, and are in no file yet, are let through; `HeadRelevance.index` says so if the vectors do not have it.
    """
    return io.Combo.Input(name, options=vector_store.concepts(), default=default, tooltip=tooltip, **more)


def concept_set_input(
    name: str, tooltip: str, first: tuple[str, ...] = (), default: str = "general", **more
) -> io.Combo.Input:
    """A list of the sets of concept words; `first` are choices that are not sets."""
    return io.Combo.Input(
        name, options=[*first, *concept_store.choices()], default=default, tooltip=tooltip, **more
    )

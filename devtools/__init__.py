"""What dev.py is made of.

cli.py       the four commands
releases.py  the ComfyUI releases the pack is tried on
setup.py     makes .host/: one environment and one ComfyUI per release
steps.py     long commands with progress, the lock, plain-word errors
every_release.py  the tests on all releases in turn
server.py    a real ComfyUI server with this pack in it, and its client (used by demo and by the tests)
workflow.py  a workflow file as the prompt the server runs
demo.py      runs the main example and keeps its pictures

cli, releases, setup, steps and every_release need only Python's standard library; the rest runs in the host's Python.
events.py is the websocket part of server.py.
"""

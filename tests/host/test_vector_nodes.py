"""Load, Save and Merge Head Relevance in the real host, with a local server in place of the authors'."""

import dataclasses
import hashlib
import http.server
import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from limits import full_disk

LABEL = "made up: 34 concepts (downloads once)"
VECTORS = Path(__file__).resolve().parents[2] / "hrv_data" / "vectors"
SHIPPED = sorted(file.name for file in VECTORS.glob("*.safetensors"))


def made_up() -> np.ndarray:
    rows = np.random.default_rng(0).random((34, 128))
    return (rows / rows.sum(1, keepdims=True) * 128).astype(np.float32)


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, made_up())
    return file.getvalue()


@pytest.fixture
def web():
    """A server that sends the file slowly; `requests` counts, `answer` is what it sends."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.requests.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.answer)))
            self.end_headers()
            for start in range(0, len(self.server.answer), 4096):
                time.sleep(0.02)
                self.wfile.write(self.server.answer[start : start + 4096])

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.answer = [], npy()
    server.handle_error = lambda *args: None  # a client that gives up is what is tested
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def store(comfy, web, tmp_path, monkeypatch):
    """The module vector_store with an empty models/hrv and one entry, which lies on the local server."""
    from hrv_pack.host.facts import paths
    from hrv_pack.host.store import vector_store

    entry = dataclasses.replace(
        next(iter(vector_store.catalogue().values())),
        label=LABEL,
        file="made_up.safetensors",
        address=f"http://127.0.0.1:{web.server_port}/made_up.npy",
        size=len(npy()),
        sha256=hashlib.sha256(npy()).hexdigest(),
    )
    monkeypatch.setattr(vector_store, "catalogue", lambda: {LABEL: entry})
    monkeypatch.setattr("hrv_pack.host.store.downloads.WITHOUT_TLS", {"127.0.0.1"})
    monkeypatch.setitem(
        comfy.folder_paths.folder_names_and_paths,
        "hrv",
        ([str(tmp_path), str(paths.SHIPPED_VECTORS)], {".safetensors"}),
    )
    comfy.folder_paths.filename_list_cache.pop("hrv", None)
    return vector_store


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_models_hrv_is_known_to_comfyui(comfy):
    folders, extensions = comfy.folder_paths.folder_names_and_paths["hrv"]
    assert str(Path(comfy.folder_paths.models_dir) / "hrv") in folders and extensions == {".safetensors"}


def test_a_folder_of_the_user_comes_first_and_is_kept(comfy, monkeypatch):
    from hrv_pack.host.facts import paths

    monkeypatch.setitem(comfy.folder_paths.folder_names_and_paths, "hrv", (["/users/own"], set()))
    paths.register()
    paths.register()
    assert paths.own_folder() == Path("/users/own")
    assert len(paths.folders()) == 3
    assert comfy.folder_paths.folder_names_and_paths["hrv"][1] == {".safetensors"}


def test_the_first_use_downloads_and_the_second_does_not(comfy, store, web, tmp_path):
    from hrv_pack.hrv.files.vector_files import read

    assert comfy.node_class("HRVLoadVectors").INPUT_TYPES()["required"]["name"][1]["options"] == [
        LABEL,
        *SHIPPED,
    ]
    assert web.requests == []  # looking at the list downloads nothing
    before = comfy.node_class("HRVLoadVectors").fingerprint_inputs(LABEL)
    (vectors, summary), shown = comfy.run_node_ui("HRVLoadVectors", name=LABEL)
    assert torch.equal(vectors.relevance, torch.from_numpy(made_up()))
    assert "128 heads (SD1)" in summary and "34 concepts" in summary and shown["text"] == (summary,)
    assert files(tmp_path) == ["made_up.safetensors"]
    assert torch.equal(read(tmp_path / "made_up.safetensors").relevance, vectors.relevance)
    again, _ = comfy.run_node("HRVLoadVectors", name=LABEL)
    by_file, _ = comfy.run_node("HRVLoadVectors", name="made_up.safetensors")
    assert torch.equal(again.relevance, by_file.relevance)
    assert web.requests == ["/made_up.npy"]
    # the same fingerprint: what comes after this node need not run again because its file is now there
    assert comfy.node_class("HRVLoadVectors").fingerprint_inputs(LABEL) == before


@pytest.mark.parametrize("answer", [b"\0" * len(npy()), npy()[:-9], b""])
def test_a_wrong_download_leaves_nothing_and_says_how_to_do_it_by_hand(comfy, store, web, tmp_path, answer):
    web.answer = answer
    with pytest.raises(ValueError) as error:
        comfy.run_node("HRVLoadVectors", name=LABEL)
    address = f"http://127.0.0.1:{web.server_port}/made_up.npy"
    assert f"save {address} as {tmp_path / 'made_up.npy'} and run again" in str(error.value)
    assert "\n" not in str(error.value) and files(tmp_path) == []


def test_a_file_fetched_by_hand_is_found(comfy, store, web, tmp_path):
    (tmp_path / "made_up.npy").write_bytes(npy())
    assert store.choices() == [LABEL, *SHIPPED, "made_up.npy"]
    for name in ("made_up.npy", LABEL):
        vectors, _ = comfy.run_node("HRVLoadVectors", name=name)
        assert torch.equal(vectors.relevance, torch.from_numpy(made_up()))
    assert files(tmp_path) == ["made_up.npy", "made_up.safetensors"] and web.requests == []


def test_a_wrong_file_fetched_by_hand_is_named(comfy, store, web, tmp_path):
    (tmp_path / "made_up.npy").write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match="made_up.npy: it is not the published file.*download it from http"):
        comfy.run_node("HRVLoadVectors", name=LABEL)
    assert web.requests == []


def test_two_at_once_download_once(store, web, tmp_path):
    loaded = []
    threads = [
        threading.Thread(target=lambda: loaded.append(store.load(LABEL, lambda done, total: None)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == 4 and all(torch.equal(v.relevance, loaded[0].relevance) for v in loaded)
    assert web.requests == ["/made_up.npy"] and files(tmp_path) == ["made_up.safetensors"]


def test_cancel_during_the_download(comfy, store, web, tmp_path):
    from comfy.model_management import InterruptProcessingException, interrupt_current_processing

    threading.Timer(0.03, interrupt_current_processing, (True,)).start()
    try:
        with pytest.raises(InterruptProcessingException):
            comfy.run_node("HRVLoadVectors", name=LABEL)
    finally:
        interrupt_current_processing(False)
    assert files(tmp_path) == []
    comfy.run_node("HRVLoadVectors", name=LABEL)
    assert files(tmp_path) == ["made_up.safetensors"]


def test_a_full_disk_is_said_and_leaves_nothing(comfy, store, tmp_path):
    with (
        full_disk(),
        pytest.raises(OSError, match="made_up.safetensors could not be written: .*Nothing was changed"),
    ):
        comfy.run_node("HRVLoadVectors", name=LABEL)
    assert files(tmp_path) == []


def test_a_replaced_file_is_read_again(comfy, store, tmp_path):
    from hrv_pack.hrv.files.vector_files import write

    def fingerprint():
        return comfy.node_class("HRVLoadVectors").fingerprint_inputs("mine.safetensors")

    write(tmp_path / "mine.safetensors", built(0))
    before = fingerprint()
    assert fingerprint() == before
    write(tmp_path / "mine.safetensors", built(1))
    assert fingerprint() != before


def test_a_name_that_another_node_gives_is_no_reason_to_run_each_time(comfy, store, tmp_path):
    """ComfyUI asks before that node has run, without a name; only a changed file among all is a reason then."""
    from hrv_pack.hrv.files.vector_files import write

    def fingerprint():
        return comfy.node_class("HRVLoadVectors").fingerprint_inputs(None)

    write(tmp_path / "mine.safetensors", built(0))
    before = fingerprint()
    assert fingerprint() == before
    write(tmp_path / "mine.safetensors", built(1))
    assert fingerprint() != before


def test_a_graph_whose_name_is_linked_runs_once(comfy, store, tmp_path, caplog):
    """In ComfyUI's own executor: queued a second time nothing runs again, and nothing is complained of."""
    from executor import Runner, given, node, taken

    from hrv_pack.hrv.files.vector_files import write

    write(tmp_path / "mine.safetensors", built(0))
    runner = Runner(comfy)
    graph = {
        "name": given("mine.safetensors"),
        "load": node("HRVLoadVectors", name=["name", 0]),
        "take": taken("load"),
    }
    assert [runner.run(graph).status for _ in range(2)] == ["success", "success"]
    assert "load" in runner.run(graph).cached
    assert "WARNING" not in caplog.text


def test_a_file_that_went_away(comfy, store):
    with pytest.raises(ValueError, match="gone.safetensors is not in .*Choose other vectors"):
        comfy.run_node("HRVLoadVectors", name="gone.safetensors")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\secret.safetensors"])
def test_names_cannot_lead_out_of_the_folder(comfy, store, name):
    with pytest.raises(ValueError, match="is not in"):
        comfy.run_node("HRVLoadVectors", name=name)


def built(seed: int):
    from hrv_pack.hrv.heads.known_layouts import SD1
    from hrv_pack.hrv.relevance.vectors import HeadRelevance

    votes = torch.randint(0, 20, (2, 128), generator=torch.Generator().manual_seed(seed))
    return HeadRelevance.from_votes(("Animals", "Color"), votes, SD1, {"construction": f'{{"seed": {seed}}}'})


def test_save_merge_and_load_again(comfy, store, tmp_path):
    (merged,) = comfy.run_node("HRVMergeVectors", vectors_a=built(0), vectors_b=built(1))
    assert torch.equal(merged.votes, built(0).votes + built(1).votes)
    (first,), shown = comfy.run_node_ui("HRVSaveVectors", vectors=merged, filename_prefix="mine/pony")
    (second,) = comfy.run_node("HRVSaveVectors", vectors=merged, filename_prefix="mine/pony")
    assert Path(first) == tmp_path / "mine" / "pony_00001_.safetensors" and first != second
    assert first in shown["text"][0]
    again, summary = comfy.run_node("HRVLoadVectors", name="mine/pony_00001_.safetensors")
    assert torch.equal(again.votes, merged.votes) and "merged from 2 parts" in summary


@pytest.mark.parametrize("prefix", ["../out", "/etc/out", " "])
def test_saving_stays_inside_the_folder(comfy, store, prefix, tmp_path):
    with pytest.raises(ValueError, match="filename_prefix"):
        comfy.run_node("HRVSaveVectors", vectors=built(0), filename_prefix=prefix)
    assert files(tmp_path) == []


def test_a_name_that_windows_takes_for_something_else_is_refused_there(comfy, store, tmp_path, monkeypatch):
    """“red: cat” would go into a hidden part of a file “red”."""
    from hrv_pack.host.store import saving
    from hrv_pack.hrv.files.file_names import fault_of

    monkeypatch.setattr(saving, "fault_of", lambda prefix: fault_of(prefix, windows=True))
    for prefix, why in (
        ("red: cat", "Windows does not allow ':' in names"),
        ("aux/x", "'aux' is the name of a device"),
    ):
        with pytest.raises(ValueError, match=f"filename_prefix is .*{why}"):
            comfy.run_node("HRVSaveVectors", vectors=built(0), filename_prefix=prefix)
    assert files(tmp_path) == []


def test_two_servers_that_save_at_the_same_moment_get_two_names(comfy, store, tmp_path, monkeypatch):
    """Both ask for the next number before either has written."""
    ask = comfy.folder_paths.get_save_image_path
    before = ask("mine", str(tmp_path))
    monkeypatch.setattr(comfy.folder_paths, "get_save_image_path", lambda *args: before)
    paths = [comfy.run_node("HRVSaveVectors", vectors=built(n), filename_prefix="mine")[0] for n in range(3)]
    assert (
        files(tmp_path) == [f"mine_0000{n}_.safetensors" for n in (1, 2, 3)] == [Path(p).name for p in paths]
    )

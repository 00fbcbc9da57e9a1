"""Work shared out among threads."""

import threading
import time

import pytest
import torch

from hrv_pack.hrv.threads import MOST, share_out


@pytest.fixture(autouse=True)
def usual():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("pieces", [0, 1, 2, 23])
def test_each_piece_is_done_once_and_announced_in_order_by_the_caller(threads, pieces):
    torch.set_num_threads(threads)
    done, announced = [], []

    def before(number):
        assert threading.current_thread() is threading.main_thread()
        announced.append(number)

    share_out(done.append, [f"piece {n}" for n in range(pieces)], before)
    assert sorted(done) == sorted(f"piece {n}" for n in range(pieces)) and announced == list(range(pieces))
    assert torch.get_num_threads() == threads


def test_threads_run_at_once_each_with_single_operations_and_a_lone_piece_has_them_all():
    torch.set_num_threads(3)
    together, seen = threading.Barrier(3, timeout=30), set()

    def meet(_):
        together.wait()
        seen.add((threading.current_thread().name, torch.get_num_threads()))

    share_out(meet, range(3))
    assert len(seen) == 3 and {number for _, number in seen} == {1}
    alone = []
    share_out(lambda _: alone.append(torch.get_num_threads()), [0])
    assert alone == [3] and torch.get_num_threads() == 3


def test_threads_that_start_later_have_the_usual_number():
    torch.set_num_threads(2)
    share_out(lambda _: torch.ones(1), range(4))
    found = []
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [2]


def test_there_are_never_too_many_threads():
    torch.set_num_threads(MOST + 5)
    lock, now, most = threading.Lock(), [0], [0]

    def work(_):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1

    share_out(work, range(40))
    assert 1 < most[0] <= MOST


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("who", ["before", "work"])
def test_an_exception_ends_it_and_goes_on(threads, who):
    torch.set_num_threads(threads)
    done = []

    def fail(number):
        if number == 4:
            raise KeyboardInterrupt

    def work(number):
        if who == "work":
            fail(number)
        done.append(number)

    with pytest.raises(KeyboardInterrupt):
        share_out(work, range(100), fail if who == "before" else lambda number: None)
    count = len(done)
    assert count <= 4 + (2 * threads + 1 if who == "work" else 0) and torch.get_num_threads() == threads
    time.sleep(0.05)
    assert len(done) == count  # nothing goes on behind the caller's back


@pytest.mark.parametrize("threads", [1, 3])
def test_the_callers_mode_holds_in_the_threads(threads):
    torch.set_num_threads(threads)
    with torch.inference_mode():
        made = torch.zeros(4)
        share_out(lambda n: made[n].add_(1), range(4))
        assert made.tolist() == [1] * 4
    modes = []
    share_out(lambda _: modes.append((torch.is_inference_mode_enabled(), torch.is_grad_enabled())), range(4))
    assert modes == [(False, False)] * 4

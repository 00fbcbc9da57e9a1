"""Work shared out among threads, a whole piece to each.

PyTorch shares out single operations, and after each of them its threads wait for the slowest. In thousands of small
operations, on a machine that does something else as well, this waiting took nine tenths of the time of Attention Heatmap.
Whole pieces of work have nothing to wait for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

MOST = 8  # more would mostly wait for Python, and each takes a workspace

Piece = TypeVar("Piece")


def share_out(
    work: Callable[[Piece], None],
    pieces: Sequence[Piece],
    before: Callable[[int], None] = lambda number: None,
) -> None:
    """work(piece) for every piece, on as many threads as PyTorch uses, but at most MOST. A single piece is left to PyTorch.

    before(number) is called in the caller's thread before piece `number` is handed out. When it raises, or a piece does,
    no more is handed out, what has begun is waited for, and the exception goes on.
    """
    usual = torch.get_num_threads()
    threads = min(MOST, usual, len(pieces))
    inference = torch.is_inference_mode_enabled()  # of this thread; others start without

    def run(piece: Piece) -> None:
        with torch.inference_mode() if inference else torch.no_grad():
            work(piece)

    if threads <= 1:
        for number, piece in enumerate(pieces):
            before(number)
            run(piece)
        return
    begun: deque[Future] = deque()
    try:
        with ThreadPoolExecutor(threads, "hrv", torch.set_num_threads, (1,)) as pool:
            for number, piece in enumerate(pieces):
                before(number)
                if (
                    len(begun) > threads
                ):  # one more than run at once, so that none of them waits for this thread
                    begun.popleft().result()
                begun.append(pool.submit(run, piece))
            while begun:
                begun.popleft().result()
    finally:
        # a thread's own number is also what threads that come later start with
        torch.set_num_threads(usual)

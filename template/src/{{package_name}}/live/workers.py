"""Refuse a log of one process where uvicorn has started several processes."""

import multiprocessing

from ..state.shared import LocalLog, Log


def refuse_several_workers(log: Log | None) -> None:
    """Raise an error if each worker of the service would have states of its own.

    Args:
        log: The log of the states; None is a log in memory.

    Raises:
        RuntimeError: uvicorn has started this process as one of several workers, and the log
            orders the changes of one process only.
    """
    # The arguments of a process that uvicorn starts: only they say that there are others.
    arguments = vars(multiprocessing.current_process()).get("_kwargs", {})
    workers = getattr(arguments.get("config"), "workers", 1)
    if workers > 1 and (log is None or isinstance(log, LocalLog)):
        raise RuntimeError(
            f"uvicorn has started {workers} workers, and a LocalLog orders the changes of one:"
            " start one worker, which serves all visitors"
        )

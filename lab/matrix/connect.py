"""The way to a Dask cluster: one that is there already, or one of this host's processes for as long as it is wanted."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from lab.errors import HostError, UsageError

LOCAL = "local"
_SECONDS = 20
_HOST = "127.0.0.1"
# A tree that is sent along is no mistake, as Dask would take it for.
_QUIET = {"distributed.admin.large-graph-warning-threshold": "1GiB"}
# What a local cluster watches itself by, hundreds of times a second: the cores are for the cells, which take seconds.
_UNWATCHED = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
}


def check() -> Any:
    """Return Dask's package for clusters; UsageError: it is not installed."""
    try:
        import distributed
    except ImportError as error:
        hint = "pip install 'kvmd-lab[cluster]'; from a checkout: .venv/bin/pip install -e '.[cluster]'"
        raise UsageError(f"--dask takes Dask, which is not installed ({error})", hint=hint) from error
    return distributed


@contextmanager
def connected(address: str, workers: int) -> Iterator[Any]:
    """Give a client of the scheduler at `address`; "local": of a cluster of `workers` processes that ends with it.

    UsageError: Dask is not installed, or no address. HostError: nobody answers there, or workers do not start here.
    """
    distributed = check()
    import dask

    with ExitStack() as stack:
        stack.enter_context(dask.config.set(_QUIET))
        if address == LOCAL:
            try:
                cluster = stack.enter_context(_local(distributed, workers))
            except (OSError, RuntimeError) as error:
                raise HostError(
                    f"its {workers} workers do not come up",
                    doing="starting a local cluster",
                    seen=(str(error.__cause__ or "") or str(error),),
                    hint="without --dask nothing of Dask is needed",
                ) from error
            target, security = cluster.scheduler_address, cluster.security
        else:
            target, security = address, None
        try:
            client = distributed.Client(target, timeout=_SECONDS, set_as_default=False, security=security)
        except ValueError as error:
            raise UsageError(
                f"--dask {address}: {error}", hint="local, or the scheduler's, such as tcp://HOST:8786"
            ) from error
        except (OSError, TimeoutError) as error:
            raise HostError(f"no scheduler answers at {address}", doing="connecting", hint="is it running?") from error
        yield stack.enter_context(client)


@contextmanager
def _local(distributed: Any, workers: int) -> Iterator[Any]:
    """A scheduler in this process and workers beside it, one task each; they hear and speak on the loopback alone.

    They know each other by a certificate of their own: nobody else on this host can send them tasks. Dask does not
    count their memory, since what takes memory is QEMU. Each has a nanny, which starts it anew when it dies.
    """
    import dask

    with (
        TemporaryDirectory(prefix="kvmd-lab-dask-", ignore_cleanup_errors=True) as folder,
        dask.config.set({**_UNWATCHED, "temporary-directory": folder}),  # the workers have it from their nannies
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host=_HOST,
            security=distributed.Security.temporary(),
            memory_limit=0,
            dashboard_address=None,
            scheduler_kwargs={"dashboard": False, "dashboard_address": f"{_HOST}:0"},
            preload="lab.matrix.tasks",
            silence_logs=logging.CRITICAL,  # a worker that ends while it talks is no error
        ) as cluster,
    ):
        yield cluster

from __future__ import annotations

import signal

from hypothesis import settings

settings.register_profile("lab", deadline=None)  # that an example takes long says how busy the host is
settings.load_profile("lab")


def pytest_configure() -> None:
    """A shell that runs the tests in the background ignores SIGINT, and what they start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)

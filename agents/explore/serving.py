"""Starting the page on this machine."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tracker.errors import InputError

_POLICY = (
    b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws: data: blob:;"
    b" form-action 'self'"
)
"""Of the browser: the page loads nothing from, and sends nothing to, another host."""


class LocalContent:
    """ASGI middleware that adds `_POLICY` to every response.

    Args:
        app: The application.
    """

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", _POLICY)]
            await send(message)

        await self.app(scope, receive, send_with_policy)


def check_gradio() -> None:
    """Check that the page's library is installed.

    Raises:
        InputError: If it is not.
    """
    try:
        import gradio  # noqa: F401
    except ImportError:
        raise InputError("The page needs Gradio; run: pip install 'occlusion-search[explore]'") from None


def start_page(data: Path | None, port: int | None, device: str, browser: bool) -> tuple[Any, str]:
    """Start the page in a thread; only this machine can reach it.

    Args:
        data: See `agents.explore.videos.list_choices`.
        port: TCP port; the first free one from 7860 if `None`.
        device: Where the networks run.
        browser: Open it in a browser.

    Returns:
        The `gradio.Blocks`, whose `close` ends it, and the page's address.

    Raises:
        InputError: If Gradio is missing, the data cannot be used, or the port is taken.
    """
    check_gradio()
    from starlette.middleware import Middleware

    from .models import Models
    from .page import look, make_page
    from .videos import list_choices

    if port is not None and not 0 < port < 2**16:
        raise InputError(f"--port is {port}; it must lie between 1 and 65535.")
    choices = list_choices(data)
    page = make_page(Models.load(device), choices)
    try:
        _, address, _ = page.launch(
            server_name="127.0.0.1", server_port=port, inbrowser=browser, share=False, quiet=True, ssr_mode=False,
            prevent_thread_lock=True, app_kwargs={"middleware": [Middleware(LocalContent)]}, **look(),
        )  # fmt: skip
    except OSError as error:
        if "port" not in str(error):
            raise
        raise InputError(f"Port {port or '7860 and all after it'} is taken; give another --port.") from None
    return page, address


def serve_page(data: Path | None, port: int | None, device: str, browser: bool) -> None:
    """Serve the page until an interrupt, after printing its address; uploads are removed at the end."""
    with tempfile.TemporaryDirectory(prefix="occlusion-search-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads
        page, address = start_page(data, port, device, browser)
        print(f"The page is {address} (Ctrl-C ends it).", flush=True)
        try:
            threading.Event().wait()
        finally:
            page.close(verbose=False)

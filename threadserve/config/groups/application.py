"""The application: where it is, what it speaks, how often it is there. Declarations only."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from threadserve.config.build import number_of_threads
from threadserve.config.checks import existing_folder, texts
from threadserve.config.declaring import setting


@dataclass(eq=False, kw_only=True)
class Application:
    """The application and its interface."""

    heading: ClassVar = "Application"

    app_dir: str | None = setting(
        "",
        "Look for the application in this folder.",
        check=existing_folder,
        metavar="DIR",
        shown_default="the working directory",
    )
    factory: bool = setting(False, "Treat the application as a factory: call it to get the app.")
    app_instance: Literal["thread", "shared"] = setting("thread", "One app instance per thread, or one shared by all.")
    app_shared: Sequence[str] | str | None = setting(
        None,
        "Keep this module of the application in one copy for all threads; may be repeated.",
        check=texts,
        metavar="MODULE",
        shown_default="none",
    )
    app_threads: int | None = setting(
        None,
        "Threads for what the application does that blocks, by asyncio.to_thread or anyio, for all loops together.",
        check=number_of_threads,
        shown_default="what asyncio and anyio have for one loop",
    )
    interface: Literal["auto", "asgi3", "asgi2", "wsgi", "channels"] = setting("auto", "Application interface.")
    lifespan: Literal["auto", "on", "off"] = setting("auto", "Whether the application has lifespan events.")
    root_path: str = setting("", "The URL path below which the application is mounted.", metavar="PATH")
    pathsend: bool = setting(False, "Let the application send files by their path (ASGI http.response.pathsend).")
    env_file: str | os.PathLike[str] | None = setting(
        None, "Read environment variables for the application from this file.", metavar="FILE"
    )
    cancel_on_disconnect: bool = setting(
        False, "Cancel a request's task when its client has gone, unless the application chooses otherwise."
    )
    reset_contextvars: bool = setting(
        False, "Run each request in an empty context, without what the program or its modules have set."
    )

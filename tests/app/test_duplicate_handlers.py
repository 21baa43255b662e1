"""An application that adds handlers to the log writes each line once, however many instances of it there are."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Load = Callable[..., Any]

APP = """
    import logging

    async def app(scope, receive, send): pass

    logger = logging.getLogger("shop")
    logger.setLevel("INFO")
"""
ADDED = APP + '    logger.addHandler(logging.FileHandler("shop.log"))\n'


@pytest.fixture(autouse=True)
def shop() -> Iterator[logging.Logger]:
    """The logger of the application, without a handler before and after the test."""
    logger = logging.getLogger("shop")
    yield logger
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


def lines(project: Any, shop: logging.Logger) -> list[str]:
    """What the application's log has after one event."""
    shop.info("one event")
    log: str = (project.folder / "shop.log").read_text()
    return log.splitlines()


@pytest.mark.usefixtures("recwarn")
class TestHandlers:
    """Each instance adds its handlers as the first did."""

    def test_added_by_the_module(self, project: Any, shop: logging.Logger, load: Load) -> None:
        project.write("main.py", ADDED)
        loader = project.loader("main:app")
        apps = [load(loader), load(loader), load(loader)]
        assert len(set(map(id, apps))) == 3
        assert lines(project, shop) == ["one event"]

    def test_added_by_a_factory(self, project: Any, shop: logging.Logger, load: Load) -> None:
        project.write(
            "main.py",
            """
            import logging

            def create_app():
                async def app(scope, receive, send): pass
                logging.getLogger("shop").setLevel("INFO")
                logging.getLogger("shop").addHandler(logging.FileHandler("shop.log"))
                return app
            """,
        )
        loader = project.loader("main:create_app", factory=True)
        assert load(loader) is not load(loader)
        assert lines(project, shop) == ["one event"]

    def test_one_handler_of_two_loggers(self, project: Any, shop: logging.Logger, load: Load) -> None:
        """Its file stays open for the logger that keeps it."""
        project.write(
            "main.py",
            ADDED + "    logging.getLogger(f'shop.{id(app)}').addHandler(logger.handlers[-1])\n",
        )
        loader = project.loader("main:app")
        load(loader), load(loader)
        assert lines(project, shop) == ["one event"]

    def test_configured_anew(self, project: Any, shop: logging.Logger, load: Load) -> None:
        """`dictConfig` closes the handlers that it finds, so those of the last instance are the ones that write."""
        project.write(
            "main.py",
            APP
            + """
            import logging.config
            logging.config.dictConfig({
                "version": 1,
                "disable_existing_loggers": False,
                "handlers": {"file": {"class": "logging.FileHandler", "filename": "shop.log"}},
                "loggers": {"shop": {"handlers": ["file"], "level": "INFO"}},
            })
            """.replace("\n            ", "\n    "),
        )
        loader = project.loader("main:app")
        load(loader), load(loader)
        assert len(shop.handlers) == 1
        assert lines(project, shop) == ["one event"]

    def test_of_a_kind_that_the_first_has_not_added(self, project: Any, shop: logging.Logger, load: Load) -> None:
        project.write("main.py", ADDED + "    if len(logger.handlers) > 1: logger.addHandler(logging.NullHandler())\n")
        loader = project.loader("main:app")
        load(loader), load(loader)
        assert [type(handler) for handler in shop.handlers] == [logging.FileHandler, logging.NullHandler]

    def test_added_before_it_fails(self, project: Any, shop: logging.Logger, load: Load) -> None:
        """An application that cannot be loaded again has not changed the log."""
        project.write("main.py", ADDED + "    assert len(logger.handlers) == 1\n")
        loader = project.loader("main:app")
        load(loader)
        with pytest.raises(Exception, match="cannot be loaded once per thread"):
            load(loader)
        assert lines(project, shop) == ["one event"]

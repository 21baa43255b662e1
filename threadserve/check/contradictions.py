"""A table of settings that contradict each other or have no effect.

Runs on any thread, once the application's interface is known if it ever is. It owns nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from threadserve.check.findings import Finding, Level
from threadserve.config import Config, settings
from threadserve.config.config import ADDRESS_SETTINGS, NOT_SET
from threadserve.logging.wording import join_names


@dataclass(frozen=True)
class Facts:
    """The facts that the rules test.

    `given` are the names of the settings that were given, `interface` is the application's, "auto" if it is not known,
    and `has_gil` is true if the interpreter started with the GIL on.
    """

    config: Config
    given: frozenset[str]
    interface: str
    has_gil: bool
    cpus: int

    @property
    def threads(self) -> int:
        """The number of threads, asked for or by default."""
        return self.config.thread_count

    @property
    def is_one_thread(self) -> bool:
        """True if one thread was asked for."""
        return self.config.threads == 1

    @property
    def is_not_wsgi(self) -> bool:
        """True if the application is known not to be a WSGI application."""
        return self.interface not in ("wsgi", "auto")


@dataclass(frozen=True)
class Rule:
    """Options that have no effect or cannot be used, for this `reason`, where `applies` returns True."""

    code: str
    options: tuple[str, ...]
    applies: Callable[[Facts], bool]
    reason: str
    remedy: str
    level: Level = Level.WARN


TLS_OPTIONS = ("ssl_keyfile_password", "ssl_version", "ssl_cert_reqs", "ssl_ca_certs", "ssl_ciphers")
RELOAD_OPTIONS = ("reload_dirs", "reload_includes", "reload_excludes", "reload_delay")

RULES = (
    Rule(
        "reload-with-workers",
        ("reload",),
        lambda facts: facts.config.reload and facts.config.workers not in (None, 1),
        "it serves with one process, and the server does not start with --workers",
        "Leave out --workers, or use --threads.",
        Level.BREAK,
    ),
    Rule(
        "threads-with-gil",
        ("threads",),
        lambda facts: facts.threads > 1 and facts.has_gil,
        "this Python has the GIL, so threads take turns",
        "Use free-threaded Python, or --workers.",
    ),
    Rule(
        "workers-beyond-cpus",
        ("workers",),
        lambda facts: facts.threads > 1 and facts.config.worker_count > facts.cpus,
        "there are more workers than CPUs already, and each has several threads",
        "Leave out one of --workers and --threads, or use --threads auto, which divides the CPUs among the workers.",
    ),
    Rule(
        "app-shared-unused",
        ("app_shared",),
        lambda facts: facts.config.app_instance == "shared",
        "--app-instance shared keeps all of the application in one copy",
        "Leave out one of the two.",
    ),
    Rule(
        "app-shared-unused",
        ("app_shared",),
        lambda facts: facts.interface == "wsgi",
        "there is one copy of a WSGI application",
        "Leave it out.",
    ),
    Rule(
        "one-thread",
        ("app_shared", "app_instance", "distribute"),
        lambda facts: facts.is_one_thread,
        "there is one thread",
        "Leave it out, or ask for more threads.",
    ),
    Rule(
        "not-wsgi",
        ("wsgi_threads", "wsgi_queue"),
        lambda facts: facts.is_not_wsgi,
        "the application is not a WSGI application",
        "Leave it out.",
    ),
    Rule(
        "not-asgi",
        ("cancel_on_disconnect", "app_threads"),
        lambda facts: facts.interface == "wsgi",
        "it is for ASGI applications",
        "Leave it out.",
    ),
    Rule(
        "delay-unseen",
        ("shutdown_delay",),
        lambda facts: facts.config.admin_bind is None,
        "it is told by /readyz at the admin address, and there is none",
        "Add --admin-bind.",
    ),
    Rule(
        "lifespan-of-wsgi",
        ("lifespan",),
        lambda facts: facts.interface == "wsgi" and facts.config.lifespan == "on",
        "WSGI applications have no lifespan events",
        "Leave it out.",
    ),
    Rule(
        "reload-unused",
        RELOAD_OPTIONS,
        lambda facts: not facts.config.reload,
        "nothing is watched for changes without --reload",
        "Add --reload, or leave it out.",
    ),
    Rule(
        "uds-permissions-unused",
        ("uds_permissions",),
        lambda facts: not (facts.config.uds or any(each.startswith("unix:") for each in facts.config.bind)),
        "there is no Unix socket to make",
        "Add --uds or --bind unix:PATH, or leave it out.",
    ),
    Rule(
        "address-unused",
        ("host", "port"),
        lambda facts: any(getattr(facts.config, name) not in NOT_SET for name in ADDRESS_SETTINGS),
        "another setting says where to listen",
        "Leave it out.",
    ),
    Rule(
        "tls-without-certificate",
        (*TLS_OPTIONS, "timeout_ssl_handshake"),
        lambda facts: not facts.config.is_ssl,
        "nothing is encrypted without a certificate",
        "Add --ssl-certfile, or leave it out.",
    ),
    Rule(
        "proxies-unused",
        ("forwarded_headers",),
        lambda facts: not facts.config.proxy_headers,
        "--no-proxy-headers has no proxy's headers believed",
        "Leave out one of the two.",
    ),
    Rule(
        "proxies-unused",
        ("forwarded_allow_ips",),
        lambda facts: not (facts.config.proxy_headers or facts.config.proxy_protocol),
        "--no-proxy-headers has no proxy's headers believed",
        "Leave out one of the two.",
    ),
    Rule(
        "access-log-off",
        ("access_log_format",),
        lambda facts: not facts.config.access_log,
        "--no-access-log turns that log off",
        "Leave out one of the two.",
    ),
    Rule(
        "jitter-of-nothing",
        ("limit_max_requests_jitter",),
        lambda facts: facts.config.limit_max_requests is None,
        "it is added to --limit-max-requests, which is not there",
        "Add --limit-max-requests, or leave it out.",
    ),
    Rule(
        "h11-unused",
        ("h11_max_incomplete_event_size",),
        lambda facts: facts.config.http != "h11",
        "it is for --http h11",
        "Use --limit-request-header-size.",
    ),
)


def find_contradictions(facts: Facts) -> list[Finding]:
    """Return a finding for each rule that applies to settings that are given."""
    found = []
    for rule in RULES:
        if (options := list_given_flags(rule.options, facts.given)) and rule.applies(facts):
            message = f"{join_names(options)}: {rule.reason}."
            found.append(Finding(rule.level, rule.code, message, rule.remedy))
    return found


def list_given_flags(options: Iterable[str], given: frozenset[str]) -> list[str]:
    """Return those of the options that are given, as on the command line."""
    declared = {each.name: each.metadata["flag"] or f"--{each.name.replace('_', '-')}" for each in settings()}
    return [declared[name] for name in options if name in given]

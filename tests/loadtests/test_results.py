"""Medians, ratios and verdicts made of samples."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.clients.latency import percentile
from loadtests.figures.all import FIGURES
from loadtests.figures.figure import Figure, Goal, Peer, against
from loadtests.figures.report import Outcome, Sample, all_reached, markdown, rows, write_json
from loadtests.servers.commands import Server, fixed_bytes, granian, h2corn, uvicorn

NAMED = {figure.name: figure for figure in FIGURES}
HELLO = replace(NAMED["hello"], peers=(against(uvicorn(), requests=1.6),))
WITHOUT_ACCESS_LOG = ("gunicorn", "hypercorn", "waitress", fixed_bytes().module)
KINDS = ("PSS MB", "USS MB", "RSS MB")


def samples(server: Server, value: str, numbers: list[float], problems: list[str] | None = None) -> list[Sample]:
    return [
        Sample(server.label, number, [], {value: measured}, {}, problems or [])
        for number, measured in enumerate(numbers, start=1)
    ]


def rates(figure: Figure, ours: list[float], theirs: list[float]) -> Outcome:
    """An outcome in which every peer was measured alike."""
    others = [sample for server in figure.servers[1:] for sample in samples(server, "requests/s", theirs)]
    return Outcome(figure, samples(figure.ours, "requests/s", ours) + others)


def test_the_ratio_is_of_medians() -> None:
    (row,) = rows(rates(HELLO, [90_000, 1, 100_000, 80_000, 999_000], [50_000, 60_000, 40_000]))
    assert (row.ours.median, row.ours.least, row.ours.greatest) == (90_000, 1, 999_000)
    assert row.ratio == pytest.approx(1.8)
    assert row.target == "at least 1.6"
    assert row.reached


def test_a_rate_has_to_reach_its_target() -> None:
    assert all_reached([rates(HELLO, [80_000], [50_000])])
    assert not all_reached([rates(HELLO, [79_999], [50_000])])


def test_a_time_must_not_exceed_its_target() -> None:
    figure = NAMED["blocked-loop"]

    def outcome(ours: float) -> Outcome:
        measured = [(figure.ours, ours), (figure.servers[1], 3.0)]
        return Outcome(
            figure, [Sample(server.label, 1, [], {"p99 ms": p99, "p50 ms": 1}, {}, []) for server, p99 in measured]
        )

    assert all_reached([outcome(6.0)])
    assert not all_reached([outcome(6.1)])
    assert [(row.value, row.target) for row in rows(outcome(6.0))] == [("p99 ms", "at most 2"), ("p50 ms", None)]


def test_every_peer_has_to_be_reached_by_a_ratio_of_its_own() -> None:
    figure = replace(
        HELLO, peers=(against(uvicorn(), requests=1.3), against(h2corn("ordinary", workers=1), requests=2))
    )
    assert all_reached([rates(figure, [200], [100])])
    outcome = rates(figure, [199], [100])
    assert [(row.target, row.reached) for row in rows(outcome)] == [("at least 1.3", True), ("at least 2", False)]
    assert not all_reached([outcome])


def test_the_best_way_of_a_peer_counts_and_the_others_are_shown() -> None:
    one, two = granian(1), granian(2)
    figure = replace(HELLO, peers=(against(one, two, requests=1.3),))
    outcome = Outcome(figure, samples(figure.ours, "requests/s", [130]))
    outcome.samples += [*samples(one, "requests/s", [90, 90, 300]), *samples(two, "requests/s", [101, 101, 10])]
    assert [(row.peer, row.target, row.reached) for row in rows(outcome)] == [
        (one.label, None, None),
        (two.label, "at least 1.3", False),
    ]
    outcome.samples = [sample for sample in outcome.samples if sample.server != two.label]
    assert [(row.peer, row.reached) for row in rows(outcome)] == [(one.label, True)]


def test_the_best_is_the_least_of_what_must_not_be_exceeded() -> None:
    ways = (fixed_bytes(), uvicorn())
    figure = replace(HELLO, peers=(Peer(ways, (Goal("CPU µs per request", "at most", 2.5),)),))
    measured = [(figure.ours, 20.0), (ways[0], 8.0), (ways[1], 7.9)]
    outcome = Outcome(figure, [s for server, cpu in measured for s in samples(server, "CPU µs per request", [cpu])])
    assert [(row.target, row.reached) for row in rows(outcome)] == [(None, None), ("at most 2.5", False)]


def test_problems_and_failures_count_against_a_figure() -> None:
    good = rates(HELLO, [100], [50])
    assert all_reached([good])
    assert not all_reached([replace(good, failure="interrupted")])
    doubtful = replace(good, samples=[*good.samples[1:], *samples(HELLO.ours, "requests/s", [100], ["3 read errors"])])
    assert not all_reached([doubtful])
    assert not all_reached([Outcome(HELLO)])


def test_the_table_shows_rows_complaints_and_command_lines() -> None:
    outcome = rates(HELLO, [104_000, 100_000, 106_000], [52_000, 50_000, 54_000])
    outcome.failure = "interrupted"
    text = markdown([outcome])
    assert (
        "| 104,000 (100,000-106,000) | Uvicorn, 1 worker | 52,000 (50,000-54,000) | 2.00 | at least 1.6 | yes |" in text
    )
    assert "* hello: interrupted" in text
    assert "* hello: `ordinary-python -m uvicorn --host 127.0.0.1 --port PORT --workers 1 " in text


def test_what_was_measured_of_one_server_alone_is_kept_raw(tmp_path: Path) -> None:
    outcome = Outcome(HELLO, samples(HELLO.ours, "requests/s", [1.5]), "interrupted")
    write_json(tmp_path / "new" / "results.json", {"date": "today"}, [outcome])
    written = json.loads((tmp_path / "new" / "results.json").read_text())
    assert written["date"] == "today"
    assert written["figures"]["hello"]["rows"] == []
    assert written["figures"]["hello"]["samples"][0]["values"] == {"requests/s": 1.5}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["results.json"]


def test_percentiles_are_nearest_rank() -> None:
    times = [float(number) for number in range(200, 0, -1)]
    assert percentile(times, 50) == 100
    assert percentile(times, 99) == 198
    assert percentile([7.0], 99) == 7
    assert percentile([float(number) for number in range(1000)], 99.9) == 998


def test_a_value_by_itself_needs_no_peer() -> None:
    figure = NAMED["wsgi-streaming"]

    def outcome(up: float, down: float) -> Outcome:
        values = {"MB grown by upload": up, "MB grown by download": down}
        return Outcome(figure, [Sample(figure.ours.label, 1, [], values, {}, [])])

    assert all_reached([outcome(20, 0.5)])
    assert not all_reached([outcome(0.5, 20.1)])
    assert "| MB grown by download | 20.1 (20.1-20.1) |  |  |  | at most 20 | no |" in markdown([outcome(0.5, 20.1)])


def test_what_is_only_shown_by_itself_has_no_verdict() -> None:
    figure = NAMED["ws-idle"]
    values = {"kB beyond": 11, "kB per WebSocket": 15, "kB per keep-alive connection": 4}
    outcome = Outcome(figure, [Sample(figure.ours.label, 1, [], dict(values), {}, [])])
    assert [row.reached for row in rows(outcome)] == [True, None, None]
    assert all_reached([outcome])


def test_each_of_several_goals_has_its_own_direction() -> None:
    figure = NAMED["wsgi-flask"]

    def outcome(rate: float, memory: float) -> Outcome:
        measured = [(figure.ours, rate, memory), (figure.servers[1], 100.0, 100.0)]
        return Outcome(
            figure,
            [
                Sample(server.label, 1, [], {"requests/s": fast, **dict.fromkeys(KINDS, used)}, {}, [])
                for server, fast, used in measured
            ],
        )

    assert all_reached([outcome(140, 70)])
    assert not all_reached([outcome(139, 70)])
    assert not all_reached([outcome(140, 71)])


def test_a_server_that_is_left_out_counts_against_the_figure() -> None:
    good = rates(HELLO, [100], [50])
    good.left_out.append("Waitress is left out")
    assert not all_reached([good])
    assert "* hello: Waitress is left out" in markdown([good])


def test_servers_of_a_figure_serve_alike() -> None:
    """Gunicorn, Hypercorn and Waitress write no access log unless they are asked."""
    for figure in FIGURES:
        labels = [server.label for server in figure.servers]
        assert len(set(labels)) == len(labels)
        logging = "--access-log" if figure.access_log else "--no-access-log"
        asked = [server for server in figure.servers if server.module not in WITHOUT_ACCESS_LOG]
        assert all(logging in server.options for server in asked)
        assert not figure.access_log or len(asked) == len(figure.servers)


def test_names_of_figures_are_unique_and_documented_and_servers_compared() -> None:
    assert len(NAMED) == len(FIGURES)
    readme = (Path(__file__).parents[2] / "loadtests/README.md").read_text()
    for figure in FIGURES:
        assert f"`{figure.name}`" in readme
        assert figure.peers or figure.alone
        assert all(peer.ways and peer.goals for peer in figure.peers)

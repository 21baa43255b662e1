"""The deployment for Kubernetes: its numbers fit, and its probes find what they ask for."""

from typing import Any

import pytest
from support.deployment import DEPLOYMENT, CommandLine, port_of, wait_for_status
from support.server_process import ServerProcess

from loadtests.servers.ports import free_port

yaml = pytest.importorskip("yaml", reason="PyYAML is optional")
FILE = DEPLOYMENT / "kubernetes" / "deployment.yaml"
PROBES = ["startupProbe", "readinessProbe", "livenessProbe"]


def documents() -> dict[str, Any]:
    """The documents of the file, by their kinds."""
    return {document["kind"]: document for document in yaml.safe_load_all(FILE.read_text())}


def pod() -> Any:
    """What the deployment makes pods of."""
    return documents()["Deployment"]["spec"]["template"]["spec"]


def container() -> Any:
    """The pod's only container."""
    [only] = pod()["containers"]
    return only


def command() -> CommandLine:
    """The container's command line."""
    return CommandLine([*container()["command"], *container()["args"]])


def ports() -> dict[str, int]:
    """The container's ports, by their names."""
    return {port["name"]: port["containerPort"] for port in container()["ports"]}


def patience(probe: dict[str, Any]) -> float:
    """The seconds after which a probe that fails has its effect."""
    return float(probe["periodSeconds"] * probe["failureThreshold"])


def test_a_pod_has_time_to_stop() -> None:
    assert pod()["terminationGracePeriodSeconds"] >= command().seconds_to_stop()


def test_no_connection_comes_to_a_server_that_has_stopped_listening() -> None:
    readiness = container()["readinessProbe"]
    delay = float(command().options["--shutdown-delay"])
    assert delay >= patience(readiness) + readiness.get("timeoutSeconds", 1)
    strategy = documents()["Deployment"]["spec"]["strategy"]["rollingUpdate"]
    assert (strategy["maxUnavailable"], strategy["maxSurge"]) == (0, 1)


def test_a_pod_leaves_the_service_long_before_it_is_killed() -> None:
    assert patience(container()["livenessProbe"]) > 2 * patience(container()["readinessProbe"])


def test_the_service_leads_to_the_pods_and_not_to_the_admin_port() -> None:
    service = documents()["Service"]["spec"]
    deployment = documents()["Deployment"]["spec"]
    assert service["selector"] == deployment["selector"]["matchLabels"] == deployment["template"]["metadata"]["labels"]
    [port] = service["ports"]
    assert port["targetPort"] == "http"
    assert ports()["http"] == port_of(command().options["--bind"])
    assert ports()["admin"] == port_of(command().options["--admin-bind"])


def test_every_volume_is_there() -> None:
    mounted = {mount["name"] for mount in container()["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod()["volumes"]}


def test_its_command_and_its_probes() -> None:
    given = command()
    free = {name: free_port() for name in ports()}
    changes = {
        "--bind": f"127.0.0.1:{free['http']}",
        "--admin-bind": f"127.0.0.1:{free['admin']}",
        "--shutdown-delay": "3600",
    }
    with ServerProcess("examples.hello:app", *given.words(changes)) as server:
        urls = {}
        for name in PROBES:
            asked = container()[name]["httpGet"]
            urls[name] = f"http://127.0.0.1:{free[asked['port']]}{asked['path']}"
            wait_for_status(urls[name], 200, server)
        server.send_signal()
        # For as long as the delay lasts it is not ready, but lives and serves.
        wait_for_status(urls["readinessProbe"], 503, server)
        wait_for_status(urls["livenessProbe"], 200, server)
        wait_for_status(f"http://127.0.0.1:{free['http']}/", 200, server)

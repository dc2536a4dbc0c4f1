"""docker-compose.yml, Dockerfile and what they name: whatever can be known without an engine that runs them."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from headrace.server import STOP_S
from headrace.settings import load
from tests.unit.deploy.files import DEPLOY, ROOT, asked_variables, compose, text_of, variables_of

ROLES = {"distributor", "ingester", "querier"}
SERVICES: dict[str, dict[str, Any]] = compose()["services"]
OF_ROLES = {name: service for name, service in SERVICES.items() if service.get("command", [""])[0] in ROLES}


def seconds(duration: str) -> float:
    return float(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


def environment_of(name: str, variables: dict[str, str] | None = None) -> dict[str, str]:
    environment = compose(variables)["services"][name]["environment"]
    return {key: text_of(value) for key, value in environment.items()}


def test_it_is_the_cluster_that_the_documents_promise() -> None:
    assert SERVICES["distributor"]["deploy"]["replicas"] == SERVICES["querier"]["deploy"]["replicas"] == 2
    zones = [environment_of(name)["HEADRACE_ZONE"] for name in OF_ROLES if name.startswith("ingester")]
    assert sorted(zones) == ["a", "a", "b", "b"]
    names = [environment_of(name)["HEADRACE_NAME"] for name in OF_ROLES if name.startswith("ingester")]
    assert sorted(names) == ["a-0", "a-1", "b-0", "b-1"]


@pytest.mark.parametrize("name", OF_ROLES)
def test_every_variable_is_a_setting_and_its_value_is_taken(name: str) -> None:
    environment = environment_of(name)
    loaded = load(environment=environment)
    assert loaded.unknown_variables == ()
    assert loaded.settings.listen == "0.0.0.0:9009"
    assert loaded.settings.kafka.brokers == ("kafka:9092",)
    assert loaded.settings.kafka.allow_unreplicated_log  # one broker: said aloud, not left to a default
    assert loaded.settings.redis.url == "redis://redis:6379"
    assert loaded.settings.ingester.memory_bytes < bytes_of(SERVICES[name]["mem_limit"]) or "ingester" not in name


def test_three_brokers_are_a_matter_of_the_env_file() -> None:
    variables = variables_of((DEPLOY / "durable.env").read_text().splitlines())
    assert set(variables) - {"COMPOSE_PROFILES"} <= set(asked_variables())
    settings = load(environment=environment_of("distributor", variables)).settings
    assert settings.kafka.brokers == ("kafka:9092", "kafka-2:9092", "kafka-3:9092")
    assert (settings.kafka.replication, settings.kafka.min_isr) == (3, 2)
    assert not settings.kafka.allow_unreplicated_log
    for number, broker in enumerate(settings.kafka.brokers, 1):
        host = broker.partition(":")[0]
        environment = environment_of(host, variables)
        assert environment["KAFKA_NODE_ID"] == str(number)
        assert environment["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{broker}"
        assert f"{number}@{host}:9093" in environment["KAFKA_CONTROLLER_QUORUM_VOTERS"]
    assert variables["COMPOSE_PROFILES"] in SERVICES["kafka-2"]["profiles"]


def test_an_env_is_made_with_secrets_that_are_taken_and_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    script = shutil.copy(DEPLOY / "make-env.sh", tmp_path / "deploy")
    subprocess.run([script], check=True, capture_output=True, timeout=30)
    made = tmp_path / ".env"
    assert made.stat().st_mode & 0o077 == 0
    variables = variables_of(made.read_text().splitlines())
    assert set(variables) <= set(asked_variables())
    settings = load(environment=environment_of("querier", variables)).settings
    secrets = [settings.cluster_secret, settings.admin_token, settings.bootstrap_token, settings.key]
    assert len({secret.get_secret_value() for secret in secrets if secret is not None}) == 4
    again = subprocess.run([script], check=False, capture_output=True, text=True, timeout=30)
    assert again.returncode == 1
    assert "in use" in again.stderr
    assert made.read_text().count(variables["HEADRACE_KEY"]) == 1


@pytest.mark.parametrize(
    ("published", "refused"),
    [
        ("127.0.0.1:9009", False),
        ("localhost:9009", False),
        ("[::1]:9009", False),
        ("0.0.0.0:9009", True),
        ("9009", True),
        ("192.168.1.5:80", True),
    ],
)
def test_known_secrets_serve_this_machine_alone(tmp_path: Path, published: str, *, refused: bool) -> None:
    (tmp_path / "deploy").mkdir()
    subprocess.run([shutil.copy(DEPLOY / "make-env.sh", tmp_path / "deploy")], check=True, capture_output=True)
    own = variables_of((tmp_path / ".env").read_text().splitlines())
    for variables, expected in [
        ({"GATEWAY_PUBLISH": published}, refused),
        ({**own, "GATEWAY_PUBLISH": published}, False),
        ({**own, "GATEWAY_PUBLISH": published, "HEADRACE_KEY": ""}, refused),
    ]:
        run = subprocess.run(
            ["sh", "-c", f". {DEPLOY / 'gateway.envsh'}"],
            env=environment_of("gateway", variables),
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert run.returncode == int(expected), (variables, run.stderr)
        assert ("make-env.sh" in run.stderr) == expected


@pytest.mark.parametrize(
    ("text", "resolver"),
    [
        ("search x\nnameserver 10.89.0.1\nnameserver 9.9.9.9\n", "10.89.0.1"),
        ("nameserver fd00::1\n", "[fd00::1]"),
    ],
)
def test_the_gateway_asks_the_name_server_that_knows_containers(tmp_path: Path, text: str, resolver: str) -> None:
    (tmp_path / "resolv.conf").write_text(text)
    run = subprocess.run(
        ["sh", "-ec", f". {DEPLOY / 'gateway.envsh'}; env"],
        env={**environment_of("gateway"), "RESOLV_CONF": str(tmp_path / "resolv.conf")},
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert f"GATEWAY_RESOLVER={resolver}" in run.stdout.splitlines()


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_bounded_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    assert "container_name" not in service  # two clusters on one machine would meet in it
    assert service["restart"] == "unless-stopped" or "load" in service.get("profiles", [])
    assert bytes_of(service["mem_limit"]) >= 256 << 20
    image = service["image"]
    assert re.fullmatch(r"[a-z0-9/]+:[a-z0-9.-]*\d[a-z0-9.-]*|headrace:local", image), image
    assert all(published.startswith("127.0.0.1:") for published in service.get("ports", []))
    if not service.get("profiles") or "durable" in service["profiles"]:
        assert service["healthcheck"]["test"][0] == "CMD"
    depends = service.get("depends_on", [])
    assert isinstance(depends, list)  # for stops; no condition, since no start relies on an order
    assert set(depends) <= set(SERVICES)


@pytest.mark.parametrize("name", OF_ROLES)
def test_every_role_is_replaceable_and_has_time_to_stop(name: str) -> None:
    service = SERVICES[name]
    assert "volumes" not in service
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert seconds(service["stop_grace_period"]) > load(environment=environment_of(name)).settings.drain_s + STOP_S
    assert service["image"] == "headrace:local"
    assert service["pull_policy"] == "never"


def test_only_the_log_and_the_store_keep_anything() -> None:
    declared = set(compose()["volumes"])
    assert declared == {"kafka", "kafka-2", "kafka-3", "redis"}
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            assert source in declared or (ROOT / source).exists(), volume
            assert target.startswith("/")


def test_redis_keeps_what_it_is_given() -> None:
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert 2 * bytes_of(options["--maxmemory"]) <= bytes_of(SERVICES["redis"]["mem_limit"])


def test_the_image_checks_its_health_as_the_services_do() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    command = re.search(r"HEALTHCHECK .*CMD \[(.*)\]", dockerfile)
    assert command is not None
    assert [word.strip(' "') for word in command[1].split(",")] == SERVICES["querier"]["healthcheck"]["test"][1:]
    assert "STOPSIGNAL SIGTERM" in dockerfile
    assert "\nUSER headrace" in dockerfile


def test_what_the_image_is_built_from_reaches_the_build() -> None:
    """Everything is left out but what .dockerignore names."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    packages = re.search(r"python-packages = \[(.*)\]", (ROOT / "pyproject.toml").read_text())
    assert packages is not None
    needed = {word.strip(' "') for word in packages[1].split(",")}
    assert needed | {"native", "Cargo.toml", "Cargo.lock", "pyproject.toml", "requirements/run.txt"} <= let_in
    assert all((ROOT / path).exists() for path in let_in)


def bytes_of(size: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([mg])b?", size).groups()  # type: ignore[union-attr]
    return int(number) << {"m": 20, "g": 30}[unit]

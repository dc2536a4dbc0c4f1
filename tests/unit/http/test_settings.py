"""Settings from flags, variables and YAML, and what is said when one is wrong."""

from pathlib import Path

import pytest

from headrace.settings import (
    ClusterRole,
    Loaded,
    SettingsError,
    check_needs,
    load,
    setting_paths,
    split_address,
    validated,
    variable_of,
)
from headrace.settings.addresses import split_advertised

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "settings.md"


def of(environment: dict[str, str] | None = None, **flags: object) -> Loaded:
    return load(environment=environment or {}, flags=flags)


def test_the_defaults_are_valid() -> None:
    settings = of().settings
    assert settings.listen == "127.0.0.1:9009"
    assert settings.vault_key_file == Path("data/token.key")


def test_flags_win_over_variables_and_variables_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "h.yml"
    file.write_text("listen: 127.0.0.1:1\ndata: file\nquery: {timeout_s: 1, threads: 7}\nlimits: {max_series: 10}\n")
    environment = {"HEADRACE_LISTEN": "127.0.0.1:2", "HEADRACE_DATA": "variable", "HEADRACE_QUERY__TIMEOUT_S": "2"}
    settings = load(file, environment=environment, flags={"listen": "127.0.0.1:3", "data": None}).settings
    assert settings.listen == "127.0.0.1:3"
    assert settings.data == Path("variable")
    assert (settings.query.timeout_s, settings.query.threads) == (2.0, 7)
    assert settings.limits.max_series == 10


def test_the_file_can_be_named_by_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "h.yml"
    file.write_text("data: elsewhere\n")
    assert of({"HEADRACE_CONFIG": str(file)}).settings.data == Path("elsewhere")


def test_a_section_of_comments_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "h.yml"
    file.write_text("query:\n  # timeout_s: 5\nlimits:\n  # max_series: 5\n")
    assert load(file, environment={}).settings == of().settings


def test_none_stands_for_no_bound() -> None:
    settings = of({"HEADRACE_LIMITS__MAX_FUTURE_S": "none", "HEADRACE_INGESTER__RETENTION_S": "none"}).settings
    assert settings.limits.max_future_s is None
    assert settings.ingester.retention_s is None


def test_variables_of_others_are_noted_not_refused() -> None:
    assert of({"HEADRACE_PORT": "tcp://10.0.0.1:9009", "PATH": "/bin"}).unknown_variables == ("HEADRACE_PORT",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("listen: here", "listen ({file}): must be HOST:PORT"),
        ("query: {timeout_s: -1}", "query.timeout_s ({file}): must be greater than 0, not -1"),
        ("query: {timeut_s: 1}", "did you mean query.timeout_s?"),
        ("quary: {}", "there is no such setting"),
        ("limits: {max_series: many}", "max_series must be a whole number above 0, not 'many'"),
        ("limits: {max_serie: 1}", "there is no limit max_serie; the limits are"),
        ("limits: {max_labels: none}", "max_labels must be a number; it cannot be none"),
        ("logging: {level: loud}", "logging.level ({file})"),
        ("admin_token: short", "16 to 512 characters"),
        ("admin_token: 1234567890123456", "admin_token ({file}): must be a valid string, not what is given"),
        ("bootstrap_app_id: two words", "bootstrap_app_id ({file}): an APPID has"),
        ("query: 5", "query ({file}): holds settings as `name: value` below it, not 5"),
        ("limits: 5", "limits ({file}): holds limits as `name: value` below it, not 5"),
        ("kafka: {brokers: 'a:1,b'}", "kafka.brokers ({file}): must be HOST:PORT with a port up to 65535, not 'b'"),
        ("kafka: {brokers: 9092}", "kafka.brokers ({file})"),
        ("kafka: {replication: 1}", "min_isr 2 is more than replication 1: nothing could be written"),
        ("kafka: {sasl_mechanism: PLAIN}", "sasl_mechanism needs sasl_user and sasl_password"),
        ("kafka: {topic: 'a b'}", "kafka.topic ({file})"),
        ("redis: {url: 'http://h:1'}", "redis.url ({file}): must begin with redis:// or rediss://"),
        ("redis: {url: 'redis://:s3cret@h:1'}", "redis.url ({file}): holds credentials: give them as redis.user"),
        ("redis: {url: 'redis://h:1/x'}", "redis.url ({file}): must end with the number of a database"),
        ("redis: {url: 'redis://h'}", "redis.url ({file}): must be HOST:PORT"),
        (
            "redis: {url: 'redis://h:1,i:2'}",
            "redis ({file}): several hosts are those of a Redis Cluster: set redis.cluster",
        ),
        ("redis: {url: 'redis://h:1/3', cluster: true}", "redis ({file}): a Redis Cluster has no databases"),
        ("grpc: {advertise: 0.0.0.0}", "grpc.advertise ({file}): must be HOST or HOST:PORT that others can reach"),
        ("grpc: {cert_file: a}", "cert_file and key_file belong together"),
        ("key: [s3cret]", "key ({file}): must be a valid string, not what is given"),
        ("key: s3cret", "key ({file}): must hold keys of 64 hex digits"),
        ("cluster_secret: s3cret", "cluster_secret ({file}): a token has 16 to 512 characters"),
        ("name: a/b", "name ({file})"),
        ("- 1", "must hold settings"),
        ("{", "is not YAML"),
    ],
)
def test_a_wrong_setting_is_named_with_its_origin(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "h.yml"
    file.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load(file, environment={})
    assert message.format(file=file) in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "h.yml"
    file.write_text("listen: here\npartitions: 0\n")
    with pytest.raises(SettingsError) as refused:
        load(file, environment={"HEADRACE_QUERY__THREADS": "few"})
    lines = str(refused.value).splitlines()
    assert len(lines) == 3
    assert any("query.threads (HEADRACE_QUERY__THREADS)" in line for line in lines)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yml: cannot be read"):
        load(Path("nowhere.yml"), environment={})


def test_secrets_are_not_shown() -> None:
    loaded = of({"HEADRACE_ADMIN_TOKEN": "s3cret-s3cret-s3cret", "HEADRACE_BOOTSTRAP_TOKEN": "s3cret-s3cret-s3cret"})
    assert "s3cret" not in repr(loaded)
    assert "s3cret" not in loaded.settings.model_dump_json()
    with pytest.raises(SettingsError) as refused:
        of({"HEADRACE_ADMIN_TOKEN": "s3cret"})
    assert "s3cret" not in str(refused.value)


def test_brokers_and_sections_come_from_text_and_from_lists(tmp_path: Path) -> None:
    assert of({"HEADRACE_KAFKA__BROKERS": "a:1, b:2"}).settings.kafka.brokers == ("a:1", "b:2")
    file = tmp_path / "h.yml"
    file.write_text("kafka: {brokers: ['a:1', '[::1]:2']}\n")
    assert load(file, environment={}).settings.kafka.brokers == ("a:1", "[::1]:2")
    assert of(**{"kafka.brokers": "c:3", "zone": None}).settings.kafka.brokers == ("c:3",)
    with pytest.raises(SettingsError, match=r"kafka\.brokers \(--kafka-brokers\): must be HOST:PORT"):
        of(**{"kafka.brokers": "c"})


def test_what_was_given_can_be_validated_again_elsewhere() -> None:
    loaded = of({"HEADRACE_KEY": "ab" * 32, "HEADRACE_REDIS__URL": "redis://h:1"}, workers=3)
    assert validated(loaded.values) == loaded.settings
    assert "abab" not in repr(loaded)


@pytest.mark.parametrize("role", list(ClusterRole))
def test_a_role_says_all_that_it_misses_and_how_to_get_it(role: ClusterRole) -> None:
    with pytest.raises(SettingsError) as refused:
        check_needs(of().settings, role)
    lines = str(refused.value).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["kafka.brokers", "redis.url", "cluster_secret"] + (
        ["key"] if role is not ClusterRole.INGESTER else []
    )
    assert all(f"the {role} needs it" in line for line in lines)
    assert "cluster_secret (HEADRACE_CLUSTER_SECRET)" in lines[2]
    assert "openssl rand -hex 32" in lines[2]
    given = {"KAFKA__BROKERS": "a:1", "REDIS__URL": "redis://h:1", "CLUSTER_SECRET": "x" * 16, "KEY_FILE": "key"}
    check_needs(of({f"HEADRACE_{name}": value for name, value in given.items()}).settings, role)


@pytest.mark.parametrize(
    ("text", "address"), [("h", ("h", None)), ("h:1", ("h", 1)), ("[::1]", ("::1", None)), ("[::1]:2", ("::1", 2))]
)
def test_advertised_addresses(text: str, address: tuple[str, int | None]) -> None:
    assert split_advertised(text) == address


@pytest.mark.parametrize(("listen", "address"), [("[::1]:80", ("::1", 80)), ("localhost:0", ("localhost", 0))])
def test_addresses(listen: str, address: tuple[str, int]) -> None:
    assert split_address(listen) == address


def test_every_setting_is_documented_with_its_variable() -> None:
    text = DOCUMENT.read_text()
    missing = [path for path in setting_paths() if f"| `{'.'.join(path)}` | `{variable_of(path)}` |" not in text]
    assert not missing


def test_no_setting_is_documented_that_does_not_exist() -> None:
    rows = [line.split("`")[1] for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(".".join(path) for path in setting_paths())


def test_how_redis_is_reached_holds_what_is_set() -> None:
    section = load(
        environment={
            "HEADRACE_REDIS__URL": "rediss://h:1,[::1]:2",
            "HEADRACE_REDIS__CLUSTER": "true",
            "HEADRACE_REDIS__USER": "u",
            "HEADRACE_REDIS__PASSWORD": "p",
            "HEADRACE_REDIS__CA_FILE": "/ca.pem",
        }
    ).settings.redis
    connection = section.connection()
    assert connection.addresses == (("h", 1), ("::1", 2))
    assert connection.url == "rediss://h:1,[::1]:2"
    assert (connection.tls, connection.is_cluster) == (True, True)
    assert (connection.username, connection.password, connection.ca_file) == ("u", "p", Path("/ca.pem"))
    assert "'p'" not in repr(connection)

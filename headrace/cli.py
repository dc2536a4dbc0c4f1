"""The command line."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import quote

import typer

from headrace import allocator, release
from headrace.load.command import load as load_command
from headrace.query.command import query as query_command
from headrace.settings import SERVER_VARIABLE, ClusterRole, Loaded, SettingsError, check_needs, load

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Headrace: a Prometheus backend. Remote write in, PromQL out.",
)
instances = typer.Typer(no_args_is_help=True, help="Create, show and change the instances of a running server.")
config = typer.Typer(no_args_is_help=True, help="Look at settings without starting anything.")
app.add_typer(instances, name="instances")
app.add_typer(config, name="config")
app.command("load")(load_command)
app.command("query")(query_command)

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="The server's data folder; by default HEADRACE_DATA, else ./data.",
        metavar="DIR",
        show_default=False,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="A YAML file with settings; flags and variables win over it.", metavar="FILE"),
]
Listen = Annotated[
    str | None,
    typer.Option(
        help="Address to serve HTTP on; by default HEADRACE_LISTEN, else 127.0.0.1:9009.",
        metavar="HOST:PORT",
        show_default=False,
    ),
]
Brokers = Annotated[
    str | None,
    typer.Option("--kafka-brokers", help="Kafka brokers.", metavar="HOST:PORT[,HOST:PORT…]", show_default=False),
]
Redis = Annotated[
    str | None,
    typer.Option("--redis-url", help="The block store.", metavar="redis://HOST:PORT", show_default=False),
]
Workers = Annotated[
    int | None, typer.Option(help="Processes that share the work, one per core.", metavar="N", show_default=False)
]
Name = Annotated[
    str | None, typer.Option(help="Name of this process; by default the host's.", metavar="NAME", show_default=False)
]
AllowUnreplicated = Annotated[
    bool | None,
    typer.Option(
        "--allow-unreplicated-log", help="Take a topic of which a dead disk loses samples.", show_default=False
    ),
]
AllowUnpersisted = Annotated[
    bool | None,
    typer.Option("--allow-unpersisted-store", help="Take a Redis that keeps nothing on its disk.", show_default=False),
]
Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        help="Address of a distributor or querier of a cluster, or of a gateway to one; by default HEADRACE_SERVER. "
        "HEADRACE_ADMIN_TOKEN holds its admin token.",
        metavar="URL",
        show_default=False,
    ),
]
AppId = Annotated[str, typer.Argument(help="The instance's name.", metavar="APPID", show_default=False)]

USAGE_ERROR = 2


class UsageOutput(StrEnum):
    TABLE = "table"
    JSON = "json"


def main() -> None:
    app(prog_name="headrace")


@app.command()
def standalone(
    listen: Annotated[
        str | None,
        typer.Option(
            help="Address to serve on; by default HEADRACE_LISTEN, else 127.0.0.1:9009.",
            metavar="HOST:PORT",
            show_default=False,
        ),
    ] = None,
    data: Data = None,
    config_file: ConfigFile = None,
) -> None:
    """Run all roles in this process, on the log and store in the data folder."""
    loaded = _load(config_file, {"listen": listen, "data": None if data is None else str(data)})
    from headrace.server import StartError
    from headrace.standalone import run  # the other commands need none of what a server loads

    try:
        run(loaded)
    except StartError as error:
        _fail(str(error))


@app.command()
def distributor(
    listen: Listen = None,
    brokers: Brokers = None,
    redis: Redis = None,
    workers: Workers = None,
    name: Name = None,
    allow_unreplicated_log: AllowUnreplicated = None,
    allow_unpersisted_store: AllowUnpersisted = None,
    config_file: ConfigFile = None,
) -> None:
    """Run the write path of a cluster: remote write in, Kafka out."""
    flags = _cluster_flags(listen, brokers, redis, workers, name, allow_unreplicated_log, allow_unpersisted_store)
    _run_role(ClusterRole.DISTRIBUTOR, _load(config_file, flags))


@app.command()
def ingester(
    listen: Listen = None,
    grpc_listen: Annotated[
        str | None,
        typer.Option(
            help="Address on which queriers ask; by default 127.0.0.1:9095. Worker N listens N ports further on.",
            metavar="HOST:PORT",
            show_default=False,
        ),
    ] = None,
    zone: Annotated[
        str | None, typer.Option(help="Its zone; each zone holds everything.", metavar="NAME", show_default=False)
    ] = None,
    brokers: Brokers = None,
    redis: Redis = None,
    workers: Workers = None,
    name: Name = None,
    allow_unreplicated_log: AllowUnreplicated = None,
    allow_unpersisted_store: AllowUnpersisted = None,
    config_file: ConfigFile = None,
) -> None:
    """Run an ingester of a cluster: Kafka in, blocks to Redis, what is newest to queriers."""
    flags = _cluster_flags(listen, brokers, redis, workers, name, allow_unreplicated_log, allow_unpersisted_store)
    _run_role(ClusterRole.INGESTER, _load(config_file, {**flags, "grpc.listen": grpc_listen, "zone": zone}))


@app.command()
def querier(
    listen: Listen = None,
    brokers: Brokers = None,
    redis: Redis = None,
    workers: Workers = None,
    name: Name = None,
    allow_unreplicated_log: AllowUnreplicated = None,
    allow_unpersisted_store: AllowUnpersisted = None,
    config_file: ConfigFile = None,
) -> None:
    """Run the read path of a cluster: PromQL over its ingesters and blocks."""
    flags = _cluster_flags(listen, brokers, redis, workers, name, allow_unreplicated_log, allow_unpersisted_store)
    _run_role(ClusterRole.QUERIER, _load(config_file, flags))


@app.command(hidden=True)
def worker(role: ClusterRole) -> None:
    """One of the workers of `headrace ROLE --workers N`, which starts it."""
    from headrace.cluster import run_worker
    from headrace.server import StartError

    try:
        run_worker(role)
    except StartError as error:
        _fail(str(error))


@app.command()
def version() -> None:
    """Print the version."""
    print(f"headrace {release()}")


@app.command()
def fsck(
    data: Data = None,
    redis: Annotated[
        str | None,
        typer.Option(
            help="Check a cluster by its Redis, redis://HOST:PORT; redis.cluster, redis.user and the others as set.",
            metavar="URL",
            show_default=False,
        ),
    ] = None,
    brokers: Annotated[
        str | None,
        typer.Option(
            "--kafka-brokers",
            help="Compare its cursors with the log too; kafka.topic, kafka.tls and the others as set.",
            metavar="HOST:PORT[,HOST:PORT…]",
            show_default=False,
        ),
    ] = None,
    config_file: ConfigFile = None,
) -> None:
    """Check manifests, payload and cursors against each other and against the log.

    A standalone server must not be running. A cluster may run: it is only read.
    """
    flags = {"data": None if data is None else str(data), "redis.url": redis, "kafka.brokers": brokers}
    loaded = _load(config_file, flags)
    from headrace.fsck import CheckError, check

    try:
        report = check(loaded.settings)
    except CheckError as error:
        _fail(str(error))
    print(report)
    if report.problems:
        raise typer.Exit(1)


@config.command("check")
def config_check(
    file: Annotated[Path | None, typer.Argument(help="A YAML file.", metavar="FILE", show_default=False)] = None,
) -> None:
    """Validate the settings of a file and of HEADRACE_* variables; print nothing secret."""
    loaded = _load(file)
    for name in loaded.unknown_variables:
        print(f"note: {name} is set, but no setting has this name", file=sys.stderr)
    print("settings are valid")


@instances.command("create")
def create(
    app_id: Annotated[
        str | None, typer.Option(help="Its name; by default a number is made up.", show_default=False)
    ] = None,
    token: Annotated[str | None, typer.Option(help="Its token; by default a random one.", show_default=False)] = None,
    data: Data = None,
    server: Server = None,
) -> None:
    """Create an instance and print its name and token."""
    made = _call(data, server, "POST", "/instances", {"app_id": app_id, "token": token})
    print(f"APPID {made['app_id']}\ntoken {made['token']}")


@instances.command("list")
def list_instances(data: Data = None, server: Server = None) -> None:
    """List the names of all instances."""
    for instance in _call(data, server, "GET", "/instances"):
        print(instance["app_id"])


@instances.command("show")
def show(
    app_id: AppId,
    token: Annotated[bool, typer.Option("--token", help="Show the token too.")] = False,
    data: Data = None,
    server: Server = None,
) -> None:
    """Show an instance, its limits and its features."""
    _print(_instance(data, server, "GET", app_id, "?token=true" if token else ""))


@instances.command("usage")
def usage(
    app_id: Annotated[
        str | None, typer.Argument(help="One instance; by default all.", metavar="[APPID]", show_default=False)
    ] = None,
    output: Annotated[UsageOutput, typer.Option("--output", "-o", help="How to show it.")] = UsageOutput.TABLE,
    data: Data = None,
    server: Server = None,
) -> None:
    """Show what instances use: active series, samples per second over the last minute, bytes in the store."""
    query = "" if app_id is None else f"?app_id={quote(app_id, safe='')}"
    rows = _call(data, server, "GET", f"/usage{query}")
    if output is UsageOutput.JSON:
        _print(rows)
    else:
        print(usage_table(rows))


@instances.command("rotate-token")
def rotate_token(
    app_id: AppId,
    token: Annotated[
        str | None, typer.Option(help="The new token; by default a random one.", show_default=False)
    ] = None,
    data: Data = None,
    server: Server = None,
) -> None:
    """Replace an instance's token and print the new one. The old one stops working at once, in a cluster in seconds."""
    print(_instance(data, server, "POST", app_id, "/token", {"token": token})["token"])


@instances.command("set-limit")
def set_limit(
    app_id: AppId,
    limits: Annotated[
        list[str], typer.Argument(help="For example max_series=100000 or max_age_s=none.", metavar="NAME=VALUE")
    ],
    data: Data = None,
    server: Server = None,
) -> None:
    """Change limits of an instance; in force at once, in a cluster in seconds."""
    _print(_instance(data, server, "PATCH", app_id, "/limits", _assignments("limit", limits)))


@instances.command("set-feature")
def set_feature(
    app_id: AppId,
    features: Annotated[
        list[str], typer.Argument(help="For example experimental_functions=on.", metavar="NAME=on|off")
    ],
    data: Data = None,
    server: Server = None,
) -> None:
    """Switch parts of PromQL that are off by default; in force at once, in a cluster in seconds."""
    _print(_instance(data, server, "PATCH", app_id, "/features", _assignments("feature", features)))


@instances.command("delete")
def delete(
    app_id: AppId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: Data = None,
    server: Server = None,
) -> None:
    """Delete an instance with all its data."""
    if not yes:
        typer.confirm(f"Delete instance {app_id} and all its data?", abort=True)
    _instance(data, server, "DELETE", app_id)
    print(f"deleted {app_id}")


def usage_table(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [["APPID", "SERIES", "SAMPLES/S", "STORED BYTES"]]
    for row in rows:
        rate = f"{row['samples_per_second']:.1f}"
        cells.append([row["app_id"], str(row["active_series"]), rate, str(row["stored_bytes"])])
    first, *others = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join([name.ljust(first), *(text.rjust(width) for text, width in zip(numbers, others, strict=True))])
        for name, *numbers in cells
    )


def _assignments(what: str, texts: list[str]) -> dict[str, str]:
    changes: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            _fail(f"write the {what} as NAME=VALUE, not {text!r}")
        changes[name] = value
    return changes


def _cluster_flags(
    listen: str | None,
    brokers: str | None,
    redis: str | None,
    workers: int | None,
    name: str | None,
    allow_unreplicated_log: bool | None,
    allow_unpersisted_store: bool | None,
) -> dict[str, Any]:
    return {
        "listen": listen,
        "kafka.brokers": brokers,
        "redis.url": redis,
        "workers": workers,
        "name": name,
        "kafka.allow_unreplicated_log": allow_unreplicated_log,
        "redis.allow_unpersisted_store": allow_unpersisted_store,
    }


def _run_role(role: ClusterRole, loaded: Loaded) -> NoReturn:
    allocator.suit(role)  # what comes next loads the native module
    from headrace.cluster import run
    from headrace.server import StartError

    try:
        check_needs(loaded.settings, role)
        raise typer.Exit(run(role, loaded))
    except (SettingsError, StartError) as error:
        _fail(str(error))


def _load(file: Path | None, flags: Mapping[str, Any] | None = None) -> Loaded:
    try:
        return load(file, flags=flags)
    except SettingsError as error:
        _fail(str(error))


def _call(data: Path | None, server: str | None, method: str, path: str, body: object = None) -> Any:
    """Asks the server that was named; a flag wins over a variable, and an address over a folder."""
    from headrace.client import AdminClient, ClientError  # a server needs no HTTP client

    server = server or (os.environ.get(SERVER_VARIABLE) if data is None else None)
    settings = _load(None).settings
    try:
        if server:
            token = settings.admin_token
            client = AdminClient.of_address(server, token.get_secret_value() if token else None)
        else:
            client = AdminClient.of_folder(data if data is not None else settings.data)
        return client.call(method, path, body)
    except ClientError as error:
        _fail(str(error))


def _instance(
    data: Path | None, server: str | None, method: str, app_id: str, rest: str = "", body: object = None
) -> Any:
    return _call(data, server, method, f"/instances/{quote(app_id, safe='')}{rest}", body)


def _print(value: Any) -> None:
    print(json.dumps(value, indent=2))


def _fail(message: str) -> NoReturn:
    for line in message.splitlines():
        print(f"headrace: {line}", file=sys.stderr)
    raise typer.Exit(USAGE_ERROR)

"""Status endpoints, and the empty answers that clients expect from a server that neither scrapes nor alerts."""

import os
import platform
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from querier.api.params import Params, boolean, first, invalid, read_params
from querier.promql.features import Features
from querier.promql.functions import FUNCTIONS
from querier.promql.tokens import quoted
from shared.asgi.envelope import success, to_json
from shared.asgi.messages import Request, Response
from shared.asgi.router import Handler, Route
from shared.auth.authenticator import Authenticator
from shared.model.instance import Instance


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What status endpoints say of the server. `settings` hide secrets; sections nest."""

    version: str
    started_ms: int
    retention: str
    settings: Mapping[str, Any]
    replay: Callable[[], tuple[int, int, int]]
    """(first, last, current) of the replay, as log offsets."""


class StatusApi:
    def __init__(self, authenticator: Authenticator, facts: ServerFacts) -> None:
        self._authenticator = authenticator
        self._facts = facts

    def routes(self) -> dict[str, Route]:
        answers: dict[str, Callable[[Params, Instance], Any]] = {
            "status/buildinfo": self._build_info,
            "status/runtimeinfo": self._runtime_info,
            "status/flags": lambda *_: dict(_flat(self._facts.settings)),
            "status/config": self._config,
            "features": lambda _, instance: _features(instance.features),
            "notifications": lambda *_: [],
            "rules": _rules,
            "alerts": lambda *_: {"alerts": []},
            "targets": lambda *_: {"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}},
            "targets/metadata": lambda *_: [],
            "scrape_pools": lambda *_: {"scrapePools": []},
            "alertmanagers": lambda *_: {"activeAlertmanagers": [], "droppedAlertmanagers": []},
        }
        routes = {
            f"/api/v1/{path}": Route("status", {"GET": self._answering(answer)}) for path, answer in answers.items()
        }
        # Asked for while everything else has to wait.
        progress = Route("status", {"GET": self._answering(self._replay)}, early=True)
        return routes | {"/api/v1/status/walreplay": progress}

    def _answering(self, answer: Callable[[Params, Instance], Any]) -> Handler:
        async def handle(request: Request) -> Response:
            instance = await self._authenticator.authenticate(request.headers.get(b"authorization"))
            return success(to_json(answer(await read_params(request), instance)))

        return handle

    def _replay(self, *_: object) -> dict[str, int]:
        first, last, current = self._facts.replay()
        return {"min": first, "max": last, "current": current}

    def _build_info(self, *_: object) -> dict[str, str]:
        # No `features`: Grafana would take us for Mimir.
        return {
            "version": self._facts.version,
            "revision": "",
            "branch": "",
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
        }

    def _config(self, *_: object) -> dict[str, str]:
        import yaml  # hardly anybody asks

        return {"yaml": yaml.safe_dump(dict(self._facts.settings), sort_keys=False)}

    def _runtime_info(self, *_: object) -> dict[str, Any]:
        return {
            "startTime": _rfc3339(self._facts.started_ms),
            "CWD": str(Path.cwd()),
            "hostname": socket.gethostname(),
            "serverTime": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "reloadConfigSuccess": True,
            "lastConfigTime": _rfc3339(self._facts.started_ms),
            "corruptionCount": 0,
            "goroutineCount": 0,
            "GOMAXPROCS": os.cpu_count() or 1,
            "GOMEMLIMIT": 0,
            "GOGC": "",
            "GODEBUG": platform.python_version(),
            "storageRetention": self._facts.retention,
        }


def _features(features: Features) -> dict[str, dict[str, bool]]:
    """What a client of this instance can use."""
    return {
        "api": {
            "exclude_alerts": True,
            "label_values_match": True,
            "labels_match": True,
            "query_stats": True,
            "time_range_labels": True,
        },
        "promql": {
            "anchored": features.extended_range_selectors,
            "at_modifier": True,
            "bool": True,
            "by": True,
            "delayed_name_removal": features.delayed_name_removal,
            "duration_expr": True,
            "fill": features.binop_fill_modifiers,
            "fill_left": features.binop_fill_modifiers,
            "fill_right": features.binop_fill_modifiers,
            "group_left": True,
            "group_right": True,
            "negative_offset": True,
            "smoothed": features.extended_range_selectors,
            "start_timestamps": features.use_start_timestamps,
            "subqueries": True,
            "type_and_unit_labels": features.type_and_unit_labels,
            "without": True,
        },
        "promql_functions": {
            name: features.experimental_functions or not function.experimental
            for name, function in sorted(FUNCTIONS.items())
        },
    }


def _rules(params: Params, _: Instance) -> dict[str, Any]:
    kind = first(params, "type").lower()
    if kind not in {"", "alert", "record"}:
        raise invalid("type", f"not supported value {quoted(kind)}")
    boolean(params, "exclude_alerts")  # there are none: only checked
    return {"groups": []}


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, "none" if value is None else str(value)


def _rfc3339(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat().replace("+00:00", "Z")

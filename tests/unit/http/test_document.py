"""`docs/http.md` against the server's own routes."""

import re
from pathlib import Path

from headrace.admin import create_app
from headrace.admin_token import AdminGate
from tests.support.server import ADMIN, serving

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "http.md"


def documented() -> set[str]:
    """The paths in the first cell of every row."""
    rows = [line.split(" | ")[0] for line in DOCUMENT.read_text().splitlines() if line.startswith("| `/")]
    return {path for row in rows for path in re.findall(r"`(/[^`]*)`", row)}


async def test_every_path_is_documented_and_no_other(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as server:
        administered = create_app(server.front.known_instances, AdminGate(ADMIN), {})
        paths = set(server.front.router.paths()) | {str(getattr(route, "path", "")) for route in administered.routes}
    assert {re.sub(r"\{app_id\}", "APPID", path) for path in paths} == documented()


def test_every_reason_of_refusal_is_documented() -> None:
    stub = (DOCUMENT.parents[1] / "shared" / "_native.pyi").read_text()
    reasons = re.findall(r"\w+_\w+", stub.split("Reasons: ")[1].split("which")[0])
    text = DOCUMENT.read_text()
    assert len(reasons) == 16
    assert not [reason for reason in reasons if f"`{reason}`" not in text]

"""What a person sees first: where the server is, and what to paste where."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Banner:
    """`token` is None where a terminal is not what reads this: logs are kept, and read by others."""

    version: str
    command: str
    address: str
    data: Path
    app_id: str
    created: bool
    token: str | None = field(repr=False)

    def text(self) -> str:
        show = f"{self.command} instances show {self.app_id} --token --data {self.data}"
        token = self.token or "TOKEN"
        instance = f"  instance   {self.app_id}" + (" (new)" if self.created else "")
        return "\n".join(
            [
                "",
                f"Headrace {self.version} listens on {self.address}",
                "",
                f"  data       {self.data.absolute()}",
                instance,
                f"  token      {self.token or 'shown by: ' + show}",
                "",
                "Paste into prometheus.yml:",
                "",
                "  remote_write:",
                f"    - url: {self.address}/api/v1/prom/write",
                "      basic_auth:",
                f'        username: "{self.app_id}"',
                f'        password: "{token}"',
                "",
                "Ask:",
                "",
                f"  curl -u {self.app_id}:{token} '{self.address}/api/v1/query?query=up'",
                "",
                "",
            ]
        )

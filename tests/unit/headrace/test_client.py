"""What the command line says when it cannot administer a server."""

from pathlib import Path

import pytest

from headrace.client import AdminClient, ClientError
from tests.support.processes import free_port


@pytest.mark.parametrize("url", ["localhost:9009", "ftp://h:1", "http://", "http://u:p@h:1"])
def test_an_address_is_a_url_without_credentials(url: str) -> None:
    with pytest.raises(ClientError, match="--server takes http://HOST:PORT") as refused:
        AdminClient.of_address(url, "token")
    assert "u:p" not in str(refused.value)


def test_an_address_needs_the_admin_token() -> None:
    with pytest.raises(ClientError, match="set HEADRACE_ADMIN_TOKEN"):
        AdminClient.of_address("http://h:1", None)


def test_nobody_there() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ClientError, match=f"{url} does not answer"):
        AdminClient.of_address(url + "/", "token").call("GET", "/instances")
    with pytest.raises(ClientError, match="no Headrace is running on /nowhere: start it with"):
        AdminClient.of_folder(Path("/nowhere"))


def test_the_token_is_not_shown() -> None:
    assert "s3cret" not in repr(AdminClient.of_address("http://h:1", "s3cret"))

"""The real SendGrid SDK against the sandbox: production differs by one line of configuration."""

import pytest
from python_http_client.exceptions import BadRequestsError, TooManyRequestsError, UnauthorizedError
from sendgrid import SendGridAPIClient

from tests.sandbox.conftest import KEY, Desk, mail, person


def test_the_sdk_sends_reads_refusals_and_makes_batches(desk: Desk) -> None:
    client = SendGridAPIClient(api_key=KEY, host=desk.server.url)
    answer = client.send(mail(person(1), person(2)))
    assert (answer.status_code, answer.body) == (202, b"")
    assert answer.headers["X-Message-Id"] == desk.messages()[0]["message_id"]

    with pytest.raises(BadRequestsError) as caught:
        client.send(mail(person(1), {"to": [{"email": "nobody"}]}))
    assert caught.value.to_dict["errors"][0]["field"] == "personalizations.1.to.0.email"

    desk.server.faults.add("rate_limited", seconds=3)
    with pytest.raises(TooManyRequestsError) as limited:
        client.send(mail())
    assert int(limited.value.headers["X-RateLimit-Reset"]) > 0

    assert client.client.mail.batch.post().status_code == 201
    with pytest.raises(UnauthorizedError):
        SendGridAPIClient(api_key="wrong", host=desk.server.url).send(mail())

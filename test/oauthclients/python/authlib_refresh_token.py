"""An application that keeps its tokens refreshes them, and each refresh token is good once."""

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from given import API, CLIENT_ID, CLIENT_SECRET, ISSUER

for method in "client_secret_basic", "client_secret_post":
    client = OAuth2Session(CLIENT_ID, CLIENT_SECRET, token_endpoint_auth_method=method, token_endpoint=f"{ISSUER}/oauth2/token")
    first = dict(client.fetch_token(grant_type="client_credentials"))

    second = dict(client.refresh_token())
    assert second["access_token"] != first["access_token"]
    assert second["refresh_token"] != first["refresh_token"]
    assert client.get(f"{API}/v1/contacts/7").status_code == 200

    # The library refreshes by itself when what was stored has expired.
    stored = second | {"expires_at": 1}
    saved = []
    client = OAuth2Session(
        CLIENT_ID, CLIENT_SECRET, token_endpoint_auth_method=method, token_endpoint=f"{ISSUER}/oauth2/token",
        token=stored, update_token=lambda token, refresh_token=None, access_token=None: saved.append(dict(token)),
    )
    assert client.get(f"{API}/v1/contacts/7").status_code == 200
    assert len(saved) == 1 and saved[0]["refresh_token"] not in (first["refresh_token"], second["refresh_token"])

    # Less than was granted (RFC 6749 section 6).
    narrow = client.refresh_token(scope="contacts:read")
    assert narrow["scope"] == "contacts:read", narrow
    assert client.post(f"{API}/v1/contacts", json={}).status_code == 401

    for old in first, second:
        try:
            client.refresh_token(refresh_token=old["refresh_token"])
        except OAuthError as error:
            assert error.error == "invalid_grant", error
            assert error.description == "Invalid refresh token", error
        else:
            raise AssertionError("an old refresh token was accepted")

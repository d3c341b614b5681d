"""RFC 7009 and RFC 7662: an access token is good until the client gives it up."""

from authlib.integrations.requests_client import OAuth2Session

from given import API, CLIENT_ID, CLIENT_SECRET, ISSUER, refused_within_a_second

for method in "client_secret_basic", "client_secret_post":
    client = OAuth2Session(
        CLIENT_ID, CLIENT_SECRET, token_endpoint_auth_method=method, revocation_endpoint_auth_method=method, scope="contacts:read"
    )
    token = client.fetch_token(f"{ISSUER}/oauth2/token", grant_type="client_credentials")

    facts = client.introspect_token(f"{ISSUER}/oauth2/introspect", token=token["access_token"]).json()
    assert facts["active"] is True, facts
    assert facts["client_id"] == CLIENT_ID, facts
    assert facts["scope"] == "contacts:read", facts
    assert facts["exp"] == facts["iat"] + 3600, facts
    assert client.get(f"{API}/v1/contacts/7").status_code == 200

    answer = client.revoke_token(f"{ISSUER}/oauth2/revoke", token=token["access_token"], token_type_hint="access_token")
    assert answer.status_code == 200, answer.text
    refused_within_a_second(lambda: client.get(f"{API}/v1/contacts/7"))
    facts = client.introspect_token(f"{ISSUER}/oauth2/introspect", token=token["access_token"]).json()
    assert facts == {"active": False}, facts

    # What is no token is as good as revoked, and told nothing about.
    assert client.revoke_token(f"{ISSUER}/oauth2/revoke", token="nonsense").status_code == 200
    assert client.introspect_token(f"{ISSUER}/oauth2/introspect", token="nonsense").json() == {"active": False}

    stranger = OAuth2Session(CLIENT_ID, "wrong", token_endpoint_auth_method=method, revocation_endpoint_auth_method=method)
    for answer in (
        stranger.revoke_token(f"{ISSUER}/oauth2/revoke", token="nonsense"),
        stranger.introspect_token(f"{ISSUER}/oauth2/introspect", token="nonsense"),
    ):
        assert answer.status_code == 401 and answer.json()["error"] == "invalid_client", answer.text

"""Who gives up a refresh token gives up the access tokens that came with it (RFC 7009 section 2.1)."""

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from given import API, CLIENT_ID, CLIENT_SECRET, ISSUER, refused_within_a_second

client = OAuth2Session(CLIENT_ID, CLIENT_SECRET, token_endpoint=f"{ISSUER}/oauth2/token")
first = dict(client.fetch_token(grant_type="client_credentials"))
second = dict(client.refresh_token())
assert client.get(f"{API}/v1/contacts/7").status_code == 200

facts = client.introspect_token(f"{ISSUER}/oauth2/introspect", token=second["refresh_token"], token_type_hint="refresh_token").json()
assert facts["active"] is True and facts["client_id"] == CLIENT_ID, facts

# Without a token the library revokes the refresh token of the session.
assert client.revoke_token(f"{ISSUER}/oauth2/revoke").status_code == 200
for token in first, second:
    session = OAuth2Session(CLIENT_ID, CLIENT_SECRET, token=token)
    refused_within_a_second(lambda: session.get(f"{API}/v1/contacts/7"))
facts = client.introspect_token(f"{ISSUER}/oauth2/introspect", token=second["refresh_token"]).json()
assert facts == {"active": False}, facts
try:
    client.refresh_token()
except OAuthError as error:
    assert error.error == "invalid_grant", error
else:
    raise AssertionError("a revoked refresh token was accepted")

# Other tokens of the client live on.
client.fetch_token(grant_type="client_credentials")
assert client.get(f"{API}/v1/contacts/7").status_code == 200

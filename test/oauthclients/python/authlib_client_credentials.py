"""A token for the client itself, with the secret in the header or in the body."""

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from given import API, CLIENT_ID, CLIENT_SECRET, ISSUER

for method in "client_secret_basic", "client_secret_post":
    client = OAuth2Session(CLIENT_ID, CLIENT_SECRET, token_endpoint_auth_method=method)
    token = client.fetch_token(f"{ISSUER}/oauth2/token", grant_type="client_credentials")
    assert token["token_type"].lower() == "bearer", token
    assert 3500 < token["expires_in"] <= 3600, token
    assert token["scope"].split() == ["contacts:read", "contacts:write"], token

    contact = client.get(f"{API}/v1/contacts/7")
    assert contact.status_code == 200, contact.text
    assert contact.json()["client"] == CLIENT_ID
    assert client.post(f"{API}/v1/contacts", json={}).status_code == 200

    # Less than all that the client may do.
    reader = OAuth2Session(CLIENT_ID, CLIENT_SECRET, token_endpoint_auth_method=method, scope="contacts:read")
    token = reader.fetch_token(f"{ISSUER}/oauth2/token", grant_type="client_credentials")
    assert token["scope"] == "contacts:read", token
    assert reader.get(f"{API}/v1/contacts/7").json()["scopes"] == "contacts:read"
    refusal = reader.post(f"{API}/v1/contacts", json={})
    assert refusal.status_code == 401 and refusal.json()["code"] == "R6", refusal.text

    # More than the client may do.
    try:
        client.fetch_token(f"{ISSUER}/oauth2/token", grant_type="client_credentials", scope="contacts:read invoices:read")
    except OAuthError as error:
        assert error.error == "invalid_scope", error
    else:
        raise AssertionError("a scope that the client does not have was granted")

"""The backend application flow, with the secret in the header or in the body."""

from given import API, CLIENT_ID, CLIENT_SECRET, ISSUER

from oauthlib.oauth2 import BackendApplicationClient, InvalidScopeError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

credentials = {
    "Basic": {"auth": HTTPBasicAuth(CLIENT_ID, CLIENT_SECRET)},
    "Basic, the client_id also in the body": {"auth": HTTPBasicAuth(CLIENT_ID, CLIENT_SECRET), "include_client_id": True},
    "the library's choice": {"client_secret": CLIENT_SECRET},
    "body": {"client_secret": CLIENT_SECRET, "include_client_id": True},
}

for name, given in credentials.items():
    oauth = OAuth2Session(client=BackendApplicationClient(client_id=CLIENT_ID))
    token = oauth.fetch_token(token_url=f"{ISSUER}/oauth2/token", **given)
    assert token["token_type"].lower() == "bearer", name
    assert token["scope"] == ["contacts:read", "contacts:write"], f"{name}: {token}"
    contact = oauth.get(f"{API}/v1/contacts/7")
    assert contact.status_code == 200, f"{name}: {contact.text}"
    assert contact.json()["client"] == CLIENT_ID, name
    assert oauth.post(f"{API}/v1/contacts", json={}).status_code == 200, name

    # Less than all that the client may do.
    reader = OAuth2Session(client=BackendApplicationClient(client_id=CLIENT_ID, scope=["contacts:read"]))
    token = reader.fetch_token(token_url=f"{ISSUER}/oauth2/token", **given)
    assert token["scope"] == ["contacts:read"], f"{name}: {token}"
    assert reader.get(f"{API}/v1/contacts/7").status_code == 200, name
    refusal = reader.post(f"{API}/v1/contacts", json={})
    assert refusal.status_code == 401 and refusal.json()["code"] == "R6", f"{name}: {refusal.text}"

    # More than the client may do.
    oauth = OAuth2Session(client=BackendApplicationClient(client_id=CLIENT_ID, scope=["invoices:read"]))
    try:
        oauth.fetch_token(token_url=f"{ISSUER}/oauth2/token", **given)
    except InvalidScopeError:
        pass
    else:
        raise AssertionError(f"{name}: a scope that the client does not have was granted")

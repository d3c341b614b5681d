"""An application that keeps its tokens refreshes them, by hand or by the library."""

from given import API, CLIENT_ID, CLIENT_SECRET, ISSUER

from oauthlib.oauth2 import BackendApplicationClient, InvalidGrantError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

TOKEN_URL = f"{ISSUER}/oauth2/token"
basic = HTTPBasicAuth(CLIENT_ID, CLIENT_SECRET)

oauth = OAuth2Session(client=BackendApplicationClient(client_id=CLIENT_ID))
first = dict(oauth.fetch_token(token_url=TOKEN_URL, auth=basic))

second = dict(oauth.refresh_token(TOKEN_URL, auth=basic))
assert second["access_token"] != first["access_token"]
assert second["refresh_token"] != first["refresh_token"]
assert oauth.get(f"{API}/v1/contacts/7").status_code == 200

# The library's third recommendation: it refreshes what has expired, with the
# credentials in the body, and hands over the new pair to be stored.
saved = []
oauth = OAuth2Session(
    CLIENT_ID, token=second | {"expires_in": -30, "expires_at": 1}, auto_refresh_url=TOKEN_URL,
    auto_refresh_kwargs={"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}, token_updater=saved.append,
)
assert oauth.get(f"{API}/v1/contacts/7").status_code == 200
assert len(saved) == 1 and saved[0]["refresh_token"] not in (first["refresh_token"], second["refresh_token"])

oauth = OAuth2Session(CLIENT_ID)
for old in first, second:
    try:
        oauth.refresh_token(TOKEN_URL, refresh_token=old["refresh_token"], auth=basic)
    except InvalidGrantError as error:
        assert error.description == "Invalid refresh token", error
    else:
        raise AssertionError("an old refresh token was accepted")

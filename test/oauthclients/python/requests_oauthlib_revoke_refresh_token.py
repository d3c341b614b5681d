"""RFC 7009 as oauthlib prepares it: an access token alone, then a refresh token and what came with it."""

from given import API, CLIENT_ID, CLIENT_SECRET, ISSUER, refused_within_a_second

import requests
from oauthlib.oauth2 import BackendApplicationClient, InvalidGrantError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

TOKEN_URL = f"{ISSUER}/oauth2/token"
basic = HTTPBasicAuth(CLIENT_ID, CLIENT_SECRET)

client = BackendApplicationClient(client_id=CLIENT_ID)
oauth = OAuth2Session(client=client)


def revoke(kind):
    url, headers, body = client.prepare_token_revocation_request(f"{ISSUER}/oauth2/revoke", oauth.token[kind], token_type_hint=kind)
    answer = requests.post(url, data=body, headers=headers, auth=basic)
    assert answer.status_code == 200, answer.text


oauth.fetch_token(token_url=TOKEN_URL, auth=basic)
assert oauth.get(f"{API}/v1/contacts/7").status_code == 200
revoke("access_token")
refused_within_a_second(lambda: oauth.get(f"{API}/v1/contacts/7"))

oauth.fetch_token(token_url=TOKEN_URL, auth=basic)
assert oauth.get(f"{API}/v1/contacts/7").status_code == 200
revoke("refresh_token")
refused_within_a_second(lambda: oauth.get(f"{API}/v1/contacts/7"))
try:
    oauth.refresh_token(TOKEN_URL, auth=basic)
except InvalidGrantError:
    pass
else:
    raise AssertionError("a revoked refresh token was accepted")

"""A wrong secret is the library's own error."""

from given import CLIENT_ID, ISSUER

from oauthlib.oauth2 import BackendApplicationClient, InvalidClientError
from requests_oauthlib import OAuth2Session

for in_body in False, True:
    oauth = OAuth2Session(client=BackendApplicationClient(client_id=CLIENT_ID))
    try:
        oauth.fetch_token(token_url=f"{ISSUER}/oauth2/token", client_secret="wrong", include_client_id=in_body)
    except InvalidClientError as error:
        assert error.error == "invalid_client", error
        assert error.status_code in (400, 401), error.status_code
    else:
        raise AssertionError("a wrong secret was accepted")

"""A wrong secret is the library's own error."""

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from given import CLIENT_ID, ISSUER

for method in "client_secret_basic", "client_secret_post":
    client = OAuth2Session(CLIENT_ID, "wrong", token_endpoint_auth_method=method)
    try:
        client.fetch_token(f"{ISSUER}/oauth2/token", grant_type="client_credentials")
    except OAuthError as error:
        assert error.error == "invalid_client", error
    else:
        raise AssertionError("a wrong secret was accepted")

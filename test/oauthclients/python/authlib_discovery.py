"""The endpoints come from the metadata of RFC 8414, which the library finds fault with or not."""

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url

from given import API, CLIENT_ID, CLIENT_SECRET, ISSUER

metadata = AuthorizationServerMetadata(requests.get(get_well_known_url(ISSUER, external=True)).json())
for key in metadata.REGISTRY_KEYS:
    # The library takes an empty list for a missing one. Without an authorization
    # endpoint there is no response type to put into it.
    if key != "response_types_supported" or metadata.get(key) != []:
        getattr(metadata, f"validate_{key}")()
assert metadata.issuer == ISSUER, metadata
assert {"client_credentials", "refresh_token"} <= set(metadata.grant_types_supported), metadata
for endpoint in "token", "revocation", "introspection":
    methods = metadata[f"{endpoint}_endpoint_auth_methods_supported"]
    assert {"client_secret_basic", "client_secret_post"} <= set(methods), metadata

client = OAuth2Session(CLIENT_ID, CLIENT_SECRET, **metadata)
client.fetch_token(grant_type="client_credentials")
assert client.get(f"{API}/v1/contacts/7").status_code == 200
token = client.token["access_token"]
assert client.introspect_token(metadata.introspection_endpoint, token=token).json()["active"] is True
assert client.revoke_token(metadata.revocation_endpoint, token=token).status_code == 200

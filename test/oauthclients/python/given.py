"""What every sample is given: where tollgate is, an API behind it, and a client of its own."""

import os
import time

ISSUER = os.environ["ISSUER"]
CLIENT_ID = os.environ["CLIENT_ID"]
CLIENT_SECRET = os.environ["CLIENT_SECRET"]
API = os.environ["API"]  # GET /v1/contacts/{id} needs contacts:read, POST /v1/contacts needs contacts:write

# The samples talk plain HTTP on loopback. Both libraries want to be told that.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"


def refused_within_a_second(ask):
    """Ask until the API refuses: requests that begin a second after a revocation must be."""
    end = time.monotonic() + 1
    while True:
        late = time.monotonic() > end
        response = ask()
        if response.status_code == 401:
            assert response.json() == {"code": "R1", "message": "Invalid Token"}, response.text
            return
        assert not late, f"a revoked token is still good for {response.status_code}"
        time.sleep(0.02)

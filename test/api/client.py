"""Uses the client that was generated of the OpenAPI file: a token is made, listed, changed
and ended, and every operation that needs nothing but permission is called. It fails by an
exception."""

import importlib
import inspect
import os
import pkgutil

import tollgate_api.api
from tollgate_api import AuthenticatedClient
from tollgate_api.api.tokens import create_token, delete_token, get_token, list_tokens, update_token
from tollgate_api.models import LimitsChange, NewToken, NewTokenLimits, Problem, TokenChange

client = AuthenticatedClient(base_url=os.environ["TOLLGATE_URL"], token=os.environ["TOLLGATE_BEARER"])


def expect(answer, status):
    assert answer.status_code == status, f"{answer.status_code}: {answer.content}"
    return answer.parsed


made = expect(
    create_token.sync_detailed(
        client=client,
        body=NewToken(name="night job", scopes=["contacts:read"], ttl=600, limits=NewTokenLimits(per_day=10, wallet_amount="1.50")),
    ),
    201,
)
assert made.token and made.refresh_token and made.limits.per_day == 10, made

listed = expect(list_tokens.sync_detailed(client=client, limit=1000), 200)
assert [t.name for t in listed.data if t.id == made.id] == ["night job"], listed
assert listed.next_cursor is None, listed

shown = get_token.sync_detailed(made.id, client=client)
assert expect(shown, 200).limits.wallet_amount == "1.50", shown

change = TokenChange(limits=LimitsChange(per_day=None, per_minute=5), rotate=True)
changed = expect(update_token.sync_detailed(made.id, client=client, body=change, if_match=shown.headers["etag"]), 200)
assert changed.id == made.id and changed.token not in ("", made.token), changed
assert changed.limits.per_minute == 5 and not changed.limits.per_day, changed

stale = expect(update_token.sync_detailed(made.id, client=client, body=TokenChange(ttl=60), if_match=shown.headers["etag"]), 412)
assert isinstance(stale, Problem) and stale.status == 412, stale

expect(delete_token.sync_detailed(made.id, client=client), 204)
gone = expect(get_token.sync_detailed(made.id, client=client), 404)
assert isinstance(gone, Problem) and gone.detail, gone

called = 0
for module in pkgutil.walk_packages(tollgate_api.api.__path__, "tollgate_api.api."):
    operation = importlib.import_module(module.name)
    if not hasattr(operation, "sync_detailed"):
        continue
    needed = [p for p in inspect.signature(operation._get_kwargs).parameters.values() if p.default is inspect.Parameter.empty]
    if needed or operation._get_kwargs()["method"] != "get":
        continue
    answer = expect(operation.sync_detailed(client=client), 200)
    assert answer is not None and not isinstance(answer, Problem), f"{module.name}: {answer}"
    called += 1
print(f"called {called} operations")
assert called >= 3, called

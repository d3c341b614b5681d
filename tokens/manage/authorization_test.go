package manage

import (
	"crypto/sha256"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tollgate-authz/tollgate/tokens"
)

// things are one record of each kind in an account.
type things struct {
	account string
	client  *tokens.Client
	token   string
	key     string
	user    string
}

func (w *world) things(account, name string) *things {
	w.t.Helper()
	o := &things{account: account, client: w.client(name, account, "contacts:read")}
	o.token, o.key, o.user = w.recorded(o.client), "key-"+name, "user-"+name
	key := &tokens.APIKey{ID: o.key, Name: "k", Account: account, Plan: "default", Environment: tokens.Production, Hash: sha256.Sum256([]byte(name)), CreatedAt: w.now()}
	if err := w.store.CreateAPIKey(w.t.Context(), key, []string{"contacts"}); err != nil {
		w.t.Fatal(err)
	}
	user := &tokens.User{ID: o.user, Email: name + "@example.com", Name: "u", Role: tokens.Viewer, Account: account, CreatedAt: w.now()}
	if err := w.store.CreateUser(w.t.Context(), user); err != nil {
		w.t.Fatal(err)
	}
	w.follow()
	return o
}

// recorded makes a recorded token of a client, and returns its ID.
func (w *world) recorded(c *tokens.Client) string {
	w.t.Helper()
	order := w.settings.Order(c, w.now())
	order.Claims.Scopes, order.Terms.Name = []string{"contacts:read"}, "x"
	_, h, err := w.minter.Make(order)
	if err == nil {
		err = w.store.AddTokens(w.t.Context(), h.Family, h.Grant)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.follow()
	return h.Grant.ID
}

// line is what an operation is to one that calls it: who may use it in his own account,
// and who in others. It is said anew here, and not taken from the operations.
type line struct {
	may    string // roles, separated by spaces
	target func(o *things) string
	body   func(o *things) any
	global bool // it is of no account
}

const (
	staff    = "admin reviewer viewer"
	everyone = staff + " developer"
	makers   = "admin developer"
)

func at(path string) func(*things) string {
	return func(o *things) string { return path + "?account=" + o.account }
}

// authorization is the whole matrix. An operation without a line in it fails the test.
var authorization = map[string]line{
	"list-tokens":  {may: everyone, target: at("/tokens")},
	"create-token": {may: makers, target: onlyAt("/tokens"), body: func(o *things) any { return object{"scopes": []string{"contacts:read"}, "client_id": o.client.ID} }},
	"get-token":    {may: everyone, target: func(o *things) string { return "/tokens/" + o.token }},
	"update-token": {may: makers, target: func(o *things) string { return "/tokens/" + o.token }, body: send(object{"ttl": 60})},
	"delete-token": {may: makers, target: func(o *things) string { return "/tokens/" + o.token }},

	"list-scopes":    {may: everyone, target: at("/scopes")},
	"get-wallet":     {may: everyone, target: at("/wallet")},
	"create-credit":  {may: "admin", target: onlyAt("/wallet/credits"), body: func(o *things) any { return object{"amount": "1.00", "account": o.account} }},
	"get-stats":      {may: everyone, target: at("/stats")},
	"list-decisions": {may: everyone, target: at("/decisions")},

	"list-clients":  {may: everyone, target: at("/clients")},
	"create-client": {may: "admin", target: onlyAt("/clients"), body: func(o *things) any { return object{"name": "n", "scopes": []string{"a"}, "account": o.account} }},
	"get-client":    {may: everyone, target: func(o *things) string { return "/clients/" + o.client.ID }},
	"update-client": {may: "admin", target: func(o *things) string { return "/clients/" + o.client.ID }, body: send(object{"scopes": []string{"a"}})},
	"delete-client": {may: "admin", target: func(o *things) string { return "/clients/" + o.client.ID }},
	"create-secret": {may: "admin", target: func(o *things) string { return "/clients/" + o.client.ID + "/secret" }, body: send(object{})},
	"delete-secret": {may: "admin", target: func(o *things) string { return "/clients/" + o.client.ID + "/secret" }},

	"list-api-keys":  {may: everyone, target: at("/api-keys")},
	"create-api-key": {may: "admin", target: onlyAt("/api-keys"), body: func(o *things) any { return object{"name": "n", "account": o.account} }},
	"get-api-key":    {may: everyone, target: func(o *things) string { return "/api-keys/" + o.key }},
	"update-api-key": {may: "admin", target: func(o *things) string { return "/api-keys/" + o.key }, body: send(object{"scopes": []string{"a"}})},
	"delete-api-key": {may: "admin", target: func(o *things) string { return "/api-keys/" + o.key }},

	"list-accounts":  {may: everyone, target: onlyAt("/accounts"), global: true}, // of others nothing is in it, see TestListsShowOnesOwn
	"create-account": {may: "admin", target: onlyAt("/accounts"), body: func(o *things) any { return object{"name": "new-" + o.client.ID} }},
	"get-account":    {may: everyone, target: func(o *things) string { return "/accounts/" + o.account }},
	"update-account": {may: "admin", target: func(o *things) string { return "/accounts/" + o.account }, body: send(object{"zone": "Europe/Berlin"})},

	"list-plans": {may: everyone, target: onlyAt("/plans"), global: true},
	"get-plan":   {may: everyone, target: onlyAt("/plans/default"), global: true},

	"list-users": {may: "admin reviewer", target: at("/users")},
	"create-user": {may: "admin", target: onlyAt("/users"), body: func(o *things) any {
		return object{"email": "new-" + o.client.ID + "@example.com", "name": "n", "role": "viewer", "account": o.account}
	}},
	"get-user":    {may: "admin reviewer", target: func(o *things) string { return "/users/" + o.user }},
	"update-user": {may: "admin", target: func(o *things) string { return "/users/" + o.user }, body: send(object{"name": "m"})},
	"delete-user": {may: "admin", target: func(o *things) string { return "/users/" + o.user }},
}

// TestListsShowOnesOwn: whoever sees one account sees nothing of others in any list.
func TestListsShowOnesOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dev := w.bearer(w.client("dev", "acme", "tollgate:developer", "tollgate:users:read"))
	mine, theirs := w.things("acme", "mine"), w.things("globex", "theirs")
	w.client("spy", "globex", "secret:scope")
	w.settings.Routes = []Route{{API: "a", Domain: "a.example.com", Method: "GET", Path: "/", Scopes: []string{"secret:scope"}}}
	boss := w.boss()
	for path, id := range map[string]func(*things) string{
		"/tokens": func(o *things) string { return o.token }, "/clients": func(o *things) string { return o.client.ID },
		"/api-keys": func(o *things) string { return o.key }, "/users": func(o *things) string { return o.user }, "/accounts": func(o *things) string { return o.account },
	} {
		all, own := w.do(boss, "GET", path, nil).want(200).raw, w.do(dev, "GET", path, nil).want(200).raw
		if !strings.Contains(all, `"`+id(theirs)+`"`) || strings.Contains(own, "globex") || !strings.Contains(own, `"`+id(mine)+`"`) {
			t.Errorf("%s: an administrator sees %s, a developer %s", path, all, own)
		}
	}
	if got := w.do(dev, "GET", "/scopes", nil).want(200); len(got.body["data"].([]any)) != 0 {
		t.Errorf("scopes that the account cannot have: %s", got.raw)
	}
	if got := w.do(boss, "GET", "/scopes", nil).want(200); len(got.body["data"].([]any)) != 1 {
		t.Errorf("all scopes: %s", got.raw)
	}
}

func onlyAt(path string) func(*things) string { return func(*things) string { return path } }

func send(body any) func(*things) any { return func(*things) any { return body } }

// TestAuthorizationMatrix: every operation, for every role and for others, on what is in
// one's own account and on what is another's.
func TestAuthorizationMatrix(t *testing.T) {
	t.Parallel()
	cells := 0
	for i := range operations {
		o := &operations[i]
		l, ok := authorization[o.id]
		if !ok {
			t.Errorf("%s has no line in the matrix", o.id)
			continue
		}
		t.Run(o.id, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			callers := w.callers(o.needs)
			for _, name := range slices.Sorted(maps.Keys(callers)) {
				for _, account := range []string{"acme", "globex"} {
					things := w.things(account, name+"-"+account)
					l.try(w, o, name, callers[name], things)
				}
			}
		})
		cells += 14
	}
	if unknown := len(authorization) - len(operations); unknown != 0 {
		t.Errorf("%d lines are of no operation", unknown)
	}
	t.Logf("%d cells", cells)
}

// callers are bearers of every role in the account acme, one with nothing but the
// permission that is needed, one without any, and nobody.
func (w *world) callers(needs permission) map[string]string {
	callers := map[string]string{"nobody": "", "stranger": w.bearer(w.client("stranger", "acme", "contacts:read"))}
	for _, name := range strings.Fields(everyone) {
		callers[name] = w.bearer(w.client(name, "acme", scopePrefix+name, "contacts:read"))
	}
	if needs != admin {
		callers["narrow"] = w.bearer(w.client("narrow", "acme", string(needs), "contacts:read"))
	}
	return callers
}

func (l *line) try(w *world, o *operation, name, bearer string, things *things) {
	w.t.Helper()
	var body any
	if l.body != nil {
		body = l.body(things)
	}
	got := w.do(bearer, o.method, l.target(things), body)
	want := o.status
	switch own := things.account == "acme" || l.global; {
	case name == "nobody":
		want = http.StatusUnauthorized
	case name != "narrow" && !slices.Contains(strings.Fields(l.may), name):
		want = http.StatusForbidden
	case !own && !slices.Contains(strings.Fields(staff), name):
		want = http.StatusNotFound
	}
	if got.status != want {
		w.t.Errorf("%s on what is of %s: %d, want %d: %s", name, things.account, got.status, want, got.raw)
	}
	if want >= 400 && (strings.Contains(got.raw, things.client.ID) || got.header.Get("Content-Type") != problemType) {
		w.t.Errorf("%s is told of what is of %s: %s", name, things.account, got.raw)
	}
}

package manage

import (
	"slices"
	"testing"

	"github.com/tollgate-authz/tollgate/tokens"
)

// records are one of each kind in an account, by the noun of its path.
func (o *office) records(account string) map[string]string {
	o.t.Helper()
	return map[string]string{
		"clients":  o.by("POST", "/clients", object{"name": "n", "scopes": []string{"a"}, "account": account}).want(201).text("id"),
		"api-keys": o.by("POST", "/api-keys", object{"name": "n", "account": account}).want(201).text("id"),
		"users":    o.by("POST", "/users", object{"email": account + "@example.com", "name": "n", "role": "viewer", "account": account}).want(201).text("id"),
		"accounts": account,
	}
}

func TestI3_OnlyAdministratorsChangeClientsKeysAccountsAndUsers(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	have := o.records("acme")
	changes := []struct {
		method, target string
		body           any
	}{
		{"POST", "/clients", object{"name": "n", "scopes": []string{"a"}}},
		{"PATCH", "/clients/" + have["clients"], object{"scopes": []string{"a"}}},
		{"DELETE", "/clients/" + have["clients"], nil},
		{"POST", "/clients/" + have["clients"] + "/secret", object{}},
		{"DELETE", "/clients/" + have["clients"] + "/secret", nil},
		{"POST", "/api-keys", object{"name": "n"}},
		{"PATCH", "/api-keys/" + have["api-keys"], object{"scopes": []string{"a"}}},
		{"DELETE", "/api-keys/" + have["api-keys"], nil},
		{"POST", "/accounts", object{"name": "n"}},
		{"PATCH", "/accounts/acme", object{"zone": "UTC"}},
		{"POST", "/users", object{"email": "eve@example.com", "name": "Eve", "role": "administrator"}},
		{"PATCH", "/users/" + have["users"], object{"role": "administrator"}},
		{"DELETE", "/users/" + have["users"], nil},
	}
	everyRead := []string{"tollgate:clients:read", "tollgate:api-keys:read", "tollgate:accounts:read", "tollgate:users:read", "tollgate:tokens:write"}
	for name, scopes := range map[string][]string{
		"reviewer": {"tollgate:reviewer"}, "viewer": {"tollgate:viewer"}, "developer": {"tollgate:developer"}, "reader": everyRead, "stranger": {"contacts:read"},
	} {
		bearer := o.bearer(o.client(name, "acme", scopes...))
		for _, c := range changes {
			no := o.do(bearer, c.method, c.target, c.body).want(403)
			no.says("only administrators may do that").says(`"missing_scopes":["tollgate:admin"]`)
		}
	}
	for _, c := range changes {
		o.do("", c.method, c.target, c.body).want(401)
	}
	o.by("GET", "/clients/"+have["clients"], nil).want(200).says(`"status":"active"`)
	o.by("GET", "/users/"+have["users"], nil).want(200).says(`"role":"viewer"`)
	for i := len(changes) - 1; i >= 0; i-- { // deletions last, of each kind
		c := changes[i]
		if c.method != "DELETE" {
			if got := o.by(c.method, c.target, c.body).status; got >= 300 {
				t.Errorf("%s %s by an administrator: %d", c.method, c.target, got)
			}
		}
	}
}

func TestI3_ReadingIsForWhoMaySeeTheAccount(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	own, others := o.records("acme"), o.records("umbrella")
	for name, who := range map[string]struct {
		scopes     []string
		kinds      []string
		everywhere bool
	}{
		"reviewer":     {[]string{"tollgate:reviewer"}, []string{"clients", "api-keys", "accounts", "users"}, true},
		"viewer":       {[]string{"tollgate:viewer"}, []string{"clients", "api-keys", "accounts"}, true},
		"developer":    {[]string{"tollgate:developer"}, []string{"clients", "api-keys", "accounts"}, false},
		"users-reader": {[]string{"tollgate:users:read"}, []string{"users"}, false},
		"keys-reader":  {[]string{"tollgate:api-keys:read"}, []string{"api-keys"}, false},
		"stranger":     {[]string{"contacts:read"}, nil, false},
	} {
		bearer := o.bearer(o.client(name, "acme", who.scopes...))
		for kind, id := range own {
			allowed, foreign := 403, 403
			if slices.Contains(who.kinds, kind) {
				allowed, foreign = 200, 404
			}
			if who.everywhere {
				foreign = allowed
			}
			o.do(bearer, "GET", "/"+kind+"/"+id, nil).want(allowed)
			no := o.do(bearer, "GET", "/"+kind+"/"+others[kind], nil).want(foreign)
			if foreign == 404 { // in the same words as where there is nothing
				if nothing := o.do(bearer, "GET", "/"+kind+"/nothing", nil).want(404); nothing.raw != no.raw {
					t.Errorf("%s tells what is another's: %s, and what is nobody's: %s", kind, no.raw, nothing.raw)
				}
			}
			list := o.do(bearer, "GET", "/"+kind, nil).want(allowed)
			if allowed == 200 {
				list.says(id)
				if who.everywhere {
					list.says(others[kind])
				} else {
					list.hides(others[kind])
				}
				if kind != "accounts" {
					o.do(bearer, "GET", "/"+kind+"?account=umbrella", nil).want(foreign)
				}
			}
		}
	}
	o.do(o.bearer(o.registry.Client("stranger")), "GET", "/plans", nil).want(403)
	o.do(o.bearer(o.registry.Client("developer")), "GET", "/plans", nil).want(200)
}

func TestNobodyGrantsScopesOfTollgateThatHeLacks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		has, gives []string
		missing    []string
	}{
		{[]string{"tollgate:admin"}, []string{"tollgate:admin", "tollgate:reviewer", "x"}, nil},
		{[]string{"tollgate:developer"}, []string{"x", "tollgate:tokens:read", "tollgate:developer"}, nil},
		{[]string{"tollgate:developer"}, []string{"tollgate:viewer", "x", "tollgate:admin", "tollgate:users:read"}, []string{"tollgate:admin", "tollgate:users:read", "tollgate:viewer"}},
		{[]string{"x"}, []string{"tollgate:introspect"}, []string{"tollgate:introspect"}},
	} {
		by := &caller{powers: powersOf(tt.has)}
		var missing []string
		if err := by.requireGrant(tt.gives); err != nil {
			missing = problemOf(err).Scopes
		}
		if !slices.Equal(missing, tt.missing) {
			t.Errorf("%q giving %q: missing %q, want %q", tt.has, tt.gives, missing, tt.missing)
		}
	}
}

// TestChangesOfAnothersAreRefused asks the second line: today only administrators get
// that far, who see every account.
func TestChangesOfAnothersAreRefused(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	others := o.records("umbrella")
	by := &caller{powers: powersOf([]string{"tollgate:developer"}), account: "acme"}
	scopes, ctx := []string{"z"}, t.Context()
	for name, do := range map[string]func() error{
		"update client": func() error {
			_, err := o.api.updateClient(ctx, by, &updateClientInput{ClientID: ClientID{others["clients"]}, Body: clientChange{Scopes: scopes}})
			return err
		},
		"delete client": func() error {
			_, err := o.api.deleteClient(ctx, by, &deleteClientInput{ClientID: ClientID{others["clients"]}})
			return err
		},
		"create secret": func() error {
			_, err := o.api.createSecret(ctx, by, &createSecretInput{ClientID: ClientID{others["clients"]}})
			return err
		},
		"delete secret": func() error { _, err := o.api.deleteSecret(ctx, by, &ClientID{others["clients"]}); return err },
		"update API key": func() error {
			_, err := o.api.updateAPIKey(ctx, by, &updateAPIKeyInput{APIKeyID: APIKeyID{others["api-keys"]}, Body: apiKeyChange{Scopes: &scopes}})
			return err
		},
		"delete API key": func() error {
			_, err := o.api.deleteAPIKey(ctx, by, &deleteAPIKeyInput{APIKeyID: APIKeyID{others["api-keys"]}})
			return err
		},
		"update account": func() error {
			_, err := o.api.updateAccount(ctx, by, &updateAccountInput{AccountName: AccountName{"umbrella"}, Body: accountChange{Zone: change[string]{true, false, "UTC"}}})
			return err
		},
		"update user": func() error {
			_, err := o.api.updateUser(ctx, by, &updateUserInput{UserID: UserID{others["users"]}, Body: userChange{Name: "z"}})
			return err
		},
		"delete user": func() error {
			_, err := o.api.deleteUser(ctx, by, &deleteUserInput{UserID: UserID{others["users"]}})
			return err
		},
		"client of another account": func() error {
			_, err := o.api.createClient(ctx, by, &createClientInput{newClient{Name: "n", Scopes: scopes, Plan: "default", Environment: string(tokens.Production), Account: "umbrella"}})
			return err
		},
	} {
		if err := do(); err == nil || problemOf(err).Status != 404 {
			t.Errorf("%s: %v, want 404", name, err)
		}
	}
	o.by("GET", "/clients/"+others["clients"], nil).want(200).hides(`"z"`).says("active")
}

package manage

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// identity is whom a bearer token speaks for at the gate now; nil where it is refused.
func (w *world) identity(bearer string) *tokens.Identity {
	w.t.Helper()
	t, err := w.verifier.Verify(w.t.Context(), bearer, w.now())
	if err != nil {
		return nil
	}
	id := t.Identity()
	if id.Expired(w.now()) || id.EndedBy(w.now()) != nil {
		return nil
	}
	return id
}

// boss is an administrator's token, of a client that has scopes of the business too.
func (w *world) boss() string {
	w.t.Helper()
	return w.bearer(w.client("boss", "acme", "tollgate:admin", "contacts:read", "contacts:write"))
}

func TestO1_TokenIsMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	by := w.boss()
	made := w.do(by, "POST", "/tokens", object{
		"name": "night job", "scopes": []string{"contacts:read"}, "ttl": 600, "ip_allow": []string{"203.0.113.0/24", "2001:db8::1"},
		"limits": object{"total_requests": 5, "paid_requests": 4, "wallet_amount": "1.50", "per_minute": 3, "per_day": 2},
	}).want(201)
	id := made.text("id")
	want := object{
		"id": id, "name": "night job", "scopes": []any{"contacts:read"}, "client_id": "boss", "account": "acme", "environment": "production",
		"created_at": "2026-11-23T10:00:00Z", "expires_at": "2026-11-23T10:10:00Z", "ttl": 600.0,
		"limits":   object{"total_requests": 5.0, "paid_requests": 4.0, "wallet_amount": "1.50", "per_minute": 3.0, "per_day": 2.0},
		"used":     object{"total_requests": 0.0, "paid_requests": 0.0, "wallet_amount": "0.00", "per_minute": 0.0, "per_day": 0.0},
		"ip_allow": []any{"203.0.113.0/24", "2001:db8::1/128"}, "status": "active",
	}
	bearer, refresh := made.text("token"), made.text("refresh_token")
	delete(made.body, "token")
	delete(made.body, "refresh_token")
	if d := cmp.Diff(want, made.body); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	who := w.identity(bearer)
	limits, _ := who.Limits()
	if who.TokenID() != id || limits != (tokens.TokenLimits{TotalRequests: 5, PaidRequests: 4, WalletAmount: 1500000, PerMinute: 3, PerDay: 2}) || !slices.Contains(who.TokenIPs(), netip.MustParsePrefix("203.0.113.0/24")) || who.ScopeList != "contacts:read" {
		t.Errorf("at the gate it is %+v with %+v", who, limits)
	}
	w.used[id] = tokens.TokenLimits{TotalRequests: 1, PerDay: 2, WalletAmount: quota.Micros(20000)}
	shown := w.do(by, "GET", "/tokens/"+id, nil).want(200)
	want["used"] = object{"total_requests": 1.0, "paid_requests": 0.0, "wallet_amount": "0.02", "per_minute": 0.0, "per_day": 2.0}
	if d := cmp.Diff(want, shown.body); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	list := w.do(by, "GET", "/tokens", nil).want(200)
	if d := cmp.Diff([]any{want}, list.body["data"]); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	for _, a := range []*answer{shown, list} { // its value is shown once
		if strings.Contains(a.raw, bearer) || strings.Contains(a.raw, refresh) {
			t.Errorf("a secret is shown again: %s", a.raw)
		}
	}
	if shown.header.Get("ETag") != made.header.Get("ETag") || made.header.Get("ETag") == "" {
		t.Errorf("ETag %q, then %q", made.header.Get("ETag"), shown.header.Get("ETag"))
	}
}

// TestO1_ExpiryAndFormat: expires_at instead of ttl; neither; an opaque client.
func TestO1_ExpiryAndFormat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	by := w.boss()
	scopes := []string{"contacts:read"}
	if got := w.do(by, "POST", "/tokens", object{"scopes": scopes, "expires_at": "2026-11-24T00:00:00+02:00"}).want(201).text("expires_at"); got != "2026-11-23T22:00:00Z" {
		t.Errorf("it expires at %s", got)
	}
	if got := w.do(by, "POST", "/tokens", object{"scopes": scopes}).want(201).body["ttl"]; got != 3600.0 {
		t.Errorf("without a word its ttl is %v", got)
	}
	w.settings.Format = tokens.Opaque
	made := w.do(by, "POST", "/tokens", object{"scopes": scopes, "ttl": 60}).want(201)
	if !strings.HasPrefix(made.text("token"), "tga_") || w.identity(made.text("token")).TokenID() != made.text("id") {
		t.Errorf("an opaque token: %s", made.raw)
	}
}

// TestO1_SandboxToken: a token for the sandbox of a client of production, and not the
// reverse (row O7).
func TestO1_SandboxToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	by := w.boss()
	made := w.do(by, "POST", "/tokens", object{"scopes": []string{"contacts:read"}, "environment": "sandbox"}).want(201)
	if got := w.identity(made.text("token")).Environment(); made.text("environment") != "sandbox" || got != tokens.Sandbox {
		t.Errorf("it says %s and is of %s", made.text("environment"), got)
	}
	c := &tokens.Client{
		ID: "toy", Name: "toy", Account: "acme", Plan: "default", Environment: tokens.Sandbox, Scopes: []string{"contacts:read"}, Generation: 1, CreatedAt: w.now(),
		Secrets: []tokens.ClientSecret{{Generation: 1, Hash: w.minter.Pepper.Hash("secret")}},
	}
	if err := w.store.CreateClient(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	w.follow()
	w.do(by, "POST", "/tokens", object{"scopes": []string{"contacts:read"}, "client_id": "toy", "environment": "production"}).want(422)
}

// TestO1_ScopesThatAreMissing: nobody gives what he lacks, or what the client lacks.
func TestO1_ScopesThatAreMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settings.Routes = []Route{{API: "contacts", Domain: "api.example.com", Method: "GET", Path: "/v1/ping"}, {API: "contacts", Domain: "api.example.com", Method: "GET", Path: "/v1/contacts", Scopes: []string{"contacts:read"}}}
	dev := w.client("dev", "acme", "tollgate:developer", "tollgate:admin", "contacts:read", "contacts:write")
	narrowed := w.bearer(dev, "tollgate:developer", "contacts:read")
	for _, tt := range []struct {
		by      string
		scopes  []string
		missing []any
	}{
		{narrowed, []string{"contacts:read"}, nil},
		{narrowed, []string{"tollgate:tokens:read"}, []any{"tollgate:tokens:read"}}, // his role has it, his client does not
		{narrowed, []string{"contacts:read", "contacts:write", "other"}, []any{"contacts:write", "other"}},
		{narrowed, []string{"tollgate:admin"}, []any{"tollgate:admin"}},
		{narrowed, []string{"tollgate:developer"}, nil},
		{narrowed, []string{"GET:api.example.com/v1/ping"}, nil},
		{narrowed, []string{"GET:api.example.com/v1/contacts"}, []any{"GET:api.example.com/v1/contacts"}},
		{w.boss(), []string{"tollgate:admin", "contacts:write"}, nil},
	} {
		got := w.do(tt.by, "POST", "/tokens", object{"scopes": tt.scopes})
		if tt.missing == nil {
			got.want(201)
			continue
		}
		if d := cmp.Diff(tt.missing, got.want(403).body["missing_scopes"]); d != "" || got.text("error") != "insufficient_scope" {
			t.Errorf("%q: %s\n%s", tt.scopes, got.raw, d)
		}
	}
}

// TestO1_ClientsThatCannot: tokens are of clients that could get them by themselves.
func TestO1_ClientsThatCannot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	by := w.boss()
	c := w.client("other", "globex", "contacts:read")
	body := object{"scopes": []string{"contacts:read"}, "client_id": "other"}
	w.do(by, "POST", "/tokens", body).want(201)
	if _, err := w.store.RevokeSecret(t.Context(), c.ID, 1); err != nil {
		t.Fatal(err)
	}
	w.follow()
	w.do(by, "POST", "/tokens", body).want(409)
	w.do(by, "POST", "/tokens", object{"scopes": []string{"contacts:read"}, "client_id": "nobody"}).want(404)
}

// TestO2_PatchOverrulesTheJWT: scopes, ttl, limits and addresses of a JWT that is out.
func TestO2_PatchOverrulesTheJWT(t *testing.T) {
	t.Parallel()
	for _, format := range []tokens.Format{tokens.JWT, tokens.Opaque} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.settings.Format = format
			by := w.boss()
			made := w.do(by, "POST", "/tokens", object{"scopes": []string{"contacts:read"}, "ttl": 600, "limits": object{"per_day": 5, "per_minute": 5}}).want(201)
			bearer, path := made.text("token"), "/tokens/"+made.text("id")
			changed := w.do(by, "PATCH", path, object{"scopes": []string{"contacts:write"}, "limits": object{"per_day": nil, "total_requests": 7}, "ip_allow": []string{"203.0.113.7"}}).want(200)
			if changed.text("token") != "" || changed.text("refresh_token") != "" {
				t.Errorf("a change shows secrets: %s", changed.raw)
			}
			id := w.identity(bearer)
			limits, _ := id.Limits()
			if id.ScopeList != "contacts:write" || limits != (tokens.TokenLimits{PerMinute: 5, TotalRequests: 7}) || len(id.TokenIPs()) != 1 {
				t.Errorf("at the gate: %q, %+v, %v", id.ScopeList, limits, id.TokenIPs())
			}
			w.do(by, "PATCH", path, object{"ip_allow": []string{}}).want(200)
			if id := w.identity(bearer); len(id.TokenIPs()) != 0 {
				t.Errorf("addresses that were taken away: %v", id.TokenIPs())
			}
			// Longer than it says itself, then shorter.
			w.advance(300 * time.Second)
			if got := w.do(by, "PATCH", path, object{"ttl": 900}).want(200); got.text("expires_at") != "2026-11-23T10:20:00Z" || got.body["ttl"] != 900.0 {
				t.Errorf("a longer life: %s", got.raw)
			}
			w.advance(899 * time.Second)
			if w.identity(bearer) == nil {
				t.Error("it ended before its new end")
			}
			w.do(by, "PATCH", path, object{"ttl": 10}).want(200)
			w.advance(10 * time.Second)
			if w.identity(bearer) != nil {
				t.Error("it lives beyond its new end")
			}
			if got := w.do(by, "GET", path, nil).want(200).text("status"); got != "expired" {
				t.Errorf("status %s", got)
			}
			w.do(by, "PATCH", path, object{"ttl": 10}).want(409)
			w.do(by, "PATCH", path, object{"rotate": true}).want(200)
		})
	}
}

// TestO2_Rotation: by the refresh token and without it, with overlap and without.
func TestO2_Rotation(t *testing.T) {
	t.Parallel()
	for _, format := range []tokens.Format{tokens.JWT, tokens.Opaque, tokens.Classic} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.settings.Format = format
			by := w.boss()
			first := w.do(by, "POST", "/tokens", object{"scopes": []string{"contacts:read"}, "ttl": 600, "limits": object{"total_requests": 7}}).want(201)
			path := "/tokens/" + first.text("id")
			alive := func(what string, want bool, of *answer) {
				t.Helper()
				id := w.identity(of.text("token"))
				if (id != nil) != want || want && id.TokenID() != first.text("id") {
					t.Errorf("%s: %+v, want alive %t", what, id, want)
				}
			}
			w.advance(time.Minute)
			second := w.do(by, "PATCH", path, object{"refresh_token": first.text("refresh_token")}).want(200)
			alive("the first", false, first)
			alive("the second", true, second)
			if second.text("id") != first.text("id") || second.text("expires_at") != "2026-11-23T10:11:00Z" {
				t.Errorf("the second: %s", second.raw)
			}
			for _, old := range []string{first.text("refresh_token"), "tgr_nonsense", second.text("token")} {
				if got := w.do(by, "PATCH", path, object{"refresh_token": old}).want(400); got.text("error") != "invalid_grant" {
					t.Errorf("an old refresh token: %s", got.raw)
				}
			}
			alive("the second, after an old refresh token", true, second)
			third := w.do(by, "PATCH", path, object{"rotate": true, "overlap": 60}).want(200)
			alive("the second, in the overlap", true, second)
			alive("the third", true, third)
			w.do(by, "PATCH", path, object{"refresh_token": second.text("refresh_token")}).want(400)
			w.advance(60 * time.Second)
			alive("the second, after the overlap", false, second)
			alive("the third", true, third)
			limits, _ := w.identity(third.text("token")).Limits()
			if limits.TotalRequests != 7 {
				t.Errorf("the third has %+v", limits)
			}
			// Rotated after its end, with all that the record says.
			w.advance(time.Hour)
			alive("the third, expired", false, third)
			fourth := w.do(by, "PATCH", path, object{"refresh_token": third.text("refresh_token"), "scopes": []string{"contacts:write"}}).want(200)
			if id := w.identity(fourth.text("token")); id == nil || id.ScopeList != "contacts:write" {
				t.Errorf("the fourth: %+v", id)
			}
			w.do(by, "DELETE", path, nil).want(204)
			alive("the fourth, deleted", false, fourth)
			w.do(by, "PATCH", path, object{"refresh_token": fourth.text("refresh_token")}).want(404)
			w.do(by, "GET", path, nil).want(404)
			w.do(by, "DELETE", path, nil).want(404)
			if got := w.do(by, "GET", "/tokens", nil).want(200); len(got.body["data"].([]any)) != 0 {
				t.Errorf("a deleted token is listed: %s", got.raw)
			}
		})
	}
}

// TestO2_NobodyRotatesWhatCanDoMoreThanHe: the new pair is shown to who rotates, who would
// have scopes by it that nobody gave him. To end such a token he needs none of them.
func TestO2_NobodyRotatesWhatCanDoMoreThanHe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	chief := w.client("chief", "acme", "tollgate:admin", "contacts:write", "contacts:read")
	boss := w.bearer(chief)
	for i, tt := range []struct {
		has, of []string // scopes of who rotates, and of the token
		lost    string   // by the token's client
		missing []any    // none: it is rotated
	}{
		{[]string{"tollgate:developer"}, []string{"tollgate:admin"}, "", []any{"tollgate:admin"}},
		{[]string{"tollgate:developer"}, []string{"tollgate:admin"}, "tollgate:admin", []any{"tollgate:admin"}},
		{[]string{"tollgate:developer", "contacts:read"}, []string{"contacts:read", "contacts:write"}, "", []any{"contacts:write"}},
		{[]string{"tollgate:developer", "contacts:read"}, []string{"contacts:read", "contacts:write"}, "contacts:write", nil},
		{[]string{"tollgate:tokens:write", "contacts:read"}, []string{"contacts:read"}, "", nil},
		{[]string{"tollgate:admin"}, []string{"contacts:write"}, "", nil},
	} {
		name := strings.Join(tt.has, " ") + " rotates " + strings.Join(tt.of, " ") + " without " + tt.lost
		by := w.bearer(w.client(fmt.Sprint("by", i), "acme", tt.has...))
		of := w.client(fmt.Sprint("of", i), "acme", tt.of...)
		pair := w.do(boss, "POST", "/tokens", object{"scopes": tt.of, "client_id": of.ID}).want(201)
		if tt.lost != "" {
			left := append(slices.DeleteFunc(slices.Clone(tt.of), func(s string) bool { return s == tt.lost }), "x")
			w.do(boss, "PATCH", "/clients/"+of.ID, object{"scopes": left}).want(200)
		}
		path := "/tokens/" + pair.text("id")
		for _, body := range []object{{"refresh_token": pair.text("refresh_token")}, {"rotate": true}} {
			if tt.missing == nil {
				w.do(by, "PATCH", path, body).want(200)
				continue
			}
			got := w.do(by, "PATCH", path, body).want(403)
			if diff := cmp.Diff(tt.missing, got.body["missing_scopes"]); diff != "" || got.text("token") != "" {
				t.Errorf("%s: %s", name, got.raw)
			}
		}
		if tt.missing != nil && w.do(boss, "GET", path, nil).want(200).text("status") != "active" {
			t.Errorf("%s: what was refused ended the token", name)
		}
		w.do(by, "DELETE", path, nil).want(204)
	}
}

// TestO2_NobodyWidensWhatCanDoMoreThanHe: the addresses of an administrator's token are not
// a developer's to open. He may take its power from it.
func TestO2_NobodyWidensWhatCanDoMoreThanHe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	boss := w.boss()
	by := w.bearer(w.client("developer", "acme", "tollgate:developer", "contacts:read"))
	for _, body := range []object{{"ip_allow": []string{}}, {"ttl": 999999}, {"limits": object{"per_day": nil}}, {"scopes": []string{"tollgate:admin", "contacts:read"}, "ttl": 5}} {
		id := w.do(boss, "POST", "/tokens", object{"scopes": []string{"tollgate:admin"}, "ip_allow": []string{"10.0.0.0/8"}, "limits": object{"per_day": 5}}).want(201).text("id")
		was := w.do(boss, "GET", "/tokens/"+id, nil).want(200).raw
		w.do(by, "PATCH", "/tokens/"+id, body).want(403)
		if is := w.do(boss, "GET", "/tokens/"+id, nil).want(200).raw; is != was {
			t.Errorf("%v: %s, was %s", body, is, was)
		}
		w.do(by, "PATCH", "/tokens/"+id, object{"scopes": []string{"contacts:read"}, "ip_allow": []string{}}).want(200)
	}
}

// TestAnothersTokenIsAsIfNotThere: not a word differs.
func TestAnothersTokenIsAsIfNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	by := w.bearer(w.client("mine", "acme", "tollgate:developer"))
	others := w.recorded(w.client("theirs", "umbrella", "contacts:read"))
	for method, body := range map[string]any{"GET": nil, "PATCH": object{"ttl": 60}, "DELETE": nil} {
		is, none := w.do(by, method, "/tokens/"+others, body).want(404), w.do(by, method, "/tokens/nobodys", body).want(404)
		if is.raw != none.raw {
			t.Errorf("%s: another's %s, nobody's %s", method, is.raw, none.raw)
		}
	}
}

// TestO2_OneOfManyRotates: of any number at once with one refresh token.
func TestO2_OneOfManyRotates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	by := w.boss()
	made := w.do(by, "POST", "/tokens", object{"scopes": []string{"contacts:read"}}).want(201)
	var all sync.WaitGroup
	got := make([]*answer, 16)
	for i := range got {
		all.Go(func() {
			got[i] = w.do(by, "PATCH", "/tokens/"+made.text("id"), object{"refresh_token": made.text("refresh_token")})
		})
	}
	all.Wait()
	won := 0
	for _, a := range got {
		if a.status == 200 {
			won++
		} else {
			a.want(400)
		}
	}
	if won != 1 {
		t.Errorf("%d rotated", won)
	}
}

// TestO2_Conditions: If-Match keeps two people from undoing each other's changes.
func TestO2_Conditions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	by := w.boss()
	made := w.do(by, "POST", "/tokens", object{"scopes": []string{"contacts:read"}}).want(201)
	path, etag := "/tokens/"+made.text("id"), made.header.Get("ETag")
	w.used[made.text("id")] = tokens.TokenLimits{PerDay: 3} // what is used is no change
	if got := w.do(by, "PATCH", path, object{"ttl": 60}, "If-Match", etag).want(200).header.Get("ETag"); got == etag {
		t.Error("the ETag stays over a change")
	}
	for _, bad := range []string{etag, `"nonsense"`, "nonsense", `W/` + etag} {
		w.do(by, "PATCH", path, object{"ttl": 90}, "If-Match", bad).want(412)
		w.do(by, "DELETE", path, nil, "If-Match", bad).want(412)
	}
	w.do(by, "PATCH", path, object{"ttl": 90}, "If-Match", `"a", *`).want(200)
	w.do(by, "DELETE", path, nil, "If-Match", w.do(by, "GET", path, nil).header.Get("ETag")).want(204)
}

// TestO2_RevokedTokensStay: what was ended elsewhere cannot be changed back.
func TestO2_RevokedTokensStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client("c", "acme", "contacts:read")
	by := w.boss()
	id := w.recorded(c)
	h, err := w.store.Token(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.RevokeToken(t.Context(), h.Grant); err != nil {
		t.Fatal(err)
	}
	w.follow()
	if got := w.do(by, "GET", "/tokens/"+id, nil).want(200).text("status"); got != "revoked" {
		t.Errorf("status %s", got)
	}
	w.do(by, "PATCH", "/tokens/"+id, object{"ttl": 100}).want(409)
	w.do(by, "PATCH", "/tokens/"+id, object{"rotate": true}).want(409)

	other := w.recorded(c)
	if err := w.store.EndFamily(t.Context(), w.family(other)); err != nil {
		t.Fatal(err)
	}
	w.follow()
	w.do(by, "PATCH", "/tokens/"+other, object{"rotate": true}).want(409)
	if got := w.do(by, "GET", "/tokens/"+other, nil).want(200).text("status"); got != "revoked" {
		t.Errorf("status %s of a token whose refresh token was ended", got)
	}
}

func (w *world) family(id string) string {
	w.t.Helper()
	h, err := w.store.Token(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return h.Family.ID
}

// TestI4_GenerationsOfACaller: ten a minute, of those that succeed.
func TestI4_GenerationsOfACaller(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settings.GenerationsPerMinute = 10
	by, other := w.boss(), w.bearer(w.client("other", "acme", "tollgate:developer", "contacts:read"))
	body := object{"scopes": []string{"contacts:read"}}
	for range 20 {
		w.do(by, "POST", "/tokens", object{"scopes": []string{"nothing"}}).want(403)
	}
	id := w.do(by, "POST", "/tokens", body).want(201).text("id")
	for range 8 {
		w.do(by, "POST", "/tokens", body).want(201)
	}
	w.do(by, "PATCH", "/tokens/"+id, object{"rotate": true}).want(200)
	got := w.do(by, "POST", "/tokens", body).want(429)
	if got.text("code") != "R3" || got.header.Get("Retry-After") == "" {
		t.Errorf("the eleventh: %v %s", got.header, got.raw)
	}
	w.do(by, "PATCH", "/tokens/"+id, object{"rotate": true}).want(429)
	w.do(by, "PATCH", "/tokens/"+id, object{"ttl": 60}).want(200)
	w.do(other, "POST", "/tokens", body).want(201)
	w.advance(time.Minute)
	w.do(by, "POST", "/tokens", body).want(201)
}

// TestListsGoOn: page after page, every record once, whatever is made and deleted
// meanwhile; and only what one may see.
func TestListsGoOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.client("a", "acme", "tollgate:developer", "contacts:read"), w.client("b", "globex", "contacts:read")
	by := w.bearer(a)
	var want []string
	for i := range 25 {
		want = append(want, w.recorded(a))
		w.recorded(b)
		if i%3 == 0 {
			w.advance(time.Second)
		}
	}
	var got []string
	for cursor := ""; ; {
		target := "/tokens?limit=7"
		if cursor != "" {
			target += "&cursor=" + cursor
		}
		page := w.do(by, "GET", target, nil).want(200)
		for _, one := range page.body["data"].([]any) {
			got = append(got, one.(object)["id"].(string))
		}
		if cursor = page.text("next_cursor"); cursor == "" {
			break
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	w.do(by, "GET", "/tokens?client_id=b", nil).want(200)
	if page := w.do(by, "GET", "/tokens?client_id=b", nil).want(200); len(page.body["data"].([]any)) != 0 {
		t.Errorf("another's tokens: %s", page.raw)
	}
	if page := w.do(w.boss(), "GET", "/tokens?account=globex&limit=1000", nil).want(200); len(page.body["data"].([]any)) != 25 {
		t.Errorf("an administrator sees %d", len(page.body["data"].([]any)))
	}
}

// TestFaultsAtOnce: every field that is wrong is named, and no value comes back.
func TestFaultsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const canary = "s3cr3t-c4n4ry"
	got := w.do(w.boss(), "POST", "/tokens", object{
		"NAME": canary, "scopes": []string{"a " + canary, "ok"}, "ttl": canary, "ip_allow": []string{canary, "10.0.0.1/8"},
		"limits": object{"per_day": 0, "wallet_amount": canary, canary: 1}, "environment": canary,
	}).want(422)
	var locations []string
	for _, one := range got.body["errors"].([]any) {
		locations = append(locations, one.(object)["location"].(string))
	}
	for _, want := range []string{"body.NAME", "body.ttl", "body.limits.per_day", "body.limits.wallet_amount", "body.environment"} {
		if !slices.Contains(locations, want) {
			t.Errorf("%s is not named: %s", want, got.raw)
		}
	}
	if strings.Contains(strings.ReplaceAll(got.raw, "body.limits."+canary, ""), canary) {
		t.Errorf("a value comes back: %s", got.raw)
	}
	got = w.do(w.boss2(), "POST", "/tokens", object{"name": "a\u0000b", "scopes": []string{"a " + canary, "ok"}, "ip_allow": []string{canary, "10.0.0.1/8"}, "ttl": 5, "expires_at": "2027-01-01T00:00:00Z"}).want(422)
	if n := len(got.body["errors"].([]any)); n != 5 || strings.Contains(got.raw, canary) {
		t.Errorf("%d faults: %s", n, got.raw)
	}
}

func (w *world) boss2() string {
	return w.bearer(w.client("boss2", "acme", "tollgate:admin"))
}

// TestWhoCalls: tokens that are no good here.
func TestWhoCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client("boss", "acme", "tollgate:admin")
	issue := func(claims tokens.Claims) string {
		claims.Client, claims.Scopes, claims.IssuedAt = c.ID, c.Scopes, w.now()
		access, err := w.minter.Keys.Issue(claims)
		if err != nil {
			t.Fatal(err)
		}
		return access.Bearer.Reveal()
	}
	good := issue(tokens.Claims{Audience: issuer, Generation: 1, TTL: time.Minute})
	foreign := issue(tokens.Claims{Audience: "https://api.example.com", Generation: 1, TTL: time.Minute})
	for name, tt := range map[string]struct {
		headers []string
		status  int
		code    string
	}{
		"none":             {nil, 401, "R1"},
		"another scheme":   {[]string{"Authorization", "Basic YTpi"}, 401, "R1"},
		"nonsense":         {[]string{"Authorization", "Bearer nonsense"}, 401, "R1"},
		"another audience": {[]string{"Authorization", "Bearer " + foreign}, 401, "R1"},
		"good":             {[]string{"Authorization", "bearer " + good}, 200, ""},
	} {
		got := w.do("", "GET", "/tokens", nil, tt.headers...)
		if got.status != tt.status || got.text("code") != tt.code || (tt.status == 401) != (got.header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: %d %s", name, got.status, got.raw)
		}
	}
	w.advance(time.Minute)
	if got := w.do(good, "GET", "/tokens", nil).want(401); got.text("code") != "R5" {
		t.Errorf("an expired one: %s", got.raw)
	}
	w.do(good, "GET", "/openapi.json", nil).want(200)

	// I10: trusted addresses hold here too.
	home := w.client("home", "acme", "tollgate:admin")
	by := w.bearer(home)
	w.do(by, "GET", "/tokens", nil).want(200)
	if _, err := w.store.EditClient(t.Context(), home.ID, func(c *tokens.Client) error {
		c.TrustedIPs = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.follow()
	if got := w.do(by, "GET", "/tokens", nil).want(403); got.text("code") != "R4" {
		t.Errorf("from elsewhere: %s", got.raw)
	}
	w.settings.TrustedHops = 1
	w.do(by, "GET", "/tokens", nil, "X-Forwarded-For", "203.0.113.9").want(200)
}

// TestPathsAndMethods: what there is not.
func TestPathsAndMethods(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	by := w.boss()
	for _, tt := range []struct {
		method, target string
		status         int
	}{
		{"PUT", "/tokens", 405}, {"DELETE", "/tokens", 405}, {"OPTIONS", "/tokens/x", 405}, {"TRACE", "/tokens", 405},
		{"GET", "/tokens/", 404}, {"GET", "/tokens//x", 404}, {"GET", "/tokens/../tokens", 404}, {"GET", "/tokens/%2e%2e", 404},
		{"GET", "/tokens/a%2Fb", 404}, {"GET", "/tokens/%00", 404}, {"GET", "/nothing", 404}, {"HEAD", "/tokens", 200},
		{"GET", "/tokens?limit=0", 422}, {"GET", "/tokens?limit=x", 422}, {"GET", "/tokens?limit=", 422}, {"GET", "/tokens?limit=1&limit=2", 422},
		{"GET", "/tokens?nothing=1", 422}, {"GET", "/tokens?cursor=x", 422}, {"GET", "/tokens?a=%zz", 400}, {"GET", "/tokens?LIMIT=1", 422},
	} {
		got := w.do(by, tt.method, tt.target, nil)
		if got.status != tt.status {
			t.Errorf("%s %s: %d, want %d: %s", tt.method, tt.target, got.status, tt.status, got.raw)
		}
		if tt.status >= 400 && got.header.Get("Content-Type") != problemType || tt.status == 405 && got.header.Get("Allow") == "" {
			t.Errorf("%s %s: %v", tt.method, tt.target, got.header)
		}
	}
}

// TestB14_StoreIsAway: what cannot be stored is not half done, and says when to come back.
func TestB14_StoreIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	by := w.boss()
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	got := w.do(by, "POST", "/tokens", object{"scopes": []string{"contacts:read"}}).want(503)
	if got.header.Get("Retry-After") == "" || strings.Contains(got.raw, "sql") {
		t.Errorf("%v %s", got.header, got.raw)
	}
	if ev := w.lastEvent(); ev.Err == nil || ev.Operation != "create-token" || ev.Client != "boss" {
		t.Errorf("the log is told %+v", ev)
	}
}

func FuzzReadCursor(f *testing.F) {
	f.Add(writeCursor("/tokens", tokens.Position{At: start, ID: "abc"}))
	f.Add(writeCursor("/tokens", tokens.Position{ID: "a.b"}))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if p, ok := readCursor("/tokens", text); ok && writeCursor("/tokens", p) != text {
			t.Errorf("%q reads as %+v, which is written %q", text, p, writeCursor("/tokens", p))
		}
		var c walletCursor
		if err := c.read(text); err == nil && c.write() != text {
			t.Errorf("%q reads as %+v", text, c)
		}
	})
}

// TestCursorsAreOfOneList: a cursor of another list would skip records without a word.
func TestCursorsAreOfOneList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	by := w.boss()
	for range 2 {
		w.recorded(w.registry.Client("boss"))
	}
	w.client("another", "acme", "contacts:read")
	cursor := w.do(by, "GET", "/tokens?limit=1", nil).want(200).text("next_cursor")
	w.do(by, "GET", "/tokens?cursor="+cursor, nil).want(200)
	for _, list := range []string{"/clients", "/api-keys", "/accounts", "/users", "/plans", "/scopes", "/wallet", "/decisions"} {
		w.do(by, "GET", list+"?cursor="+cursor, nil).want(422)
	}
}

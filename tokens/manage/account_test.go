package manage

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tollgate-authz/tollgate/tokens"
)

func TestAccountsAreMadeAndTheirZoneChanges(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	made := o.by("POST", "/accounts", object{"name": "eu/umbrella", "zone": "Europe/Berlin"}).want(201)
	want := object{"name": "eu/umbrella", "zone": "Europe/Berlin", "credit": "0.00", "created_at": "2026-11-23T10:00:00Z"}
	const target = "/accounts/eu%2Fumbrella"
	shown := o.by("GET", target, nil).want(200)
	if diff := cmp.Diff(want, shown.body); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	o.by("POST", "/accounts", object{"name": "eu/umbrella"}).want(409).hides("umbrella")
	o.by("POST", "/wallet/credits", object{"account": "eu/umbrella", "amount": "7.50"}).want(201)
	o.by("GET", target, nil).want(200).says(`"credit":"7.50"`)

	etag := made.header.Get("ETag") // money changes without anybody's edit
	o.by("PATCH", target, object{"zone": "Asia/Tokyo"}, "If-Match", etag).want(200)
	o.by("PATCH", target, object{"zone": nil}, "If-Match", etag).want(412)
	if zone := o.registry.Account("eu/umbrella").Zone; zone != "Asia/Tokyo" {
		t.Errorf("the registry has the zone %q", zone)
	}
	o.by("PATCH", target, object{}).want(200).says("Asia/Tokyo")
	o.by("PATCH", target, object{"zone": nil}).want(200).hides("zone")
	o.by("PATCH", "/accounts/nobody", object{"zone": "UTC"}).want(404).says("account")
	if got, want := o.ids(o.boss, "/accounts", "name", 1), []string{"acme", "eu/umbrella"}; !slices.Equal(got, want) {
		t.Errorf("accounts %q, want %q", got, want)
	}
}

func TestWhatIsWrongWithAnAccount(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for _, zone := range []string{"Local", "Mars/Olympus", "../../etc/passwd", "/etc/localtime"} {
		o.by("POST", "/accounts", object{"name": "a", "zone": zone}).wantFaults("body.zone").hides(zone)
		o.by("PATCH", "/accounts/acme", object{"zone": zone}).wantFaults("body.zone").hides(zone)
	}
	o.by("POST", "/accounts", object{"name": "-", "zone": 7, "credit": "5.00"}).wantFaults("body.name", "body.zone", "body.credit")
	o.by("POST", "/accounts", object{}).want(422)
	o.by("PATCH", "/accounts/acme", object{"name": "b", "credit": "5.00", "zone": ""}).wantFaults("body.name", "body.credit", "body.zone")
}

func TestPlansAreThoseOfTheConfiguration(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	gold := object{"name": "gold", "burst": object{"rate": 2.5, "size": 5.0}, "per_minute": 10.0, "lockout": 60.0, "warn_at": 0.8, "shadow": false}
	if diff := cmp.Diff(gold, o.by("GET", "/plans/gold", nil).want(200).body); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, want := o.ids(o.boss, "/plans", "name", 1), []string{"default", "gold"}; !slices.Equal(got, want) {
		t.Errorf("plans %q, want %q", got, want)
	}
	o.by("GET", "/plans/platinum", nil).want(404).says("plan")
	o.by("POST", "/plans", object{"name": "x"}).want(405)
}

func TestUsersAreMadeChangedAndDeleted(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	made := o.by("POST", "/users", object{"email": "Ada@example.com", "name": "Ada", "role": "developer", "account": "umbrella"}).want(201)
	id, etag := made.text("id"), made.header.Get("ETag")
	want := object{"id": id, "email": "Ada@example.com", "name": "Ada", "role": "developer", "account": "umbrella", "status": "active", "created_at": "2026-11-23T10:00:00Z"}
	for _, target := range []string{"/users/" + id, "/users/ada@example.com"} {
		if diff := cmp.Diff(want, o.by("GET", target, nil).want(200).body); diff != "" {
			t.Errorf("%s (-want +got):\n%s", target, diff)
		}
	}
	o.by("POST", "/users", object{"email": "ADA@example.com", "name": "Eve", "role": "administrator"}).want(409).says("e-mail").hides("ADA")
	other := o.by("POST", "/users", object{"email": "bob@example.com", "name": "Bob", "role": "viewer"}).want(201)
	if other.text("account") != "acme" {
		t.Errorf("account %q, want the caller's", other.text("account"))
	}
	o.by("PATCH", "/users/"+id, object{"name": "Ada L.", "role": "reviewer", "account": "acme", "status": "suspended"}, "If-Match", etag).want(200).
		says("Ada L.").says("reviewer").says("acme").says("suspended")
	o.by("PATCH", "/users/"+id, object{"status": "active"}, "If-Match", etag).want(412)
	o.by("DELETE", "/users/"+id, nil, "If-Match", etag).want(412)
	o.by("PATCH", "/users/"+id, object{"status": "active"}).want(200).says(`"status":"active"`)
	if got, want := o.ids(o.boss, "/users", "name", 1), []string{"Ada L.", "Bob"}; !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("users %q, want %q", got, want)
	}
	o.by("GET", "/users?account=umbrella", nil).want(200).says(`"data":[]`)
	o.by("DELETE", "/users/"+id, nil).want(204)
	o.by("GET", "/users/"+id, nil).want(404).says("user")
	o.by("PATCH", "/users/"+id, object{"name": "x"}).want(404)
	o.by("DELETE", "/users/"+id, nil).want(404)
	if _, err := o.store.Account(t.Context(), "umbrella"); err != nil {
		t.Errorf("the account does not stay: %v", err)
	}
}

func TestWhatIsWrongWithAUser(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.by("POST", "/users", object{"email": "ada", "name": "\n", "role": "boss", "account": "!", "status": "active"}).
		wantFaults("body.email", "body.name", "body.role", "body.account", "body.status")
	o.by("POST", "/users", object{"email": "ada@example.com"}).want(422).says("name").says("role")
	id := o.by("POST", "/users", object{"email": "ada@example.com", "name": "Ada", "role": "viewer"}).want(201).text("id")
	o.by("PATCH", "/users/"+id, object{"email": "ada@example.com"}).wantFaults("body.email").says("fixed")
	o.by("PATCH", "/users/"+id, object{"name": "", "role": "root", "status": "gone", "id": "x"}).wantFaults("body.name", "body.role", "body.status", "body.id")
	if u, err := o.store.User(t.Context(), id); err != nil || u.Role != tokens.Viewer || u.Rev != 1 {
		t.Errorf("the user is %+v, %v", u, err)
	}
}

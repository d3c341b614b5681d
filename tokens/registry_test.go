package tokens

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// feed is a store that a test changes by hand.
type feed struct {
	mu      sync.Mutex
	changed map[string]*Client
	last    int64
	err     error
	polls   int
}

func (f *feed) Clients(context.Context) ([]*Client, int64, error) {
	return []*Client{{ID: "a", Alias: "first", Plan: "p"}, {ID: "b", Plan: "p"}}, 1, f.err
}

func (f *feed) Changes(context.Context, int64) (map[string]*Client, int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.polls++
	return f.changed, f.last, f.err
}

// set changes the store while a registry follows it.
func (f *feed) set(changed map[string]*Client, last int64, err error) (polls int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed, f.last, f.err = changed, last, err
	return f.polls
}

func TestRegistryFollowsTheFeed(t *testing.T) {
	t.Parallel()
	f := &feed{last: 1}
	r, err := NewRegistry(t.Context(), f, start)
	if err != nil {
		t.Fatal(err)
	}
	held := r.registration("a")
	if r.Client("first") != r.Client("a") || r.Client("a") == nil || r.Client("nobody") != nil || r.Len() != 2 || r.Plans()["p"] != 2 {
		t.Error("the registry does not know what the store has")
	}
	f.changed, f.last = map[string]*Client{"a": {ID: "a", Alias: "second"}, "b": nil, "c": {ID: "c"}}, 3
	if err := r.Refresh(t.Context(), start.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if r.Client("first") != nil || r.Client("second") == nil || r.Client("b") != nil || r.Client("c") == nil || held.Client().Alias != "second" {
		t.Error("the changes were not applied")
	}
	f.changed, f.last = map[string]*Client{"a": nil}, 4
	if err := r.Refresh(t.Context(), start.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if held.Client() != nil || r.Client("second") != nil {
		t.Error("a deleted client lives on")
	}
	if age := r.Age(start.Add(3 * time.Second)); age != 2*time.Second {
		t.Errorf("age %v, want 2s", age)
	}
	if (*Registration)(nil).Client() != nil {
		t.Error("no registration has a client")
	}
}

// TestV1_AliasMovesToAnotherClient: in whatever order the changes of one poll are
// applied.
func TestV1_AliasMovesToAnotherClient(t *testing.T) {
	t.Parallel()
	for range 50 {
		f := &feed{last: 1}
		r, err := NewRegistry(t.Context(), f, start)
		if err != nil {
			t.Fatal(err)
		}
		f.changed, f.last = map[string]*Client{"a": nil, "b": {ID: "b", Alias: "first"}}, 2
		if err := r.Refresh(t.Context(), start); err != nil {
			t.Fatal(err)
		}
		if c := r.Client("first"); c == nil || c.ID != "b" {
			t.Fatalf("the alias leads to %v, want b", c)
		}
	}
}

// TestRegistryKeepsDecidingWithoutTheStore: an outage is told once, and the
// registry stays as it was.
func TestRegistryKeepsDecidingWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &feed{last: 1}
		r, err := NewRegistry(t.Context(), f, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		f.err = errors.New("locked")
		ctx, cancel := context.WithCancel(t.Context())
		told := 0
		go func() { _ = r.Run(ctx, time.Now, func(error) { told++ }) }()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if told != 1 || r.Client("a") == nil || r.Age(time.Now()) < 9*time.Second {
			t.Errorf("told %d times, age %v", told, r.Age(time.Now()))
		}
		before := f.set(map[string]*Client{"a": nil}, 2, nil)
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if r.Client("a") != nil || f.set(nil, 2, nil)-before < 1 {
			t.Error("a deletion was not followed within 200 ms")
		}
		cancel()
		synctest.Wait()
	})
}

func TestClientValidate(t *testing.T) {
	t.Parallel()
	good := Client{Name: "n", Account: "default", Environment: Production, Scopes: []string{"a:read"}}
	if faults := good.Validate(); len(faults) != 0 {
		t.Errorf("a good client: %v", faults)
	}
	for name, change := range map[string]func(*Client){
		"no name": func(c *Client) { c.Name = " " }, "control": func(c *Client) { c.Name = "a\nb" }, "alias": func(c *Client) { c.Alias = "No" },
		"account": func(c *Client) { c.Account = "a b" }, "environment": func(c *Client) { c.Environment = "test" }, "no scope": func(c *Client) { c.Scopes = nil },
		"scope": func(c *Client) { c.Scopes = []string{`a"b`} }, "negative": func(c *Client) { c.TokenTTL = -1 }, "long": func(c *Client) { c.TokenTTL = 2 * MaxLifetime }, "fraction": func(c *Client) { c.TokenTTL = 1500 * time.Millisecond },
	} {
		c := good
		change(&c)
		if faults := c.Validate(); len(faults) != 1 {
			t.Errorf("%s: %v, want one fault", name, faults)
		}
	}
}

func TestI10_ParseTrustedIP(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{"203.0.113.7": "203.0.113.7/32", "203.0.113.0/24": "203.0.113.0/24", "2001:db8::/32": "2001:db8::/32", "::ffff:10.0.0.1": "10.0.0.1/32"} {
		if p, err := ParseTrustedIP(s); err != nil || p.String() != want {
			t.Errorf("ParseTrustedIP(%q) = %v, %v, want %s", s, p, err, want)
		}
	}
	for _, s := range []string{"", "x", "10.0.0.1/8", "10.0.0.0/33", "fe80::1%eth0", "::ffff:10.0.0.0/104", "10.0.0.0/08"} {
		if p, err := ParseTrustedIP(s); err == nil {
			t.Errorf("ParseTrustedIP(%q) = %v, want an error", s, p)
		}
	}
}

func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	s := Secret("canary")
	for _, format := range []string{"%v", "%s", "%q", "%x", "%X", "%+v", "%#v", "%d"} {
		if text := fmt.Sprintf(format, s); strings.Contains(text, "canary") || strings.Contains(text, "63616e617279") {
			t.Errorf("%s prints %s", format, text)
		}
	}
	if text, _ := s.MarshalText(); strings.Contains(string(text), "canary") {
		t.Errorf("JSON has %s", text)
	}
	if s.Reveal() != "canary" {
		t.Error("Reveal does not")
	}
}

package manage

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// office is a world with plans, APIs that take API keys, and an administrator at work.
type office struct {
	*world
	boss string // bearer token
}

func newOffice(t *testing.T) *office {
	t.Helper()
	w := newWorld(t)
	w.settings.Plans = []Plan{{Name: "gold", PerMinute: 10, Burst: &Burst{2.5, 5}, Lockout: 60, WarnAt: 0.8}, {Name: "default", PerDay: 100, Shadow: true}}
	w.settings.KeyAPIs = []string{"contacts", "legacy"}
	return &office{w, w.bearer(w.client("boss", "acme", "tollgate:admin"))}
}

// by makes a request of the administrator.
func (o *office) by(method, target string, body any, headers ...string) *answer {
	o.t.Helper()
	return o.do(o.boss, method, target, body, headers...)
}

// ids are those of a list, read page by page.
func (o *office) ids(bearer, target, member string, limit int) (ids []string) {
	o.t.Helper()
	for cursor := ""; ; {
		p := o.do(bearer, "GET", fmt.Sprintf("%s?limit=%d%s", target, limit, cursor), nil).want(200)
		data := p.body["data"].([]any)
		for _, one := range data {
			ids = append(ids, one.(object)[member].(string))
		}
		if p.body["next_cursor"] == nil {
			return ids
		}
		if len(data) != limit || len(ids) > 100 {
			o.t.Fatalf("after %d records a page of %d that is not the last: %s", len(ids), len(data), p.raw)
		}
		cursor = "&cursor=" + p.text("next_cursor")
	}
}

// faults are the locations of what is wrong.
func (a *answer) faults() (locations []string) {
	list, _ := a.body["errors"].([]any)
	for _, one := range list {
		locations = append(locations, one.(object)["location"].(string))
	}
	slices.Sort(locations)
	return locations
}

// wantFaults fails the test where other fields are wrong than these.
func (a *answer) wantFaults(locations ...string) *answer {
	a.t.Helper()
	a.want(422)
	slices.Sort(locations)
	if got := a.faults(); !slices.Equal(got, locations) {
		a.t.Errorf("faults in %q, want %q: %s", got, locations, a.raw)
	}
	return a
}

// says fails the test where the answer lacks a text.
func (a *answer) says(text string) *answer {
	a.t.Helper()
	if !strings.Contains(a.raw, text) {
		a.t.Errorf("the answer lacks %q: %s", text, a.raw)
	}
	return a
}

// hides fails the test where the answer has a text.
func (a *answer) hides(text string) *answer {
	a.t.Helper()
	if text == "" || strings.Contains(a.raw, text) {
		a.t.Errorf("the answer has %q: %s", text, a.raw)
	}
	return a
}

package decisions

import (
	"net"
	"slices"
	"strings"
	"time"
)

// Filter says which decisions are meant. The zero Filter means all; of what is set, all
// must hold.
type Filter struct {
	Account string    `json:"account,omitempty"`
	Client  string    `json:"client_id,omitempty"`
	Token   string    `json:"token_id,omitempty"`
	Codes   []string  `json:"codes,omitempty"` // one of them
	API     string    `json:"api,omitempty"`
	Route   string    `json:"route,omitempty"`  // as Record.Route
	Status  int       `json:"status,omitempty"` // or its first digit, for all of that class
	Host    string    `json:"host,omitempty"`   // in any case, with or without the port
	ID      string    `json:"decision_id,omitempty"`
	Since   time.Time `json:"since,omitzero"`
}

// match reports whether a decision is meant.
func (f *Filter) match(k *kept) bool {
	for _, wanted := range [...]struct {
		field field
		text  string
	}{
		{fieldAccount, f.Account}, {fieldClient, f.Client}, {fieldToken, f.Token}, {fieldAPI, f.API}, {fieldRoute, f.Route},
	} {
		if wanted.text != "" && !k.is(wanted.field, wanted.text) {
			return false
		}
	}
	switch {
	case len(f.Codes) > 0 && !slices.ContainsFunc(f.Codes, func(code string) bool { return k.is(fieldCode, code) }):
		return false
	case f.Status != 0 && f.Status != int(k.status) && f.Status != int(k.status)/100:
		return false
	case f.ID != "" && f.ID != string(k.id[:]):
		return false
	case !f.Since.IsZero() && k.at < f.Since.UnixNano():
		return false
	}
	return f.Host == "" || f.isHost(k)
}

func (f *Filter) isHost(k *kept) bool {
	sent := k.show(fieldHost)
	if strings.EqualFold(sent, f.Host) {
		return true
	}
	name, _, err := net.SplitHostPort(sent)
	return err == nil && strings.EqualFold(name, f.Host)
}

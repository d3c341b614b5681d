package endpoint

import (
	"net/netip"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
)

// Failed authentications a minute. They keep the log readable and a guesser
// slow; secrets have too many bits to be guessed at any speed.
const (
	failuresOfSource = 30 // over all clients
	failuresAtClient = 10 // at one client_id, from one source
	// sources of an IPv6 site together have as much as this many.
	sourcesOfSite = 8
)

// failures counts failed authentications by source, and by source and client_id.
// Never by client_id alone: a stranger's failures would lock the client out.
//
// Strangers with many addresses can fill the table. Then a new source is not
// counted, and its requests pass on to the check of the secret: refusing them
// would let anyone who fills the table keep every good client out, and letting
// them try wins nothing against 256 random bits. Nor is a source counted whose
// address is unknown, for its budget would be everybody's.
type failures struct {
	table        *limiter.Table
	source, site failureLimits
}

// failureLimits are what one network of a kind has.
type failureLimits struct{ all, atClient []*limiter.Plan }

func newFailures(table *limiter.Table) (failures, error) {
	source, err := newFailureLimits("source", 1)
	if err != nil {
		return failures{}, err
	}
	site, err := newFailureLimits("site", sourcesOfSite)
	if err != nil {
		return failures{}, err
	}
	return failures{table, source, site}, nil
}

func newFailureLimits(network string, sources int64) (l failureLimits, err error) {
	all, err := limiter.NewPlan(limiter.Plan{Name: "failures of a " + network, PerMinute: sources * failuresOfSource})
	if err != nil {
		return l, err
	}
	atClient, err := limiter.NewPlan(limiter.Plan{Name: "failures of a " + network + " at a client", PerMinute: sources * failuresAtClient})
	if err != nil {
		return l, err
	}
	return failureLimits{[]*limiter.Plan{all}, []*limiter.Plan{atClient}}, nil
}

// look returns how long the source must wait before it may try again.
func (f *failures) look(now time.Time, from netip.Addr, id string) time.Duration {
	return f.ask(f.table.Look, now, from, id)
}

// charge notes a failure. It too returns how long the source must wait: of many
// requests at once, more could have passed look than there was room for.
func (f *failures) charge(now time.Time, from netip.Addr, id string) time.Duration {
	return f.ask(f.table.Take, now, from, id)
}

type askTable func(time.Time, limiter.Subject, []*limiter.Plan, *limiter.Result)

// ask asks for the source and the site it is in. A source is what one subscriber
// has: an IPv4 address, or a /64 of IPv6, in which anyone can take as many
// addresses as he likes. Whole sites get a /48, which is 65,536 of those.
func (f *failures) ask(table askTable, now time.Time, from netip.Addr, id string) (wait time.Duration) {
	if !from.IsValid() {
		return 0
	}
	if from = from.Unmap(); from.Is4() {
		return f.askNetwork(table, now, from.String(), id, f.source)
	}
	return max(f.askNetwork(table, now, prefix(from, 64), id, f.source),
		f.askNetwork(table, now, prefix(from, 48), id, f.site))
}

// askNetwork returns zero where there is no room to count.
func (f *failures) askNetwork(table askTable, now time.Time, network, id string, l failureLimits) time.Duration {
	var all, atClient limiter.Result
	table(now, f.table.Subject("all", network), l.all, &all)
	table(now, f.table.Subject("client", network, id), l.atClient, &atClient)
	return max(all.RetryAfter, atClient.RetryAfter)
}

// prefix is without zone: that names an interface here, not a network.
func prefix(a netip.Addr, bits int) string {
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return a.String()
	}
	return p.String()
}

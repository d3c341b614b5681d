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
	table  *limiter.Table
	source []*limiter.Plan
	client []*limiter.Plan
}

func newFailures(table *limiter.Table) (failures, error) {
	source, err := limiter.NewPlan("failures_of_source", limiter.Burst{}, failuresOfSource)
	if err != nil {
		return failures{}, err
	}
	client, err := limiter.NewPlan("failures_at_client", limiter.Burst{}, failuresAtClient)
	if err != nil {
		return failures{}, err
	}
	return failures{table, []*limiter.Plan{source}, []*limiter.Plan{client}}, nil
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

func (f *failures) ask(table func(time.Time, limiter.Subject, []*limiter.Plan, *limiter.Result), now time.Time, from netip.Addr, id string) time.Duration {
	if !from.IsValid() {
		return 0
	}
	network := networkOf(from)
	var ofSource, atClient limiter.Result
	table(now, f.table.Subject("source", network), f.source, &ofSource)
	table(now, f.table.Subject("client", network, id), f.client, &atClient)
	return max(ofSource.RetryAfter, atClient.RetryAfter) // zero where there was no room to count
}

// networkOf is what one subscriber has: an IPv4 address, or a /64 of IPv6, in
// which anyone can take as many addresses as he likes.
func networkOf(a netip.Addr) string {
	bits := 64
	if a = a.Unmap(); a.Is4() {
		bits = 32
	}
	network, err := a.Prefix(bits)
	if err != nil {
		return a.String()
	}
	return network.Addr().String()
}

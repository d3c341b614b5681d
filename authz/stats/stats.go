// Package stats counts decisions: how many requests of which account, domain, API,
// route, client and token got which answer, what they paid, and from which addresses
// they came (row O5).
//
// It owns the counting in memory (Book), the form in which a store keeps what was
// counted, the merging of what many flushes have brought (Compact), and the questions
// that people ask of it (Reader). A store keeps bytes and knows nothing of what is in
// them. Who is asked what he may see is decided elsewhere.
package stats

import (
	"net/netip"
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// Series names what is counted together within an account. All but Client and Token are
// bounded by the configuration.
type Series struct {
	Domain string // host pattern of the configuration; empty: none matches
	API    string // empty, as Route: none matches
	Route  string
	Client string // empty, as Token: nobody was identified
	Token  string // its ID
	Code   string
}

// Codes of answers that are more than an R-code.
const (
	Allowed    = "allow"
	BadRequest = "R0/400"
	Internal   = "R0/503" // our own fault
)

// Others stands for tokens, clients and routes that there was no room for.
const Others = "(others)"

// Counts is what is counted of a series.
type Counts struct {
	Requests   int64
	PaidCalls  int64 // allowed ones that had a price
	PaidAmount quota.Micros
}

func (c *Counts) add(more Counts) {
	c.Requests += more.Requests
	c.PaidCalls += more.PaidCalls
	c.PaidAmount += more.PaidAmount
}

// Event is one decision. Its strings are kept until they have been stored: they must
// not share memory with anything large or short-lived.
type Event struct {
	At      time.Time
	Account string // empty: nobody was identified
	Series
	Price  quota.Micros // paid; 0: it cost nothing, or was refused
	Source netip.Addr   // zero: unknown
}

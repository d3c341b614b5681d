package tokens

import (
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// Account is whose limits, time zone and money count. A *Account is never changed
// once published.
type Account struct {
	Name      string
	Zone      string // IANA name of the time zone its days begin in; empty: the configuration's
	CreatedAt time.Time
	// Credit is the sum of its credits: the limit of what all of its requests together
	// may cost. What of it is spent, the ledger knows.
	Credit quota.Micros
	// CreditRev is how many credits there were: the revision of that limit.
	CreditRev int64
}

// Validate says everything that is wrong with an account that someone wants to store.
func (a *Account) Validate() []error {
	var f faults
	f.account(a.Name)
	if a.Zone != "" {
		if _, err := time.LoadLocation(a.Zone); err != nil || a.Zone == "Local" {
			f.add("zone %q is unknown: an IANA name such as Europe/Berlin is needed", a.Zone)
		}
	}
	return f
}

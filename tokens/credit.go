package tokens

import (
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// Credit is money that was put into an account's wallet or, as a correction, taken
// out of it. A Credit is never changed: another one makes good for it.
type Credit struct {
	Account string
	ID      string       // that the caller has given it, so that a repeated request pays once
	Amount  quota.Micros // negative: a correction
	What    string       // for people; may be empty
	At      time.Time
}

// Validate says everything that is wrong with a credit that someone wants to store.
func (c *Credit) Validate() []error {
	var f faults
	f.account(c.Account)
	if !wordForm.MatchString(c.ID) {
		f.add("credit ID %q: 1 to 128 of letters, digits and . _ : / @ - are needed, starting with a letter or digit", c.ID)
	}
	if c.Amount == 0 || c.Amount < -quota.Most || c.Amount > quota.Most {
		f.add("amount %s: from %s to %s are allowed, and not 0", c.Amount, quota.Micros(-quota.Most), quota.Micros(quota.Most))
	}
	if len(c.What) > 200 || hasControl(c.What) {
		f.add("text %q: up to 200 printable characters are allowed", c.What)
	}
	if c.At.IsZero() {
		f.add("the credit does not say when it was given")
	}
	return f
}

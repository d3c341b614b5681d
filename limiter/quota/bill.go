package quota

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
)

// Charge is one limit that requests are charged to.
type Charge struct {
	ID     LimitID
	Plan   *limiter.Plan // whose limit it is, for standings; nil: of no plan
	Limit  int64
	Rev    int64 // revision of Limit: of two limits the one with the higher is in force
	Near   int64 // how much is used when it counts as nearly used up; 0: never
	Kind   limiter.Kind
	Paid   bool // only requests with a price count
	Shadow bool // counts, and refuses nothing
	// Allow lets requests pass that cannot be counted before they pass, because the
	// ledger does not answer. They are counted later. The limit may be exceeded.
	Allow bool
	// Lines: what is spent is listed for people (Ledger.Lines).
	Lines bool
}

// Daily tells limits of a calendar day from those that never reset.
func (c *Charge) Daily() bool {
	return c.Kind == limiter.KindPerDay || c.Kind == limiter.KindAuthPerDay
}

// cost is what a request of that price is charged; 0: nothing.
func (c *Charge) cost(price Micros) int64 {
	switch {
	case c.Kind.IsMoney():
		return int64(price)
	case c.Paid && price == 0:
		return 0
	}
	return 1
}

// BillID names a Bill within an account.
type BillID [16]byte

// NewBillID makes a name of parts, as NewLimitID does.
func NewBillID(parts ...string) BillID { return BillID(hash(parts...)) }

// Bill is all that a request of some caller is charged to, resolved once. It is safe
// for concurrent use, and what it refers to is looked up again when it has gone.
type Bill struct {
	account *account
	items   []item // guarded by the account's mutex, except the charges, which do not change
}

// item is one charge and where it is counted.
type item struct {
	Charge
	counter *counter
	daily   bool
	priced  bool // of money
}

// cost is Charge.cost, remembered.
func (it *item) cost(price Micros) int64 {
	if it.priced {
		return int64(price)
	}
	if it.Paid && price == 0 {
		return 0
	}
	return 1
}

// Bill returns the bill of that name, which all share who ask for it; one without a
// name is the caller's alone. The charges are those that apply now: limits that have
// changed are in force from here on, for everybody who is charged to them. An
// account's zone takes hold with its next day.
func (b *Book) Bill(id BillID, account string, zone *time.Location, charges []Charge) *Bill {
	a := b.account(account, zone)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nextZone = zone
	bill := a.bills[id]
	if bill == nil || !bill.has(charges) {
		bill = &Bill{account: a, items: make([]item, len(charges))}
		for i := range charges {
			bill.items[i] = item{Charge: charges[i], daily: charges[i].Daily(), priced: charges[i].Kind.IsMoney()}
		}
		if id != (BillID{}) {
			a.dropBills()
			a.bills[id] = bill
		}
	}
	for i := range bill.items {
		if c := a.counters[bill.items[i].ID]; c != nil {
			b.revise(c, &bill.items[i].Charge)
		}
	}
	return bill
}

// dropBills forgets bills of subjects that are not counted any more, when there are
// many. Who still has one goes on with it.
func (a *account) dropBills() {
	if len(a.bills) < 2*len(a.counters)+100 {
		return
	}
	for id, bill := range a.bills {
		if !slices.ContainsFunc(bill.items, func(it item) bool { return it.counter != nil && !it.counter.gone }) {
			delete(a.bills, id)
		}
	}
}

func (bill *Bill) has(charges []Charge) bool {
	if len(bill.items) != len(charges) {
		return false
	}
	for i := range charges {
		if bill.items[i].Charge != charges[i] {
			return false
		}
	}
	return true
}

// Len is how many limits the bill has.
func (bill *Bill) Len() int { return len(bill.items) }

// hash is of parts that are told apart by their lengths: ("ab", "c") is another than
// ("a", "bc").
func hash(parts ...string) (id [16]byte) {
	h := sha256.New()
	var length [8]byte
	for _, part := range parts {
		binary.LittleEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	copy(id[:], h.Sum(nil))
	return id
}

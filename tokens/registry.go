package tokens

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Records is where the registry learns of records, implemented by the stores.
type Records interface {
	// Clients returns every client and the number of the last change they include.
	Clients(ctx context.Context) (clients []*Client, last int64, err error)
	// Changes returns what became of the clients changed after the change of that
	// number: the client as it is now, or nil for one that was deleted. It is
	// called several times a second and must be cheap when nothing changed.
	Changes(ctx context.Context, after int64) (changed map[string]*Client, last int64, err error)
}

// Registry knows every client in memory, so that no request waits for the store.
// It follows the store's change feed; a client that was deleted or narrowed there
// is so here within one poll.
type Registry struct {
	records Records

	mu      sync.RWMutex
	clients map[string]*Registration // by ID; grows with the clients in the store, which only administrators make
	aliases map[string]string        // alias to ID
	last    int64                    // number of the last change applied

	polled atomic.Int64 // unix nanoseconds of the last successful poll
}

// Registration holds the current state of one client. Tokens keep a pointer to
// it, so that an edit or a deletion reaches them without a look-up.
type Registration struct{ current atomic.Pointer[Client] }

// Client returns the client as it is now; nil once it was deleted.
func (r *Registration) Client() *Client {
	if r == nil {
		return nil
	}
	return r.current.Load()
}

// NewRegistry loads every client.
func NewRegistry(ctx context.Context, records Records, now time.Time) (*Registry, error) {
	r := &Registry{records: records, clients: map[string]*Registration{}, aliases: map[string]string{}}
	clients, last, err := records.Clients(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the clients: %w", err)
	}
	for _, c := range clients {
		r.publishLocked(c.ID, c)
	}
	r.last = last
	r.polled.Store(now.UnixNano())
	return r, nil
}

// Client returns the client of that ID or alias, nil when there is none.
func (r *Registry) Client(idOrAlias string) *Client {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if id, ok := r.aliases[idOrAlias]; ok {
		idOrAlias = id
	}
	return r.clients[idOrAlias].Client()
}

// Len returns how many clients are known.
func (r *Registry) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.clients)
}

// Plans returns how many clients have each plan.
func (r *Registry) Plans() map[string]int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	plans := map[string]int{}
	for _, reg := range r.clients {
		if c := reg.Client(); c != nil {
			plans[c.Plan]++
		}
	}
	return plans
}

func (r *Registry) registration(id string) *Registration {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.clients[id]
}

// publishLocked makes c the current state of the client; nil deletes it.
func (r *Registry) publishLocked(id string, c *Client) {
	reg := r.clients[id]
	if reg == nil {
		if c == nil {
			return
		}
		reg = &Registration{}
		r.clients[id] = reg
	}
	// The alias may belong to another client by now: changes come in no order.
	if old := reg.current.Swap(c); old != nil && r.aliases[old.Alias] == id {
		delete(r.aliases, old.Alias)
	}
	if c == nil {
		delete(r.clients, id) // tokens that hold the registration keep seeing nil
	} else if c.Alias != "" {
		r.aliases[c.Alias] = id
	}
}

// Refresh applies the changes since the last one applied.
func (r *Registry) Refresh(ctx context.Context, now time.Time) error {
	r.mu.RLock()
	after := r.last
	r.mu.RUnlock()
	changed, last, err := r.records.Changes(ctx, after)
	if err != nil {
		return fmt.Errorf("follow the changes of the store: %w", err)
	}
	r.polled.Store(now.UnixNano())
	if last == after {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if last <= r.last { // another Refresh was faster
		return nil
	}
	for id, c := range changed {
		r.publishLocked(id, c)
	}
	r.last = last
	return nil
}

// Age is how long ago the store last answered.
func (r *Registry) Age(now time.Time) time.Duration {
	return now.Sub(time.Unix(0, r.polled.Load()))
}

// PollInterval keeps the promise that `serve` follows the command line within
// 200 ms (contract section 1) with time left for the poll itself.
const PollInterval = 100 * time.Millisecond

// Run follows the store until ctx ends. While the store does not answer, the
// registry stays as it is and report is told once per outage.
func (r *Registry) Run(ctx context.Context, now func() time.Time, report func(error)) error {
	tick := time.NewTicker(PollInterval)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := r.Refresh(ctx, now())
		if err != nil && !failing && ctx.Err() == nil {
			report(err)
		}
		failing = err != nil
	}
}

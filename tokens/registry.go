package tokens

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Records is where the registry learns of records, implemented by the stores.
type Records interface {
	// Snapshot returns all records that decide about requests.
	Snapshot(ctx context.Context) (*Changes, error)
	// Changes returns what became of the records changed after the change of that
	// number. It is called several times a second and must be cheap when nothing
	// changed. ErrGap means that the store no longer knows.
	Changes(ctx context.Context, after int64) (*Changes, error)
	// SigningKeys returns our signing keys.
	SigningKeys(ctx context.Context) ([]*SigningKey, error)
}

// Changes are records as they are now, nil for those that were deleted. A record
// that is left out has not changed.
type Changes struct {
	Clients     map[string]*Client
	Grants      map[string]*Grant
	Families    map[string]*Family // that were ended
	APIKeys     map[string]*APIKey
	Moves       map[MoveID]*Move
	Accounts    map[string]*Account
	Lockouts    map[LockoutID]*Lockout
	SigningKeys bool  // some changed
	Last        int64 // number of the last change that is included
}

// MoveID names a Move.
type MoveID struct{ Account, API string }

// Registry knows in memory every record that decides about requests, so that none
// waits for the store. It follows the store's change feed; what was ended or
// narrowed there is so here within one poll.
//
// It grows with the store, which administrators and the holders of credentials
// make grow, at the rate that limits leave them.
type Registry struct {
	records Records
	keys    *KeyRing
	onMove  func(MoveID, *Move)

	following sync.Mutex // one Refresh at a time: they apply changes in order

	mu       sync.RWMutex
	clients  map[string]*Registration // by ID
	aliases  map[string]string        // alias to ID
	grants   map[string]*Grant        // by ID
	opaque   map[hashKey]*Grant       // those that are known by their hash
	ends     map[int64][]*Grant       // by the minute from which on they may be forgotten
	families map[string]time.Time     // that were ended, and when their last access token expires
	apiKeys  map[string]*APIKey       // by ID
	byHash   map[hashKey]*Token       // the credentials that they are
	moves    map[MoveID]*Move
	accounts map[string]*Account // by name
	last     int64               // number of the last change applied

	lockouts lockouts // guards itself

	// revision counts the changes that may have ended or narrowed a credential, or
	// changed its limits: what was decided about a token under an older one is decided
	// anew.
	revision atomic.Uint64
	polled   atomic.Int64 // unix nanoseconds of the last successful poll
}

// hashKey is half of a SHA-256: enough to find a record, whose whole hash is then
// compared.
type hashKey [sha256.Size / 2]byte

func keyOf(hash *[sha256.Size]byte) hashKey { return hashKey(hash[:len(hashKey{})]) }

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

// NewRegistry loads every record, and the signing keys into keys.
func NewRegistry(ctx context.Context, records Records, keys *KeyRing, now time.Time) (*Registry, error) {
	r := &Registry{records: records, keys: keys, lockouts: lockouts{most: mostLockouts}}
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	r.polled.Store(now.UnixNano())
	return r, nil
}

// load takes everything from a snapshot.
func (r *Registry) load(ctx context.Context) error {
	all, err := r.records.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("load the records: %w", err)
	}
	if err := r.loadKeys(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.clients { // tokens hold on to registrations
		if all.Clients[id] == nil {
			r.publishLocked(id, nil)
		}
	}
	if r.clients == nil {
		r.clients, r.aliases = make(map[string]*Registration, len(all.Clients)), map[string]string{}
	}
	r.grants, r.opaque = make(map[string]*Grant, len(all.Grants)), make(map[hashKey]*Grant, len(all.Grants))
	r.ends = map[int64][]*Grant{}
	r.families = map[string]time.Time{}
	r.apiKeys, r.byHash = map[string]*APIKey{}, map[hashKey]*Token{}
	r.moves, r.accounts = map[MoveID]*Move{}, make(map[string]*Account, len(all.Accounts))
	r.applyLocked(all)
	r.lockouts.load(all.Lockouts)
	r.revision.Add(1) // also when all that a snapshot tells is that everything is gone
	return nil
}

func (r *Registry) loadKeys(ctx context.Context) error {
	keys, err := r.records.SigningKeys(ctx)
	if err == nil {
		err = r.keys.Set(keys)
	}
	if err != nil {
		return fmt.Errorf("load the signing keys: %w", err)
	}
	return nil
}

func (r *Registry) applyLocked(c *Changes) {
	for id, client := range c.Clients {
		r.publishLocked(id, client)
	}
	bound := false
	for id, grant := range c.Grants {
		bound = r.grantLocked(id, grant) || bound
	}
	for id, family := range c.Families {
		if family == nil {
			delete(r.families, id)
		} else {
			r.families[id] = family.TokensUntil
		}
	}
	for id, key := range c.APIKeys {
		r.apiKeyLocked(id, key)
	}
	for id, move := range c.Moves {
		if move == nil {
			delete(r.moves, id)
		} else {
			r.moves[id] = move
		}
	}
	for name, account := range c.Accounts {
		if account == nil {
			delete(r.accounts, name)
		} else {
			r.accounts[name] = account
		}
	}
	r.last = c.Last
	if bound || len(c.Clients)+len(c.Families)+len(c.APIKeys)+len(c.Moves)+len(c.Accounts) > 0 {
		r.revision.Add(1)
	}
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

// grantLocked reports whether a token that somebody holds may have been ended or
// bound to terms by it. An opaque token that is new is held by nobody yet; a JWT was
// good before its record came.
func (r *Registry) grantLocked(id string, g *Grant) bool {
	old := r.grants[id]
	if old != nil && old.IsOpaque() {
		delete(r.opaque, keyOf(&old.Hash))
		if before := old.oldHash(); before != nil {
			delete(r.opaque, keyOf(before))
		}
	}
	if g == nil {
		delete(r.grants, id)
		return old != nil
	}
	r.grants[id] = g
	if g.IsOpaque() {
		r.opaque[keyOf(&g.Hash)] = g
		if before := g.oldHash(); before != nil {
			r.opaque[keyOf(before)] = g
		}
	}
	minute := g.forgottenFrom().Unix()/60 + 1
	r.ends[minute] = append(r.ends[minute], g)
	return old != nil || !g.RevokedAt.IsZero() || !g.IsOpaque()
}

func (r *Registry) apiKeyLocked(id string, k *APIKey) {
	if old := r.apiKeys[id]; old != nil {
		delete(r.byHash, keyOf(&old.Hash))
	}
	if k == nil {
		delete(r.apiKeys, id)
		return
	}
	r.apiKeys[id] = k
	r.byHash[keyOf(&k.Hash)] = &Token{
		Trust: apiKeyTrust, ID: k.ID, ClientID: k.ID, Scopes: k.Scopes, Expires: k.ExpiresAt, digest: k.Hash,
		Origin: &Origin{Issued: k.CreatedAt, registry: r},
	}
}

// ErrGap means that a registry is further behind than the store's feed reaches
// back: it must be loaded anew.
var ErrGap = errors.New("the change feed does not reach back that far")

// ReportMoves has f told of every mark that is made in the store or taken back there,
// nil in that case. It is called before Run.
func (r *Registry) ReportMoves(f func(MoveID, *Move)) { r.onMove = f }

// Refresh applies the changes since the last one applied. Once it has returned,
// everything that the store had committed before is in force here.
func (r *Registry) Refresh(ctx context.Context, now time.Time) error {
	r.following.Lock()
	defer r.following.Unlock()
	changes, err := r.records.Changes(ctx, r.last) // written under both locks only
	switch {
	case errors.Is(err, ErrGap):
		err = r.load(ctx)
	case err != nil:
	case changes.Last == r.last:
	default:
		if changes.SigningKeys {
			err = r.loadKeys(ctx)
		}
		if err == nil {
			r.mu.Lock()
			r.applyLocked(changes)
			r.mu.Unlock()
			r.lockouts.apply(changes.Lockouts)
			r.reportMoves(changes.Moves)
		}
	}
	if err != nil {
		return fmt.Errorf("follow the changes of the store: %w", err)
	}
	r.polled.Store(now.UnixNano())
	return nil
}

func (r *Registry) reportMoves(moves map[MoveID]*Move) {
	if r.onMove == nil {
		return
	}
	for id, m := range moves {
		r.onMove(id, m)
	}
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

// KeepExpired is how long expired tokens stay known, so that their holders are told
// that they expired (R5) and not that they are unknown (R1). Of a JWT its record may say
// that it expires earlier than it says itself.
const KeepExpired = 24 * time.Hour

// forgottenFrom is when nobody needs to know of the token any longer.
func (g *Grant) forgottenFrom() time.Time {
	return g.ExpiresAt.Add(KeepExpired)
}

// Prune forgets what expired, within a minute. It looks at nothing else: requests wait
// meanwhile.
func (r *Registry) Prune(now time.Time) {
	r.lockouts.prune(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	for minute, ended := range r.ends {
		if minute*60 > now.Unix() {
			continue
		}
		delete(r.ends, minute)
		for _, g := range ended {
			if current := r.grants[g.ID]; current != nil && !now.Before(current.forgottenFrom()) {
				r.grantLocked(g.ID, nil)
			}
		}
	}
	for id, until := range r.families {
		if now.After(until) {
			delete(r.families, id)
		}
	}
}

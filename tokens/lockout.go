package tokens

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Lockout refuses one token or API key until a time, because it had exceeded its
// per_minute (row V4). A *Lockout is never changed once published.
type Lockout struct {
	Issuer  string // of the token; empty for an API key
	Token   string // ID
	Client  string // ID
	Account string
	Plan    string // whose limit was exceeded
	Since   time.Time
	Until   time.Time // from then on the token is accepted again
}

// LockoutID names a Lockout.
type LockoutID struct{ Issuer, Token string }

// ID returns the lockout's name.
func (l *Lockout) ID() LockoutID { return LockoutID{l.Issuer, l.Token} }

// Lasting reports whether the lockout is to survive a restart (contract section 6). One
// of a minute or less is never stored: it would be over about when another process
// has learned of it.
func (l *Lockout) Lasting() bool { return l.Until.Sub(l.Since) > time.Minute }

// LockNow puts a lockout in force here before the store has it, and until it is over if
// the store never gets it. One that is in force and ends later stays.
func (r *Registry) LockNow(l *Lockout) { r.lockouts.lock(l) }

// Unlock ends a lockout here, and reports whether there was one. One that is stored
// comes back unless it is deleted there, which ends it at every process.
func (r *Registry) Unlock(id LockoutID) bool { return r.lockouts.unlock(id) }

// Lockout returns the lockout of a token that is in force, nil when there is none. It
// is asked at every request.
func (r *Registry) Lockout(issuer, token string, now time.Time) *Lockout {
	return r.lockouts.find(LockoutID{issuer, token}, now)
}

// Lockouts returns those that are in force, the oldest first.
func (r *Registry) Lockouts(now time.Time) []*Lockout { return r.lockouts.list(now) }

// mostLockouts bounds how many are known. One that finds no room is not remembered:
// its token is then refused by per_minute alone.
const mostLockouts = 1_000_000

// lockouts are those that the store has, and those that began here. They are no part
// of anybody's Identity, so a change of them leaves the registry's revision alone: an
// attack that locks out a thousand tokens does not have all others looked at anew.
type lockouts struct {
	count atomic.Int64 // len(byID): most of the time there are none, and nobody waits for the lock
	most  int

	mu   sync.RWMutex
	byID map[LockoutID]lockout
	ends map[int64][]*Lockout // by the minute from which on they may be forgotten
}

// lockout is one of them. Until the store is known to have it, a snapshot of the store
// that does not name it says nothing about it.
type lockout struct {
	*Lockout
	here bool // it began here, and the store is not known to have it
}

func (t *lockouts) find(id LockoutID, now time.Time) *Lockout {
	if t.count.Load() == 0 {
		return nil
	}
	t.mu.RLock()
	l := t.byID[id]
	t.mu.RUnlock()
	if l.Lockout == nil || !now.Before(l.Until) {
		return nil
	}
	return l.Lockout
}

func (t *lockouts) list(now time.Time) []*Lockout {
	var list []*Lockout
	t.mu.RLock()
	for _, l := range t.byID {
		if now.Before(l.Until) {
			list = append(list, l.Lockout)
		}
	}
	t.mu.RUnlock()
	slices.SortFunc(list, func(a, b *Lockout) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Issuer, b.Issuer), strings.Compare(a.Token, b.Token))
	})
	return list
}

func (t *lockouts) lock(l *Lockout) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.byID[l.ID()]; old.Lockout == nil || l.Until.After(old.Until) {
		t.putLocked(l, true)
	}
}

func (t *lockouts) unlock(id LockoutID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, known := t.byID[id]
	t.removeLocked(id)
	return known
}

// load takes all that the store has, and keeps what it may not have yet. There is no
// moment at which a token that is locked out before and after would pass.
func (t *lockouts) load(all map[LockoutID]*Lockout) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.byID
	t.byID, t.ends = make(map[LockoutID]lockout, len(all)), map[int64][]*Lockout{}
	for _, l := range before {
		if l.here {
			t.putLocked(l.Lockout, true)
		}
	}
	t.applyLocked(all)
	t.count.Store(int64(len(t.byID)))
}

// apply makes what became of the store's lockouts true here. A deletion lifts one that
// began here as well.
func (t *lockouts) apply(changed map[LockoutID]*Lockout) {
	if len(changed) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.applyLocked(changed)
}

func (t *lockouts) applyLocked(changed map[LockoutID]*Lockout) {
	for id, l := range changed {
		switch old := t.byID[id]; {
		case l == nil:
			t.removeLocked(id)
		case old.here && old.Until.UnixMicro() > l.Until.UnixMicro(): // what began here is not stored yet; stores keep microseconds
		default:
			t.putLocked(l, false)
		}
	}
}

func (t *lockouts) putLocked(l *Lockout, here bool) {
	id := l.ID()
	if _, known := t.byID[id]; !known && len(t.byID) >= t.most {
		return
	}
	t.byID[id] = lockout{l, here}
	t.count.Store(int64(len(t.byID)))
	minute := l.Until.Unix()/60 + 1
	t.ends[minute] = append(t.ends[minute], l)
}

func (t *lockouts) removeLocked(id LockoutID) {
	delete(t.byID, id)
	t.count.Store(int64(len(t.byID)))
}

// prune forgets what is over, within a minute.
func (t *lockouts) prune(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for minute, ended := range t.ends {
		if minute*60 > now.Unix() {
			continue
		}
		delete(t.ends, minute)
		for _, l := range ended {
			id := l.ID()
			if current := t.byID[id]; current.Lockout != nil && !now.Before(current.Until) {
				t.removeLocked(id)
			}
		}
	}
}

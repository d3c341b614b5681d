package tokens

import (
	"crypto/sha256"
	"time"
)

// What others ask the registry.

// Client returns the client of that ID or alias, nil when there is none.
func (r *Registry) Client(idOrAlias string) *Client {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if id, ok := r.aliases[idOrAlias]; ok {
		idOrAlias = id
	}
	return r.clients[idOrAlias].Client()
}

// Account returns the account of that name, nil when there is none.
func (r *Registry) Account(name string) *Account {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.accounts[name]
}

// APIKey returns the credential that the API key of that ID is, nil when there is none.
func (r *Registry) APIKey(id string) *Token {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k := r.apiKeys[id]
	if k == nil {
		return nil
	}
	return r.byHash[keyOf(&k.Hash)]
}

// ScopesOf returns the scopes that clients of an account have, of all accounts for "".
func (r *Registry) ScopesOf(account string) map[string]bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	has := map[string]bool{}
	for _, reg := range r.clients {
		if c := reg.Client(); c != nil && (account == "" || c.Account == account) {
			for _, s := range c.Scopes {
				has[s] = true
			}
		}
	}
	return has
}

// Plans returns how many clients and API keys have each plan.
func (r *Registry) Plans() map[string]int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	plans := map[string]int{}
	for _, reg := range r.clients {
		if c := reg.Client(); c != nil {
			plans[c.Plan]++
		}
	}
	for _, k := range r.apiKeys {
		plans[k.Plan]++
	}
	return plans
}

// Len returns how many clients are known, Grants how many tokens and APIKeys how
// many API keys.
func (r *Registry) Len() int     { return r.count(func() int { return len(r.clients) }) }
func (r *Registry) Grants() int  { return r.count(func() int { return len(r.grants) }) }
func (r *Registry) APIKeys() int { return r.count(func() int { return len(r.apiKeys) }) }

func (r *Registry) count(n func() int) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return n()
}

// Age is how long ago the store last answered.
func (r *Registry) Age(now time.Time) time.Duration {
	return now.Sub(time.Unix(0, r.polled.Load()))
}

// Moved reports whether an account's API keys are refused at an API.
func (r *Registry) Moved(account, api string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.moves[MoveID{account, api}] != nil
}

// MoveNow puts a mark in force here before the store has it.
func (r *Registry) MoveNow(m *Move) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id := (MoveID{m.Account, m.API}); r.moves[id] == nil {
		r.moves[id] = m
		r.revision.Add(1)
	}
}

func (r *Registry) registration(id string) *Registration {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.clients[id]
}

// grant returns what is recorded of the token of that ID.
func (r *Registry) grant(id string) *Grant {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.grants[id]
}

// liveGrants returns what is recorded of tokens that have not expired, in no order.
func (r *Registry) liveGrants(now time.Time) []*Grant {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var list []*Grant
	for _, g := range r.grants {
		if now.Before(g.ExpiresAt) {
			list = append(list, g)
		}
	}
	return list
}

// opaqueGrant finds the token of that hash.
func (r *Registry) opaqueGrant(hash *[sha256.Size]byte) *Grant {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if g := r.opaque[keyOf(hash)]; g != nil {
		if _, ok := g.rotationOf(hash); ok {
			return g
		}
	}
	return nil
}

// apiKey finds the API key of that hash.
func (r *Registry) apiKey(hash *[sha256.Size]byte) *Token {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if t := r.byHash[keyOf(hash)]; t != nil && t.digest == *hash {
		return t
	}
	return nil
}

package tokens

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// How often keys are fetched.
const (
	fetchDefault  = 5 * time.Minute  // when the answer has no max-age
	fetchAtMost   = 1 * time.Minute  // however short its max-age is
	fetchAtLeast  = 1 * time.Hour    // however long its max-age is
	fetchCooldown = 30 * time.Second // between two fetches because of unknown kids, and after failures with a set in hand
	retryFirst    = 500 * time.Millisecond
	retryMost     = 4 * time.Second // while no set was ever loaded: ready within 5 s of the issuer's return (bar B6)
)

// RemoteKeysConfig says where an issuer's keys come from.
type RemoteKeysConfig struct {
	Issuer   string
	URI      string // jwks_uri; empty: discovery (OpenID Connect Discovery 1.0, RFC 8414)
	CacheDir string // where the last good set outlives a restart; empty: nowhere
	Client   *http.Client
	Now      func() time.Time
	Report   func(error) // told once when fetching starts to fail, and with nil when it works again
}

// RemoteKeys keeps the keys of one issuer in memory. Run refreshes them in the
// background; a Check never waits for a fetch. While the issuer is down, or
// publishes something unacceptable, the last good set stays in use.
type RemoteKeys struct {
	RemoteKeysConfig
	unknown chan struct{} // a token named a kid that the set lacks
	unsaved bool          // it was said that the set cannot be kept on disk; Run's own

	mu      sync.RWMutex
	keys    map[string]*Key // nil: never loaded
	fetched time.Time       // when the set was last confirmed by the issuer
}

// NewRemoteKeys loads the last good set from disk when there is one. The first
// fetch happens in Run.
func NewRemoteKeys(c RemoteKeysConfig) *RemoteKeys {
	r := &RemoteKeys{RemoteKeysConfig: c, unknown: make(chan struct{}, 1)}
	if info, err := os.Stat(r.cacheFile()); err == nil && c.CacheDir != "" {
		if doc, err := os.ReadFile(r.cacheFile()); err == nil {
			if keys, err := ParseKeySet(doc); err == nil {
				r.replace(keys, info.ModTime())
			}
		}
	}
	return r
}

// Key implements KeySource. An unknown kid wakes Run, which fetches at most once
// in 30 s for that reason, whoever asks and however often (bar B9).
func (r *RemoteKeys) Key(_ context.Context, kid string) (*Key, error) {
	r.mu.RLock()
	key, loaded := r.keys[kid], r.keys != nil
	r.mu.RUnlock()
	if key == nil {
		select {
		case r.unknown <- struct{}{}:
		default:
		}
	}
	if !loaded {
		return nil, fmt.Errorf("issuer %s: %w", r.Issuer, ErrNoKeys)
	}
	return key, nil
}

// Loaded reports whether any set was ever loaded.
func (r *RemoteKeys) Loaded() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.keys != nil
}

// Age is how long ago the issuer last confirmed the set.
func (r *RemoteKeys) Age(now time.Time) time.Duration {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return now.Sub(r.fetched)
}

// replace makes keys the current set. A key that was there before stays the same
// object; one that left is retired.
func (r *RemoteKeys) replace(keys []*Key, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := make(map[string]*Key, len(keys))
	for _, k := range keys {
		if old := r.keys[k.ID]; old != nil && old.same(k) {
			k = old
		}
		next[k.ID] = k
	}
	for id, old := range r.keys {
		if next[id] != old {
			old.retired.Store(true)
		}
	}
	r.keys, r.fetched = next, at
}

// Run fetches the set at once and then as often as its max-age asks for, until
// ctx ends.
func (r *RemoteKeys) Run(ctx context.Context) error {
	failures := 0
	for {
		began := r.Now()
		maxAge, err := r.refresh(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			failures++
		}
		if r.Report != nil && (err != nil && failures == 1 || err == nil && failures > 0) {
			r.Report(err)
		}
		if err == nil {
			failures = 0
		}
		if !r.wait(ctx, began, r.pause(maxAge, failures)) {
			return nil
		}
	}
}

// pause says how long to wait for the next fetch.
func (r *RemoteKeys) pause(maxAge time.Duration, failures int) time.Duration {
	switch {
	case failures == 0 && maxAge == 0:
		return fetchDefault
	case failures == 0:
		return min(max(maxAge, fetchAtMost), fetchAtLeast)
	case r.Loaded():
		return fetchCooldown
	}
	return min(retryFirst<<min(failures-1, 10), retryMost)
}

// wait returns after pause, or, when a token names an unknown kid, as soon as
// the cooldown since the last fetch is over. False: ctx ended.
func (r *RemoteKeys) wait(ctx context.Context, began time.Time, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	unknown := r.unknown
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-unknown:
			unknown = nil
			if left := fetchCooldown - r.Now().Sub(began); left < pause {
				timer.Reset(max(left, 0))
			}
		}
	}
}

func (r *RemoteKeys) refresh(ctx context.Context) (maxAge time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	doc, maxAge, err := fetchKeySet(ctx, r.Client, r.Issuer, r.URI)
	if err != nil {
		return 0, fmt.Errorf("keys of issuer %s: %w", r.Issuer, err)
	}
	keys, err := ParseKeySet(doc)
	if err != nil {
		return 0, fmt.Errorf("keys of issuer %s: %w; the set known before stays in use", r.Issuer, err)
	}
	r.replace(keys, r.Now())
	if err := r.save(doc); err != nil && r.Report != nil && !r.unsaved {
		r.unsaved = true // said once; the keys are in force all the same
		r.Report(fmt.Errorf("keep the keys of issuer %s for a restart: %w", r.Issuer, err))
	}
	return maxAge, nil
}

func (r *RemoteKeys) cacheFile() string {
	sum := sha256.Sum256([]byte(r.Issuer + "\x00" + r.URI))
	return filepath.Join(r.CacheDir, "jwks-"+hex.EncodeToString(sum[:8])+".json")
}

// save keeps the set on disk, whole or not at all.
func (r *RemoteKeys) save(doc []byte) error {
	if r.CacheDir == "" {
		return nil
	}
	temp, err := os.CreateTemp(r.CacheDir, "jwks-*.new")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // gone already when the rename worked
	_, err = temp.Write(doc)
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(temp.Name(), r.cacheFile())
}

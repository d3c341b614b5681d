package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/tokens"
)

// issuers owns the key caches of the trusted issuers: which of them run, and
// that one which a reload left alone keeps its keys.
type issuers struct {
	cacheDir string
	client   *http.Client
	now      func() time.Time
	log      *slog.Logger

	mu      sync.Mutex
	running map[string]*runningKeys // by issuer and address
	group   sync.WaitGroup
}

type runningKeys struct {
	keys *tokens.RemoteKeys
	stop context.CancelFunc
}

// use makes the issuers of the configuration the trusted ones, beside own. New
// key caches start; those no longer named stop.
func (i *issuers) use(ctx context.Context, own *tokens.Trust, trusted []config.Trust) ([]*tokens.Trust, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	list := []*tokens.Trust{own}
	next := map[string]*runningKeys{}
	for n := range trusted {
		t := &trusted[n]
		if t.JWKSFile != "" {
			keys, err := t.ReadKeys()
			if err != nil {
				return nil, err
			}
			list = append(list, foreignTrust(t, keys))
			continue
		}
		name := t.Issuer + " " + t.JWKSURI
		if next[name] = i.running[name]; next[name] == nil {
			next[name] = &runningKeys{keys: i.remote(t)}
		}
		list = append(list, foreignTrust(t, next[name].keys))
	}
	for name, r := range next {
		if r.stop == nil {
			i.start(ctx, next[name])
		}
	}
	for name, r := range i.running {
		if next[name] == nil {
			r.stop()
		}
	}
	i.running = next
	return list, nil
}

func (i *issuers) remote(t *config.Trust) *tokens.RemoteKeys {
	return tokens.NewRemoteKeys(tokens.RemoteKeysConfig{
		Issuer: t.Issuer, URI: t.JWKSURI, CacheDir: i.cacheDir, Client: i.client, Now: i.now,
		Report: func(err error) {
			if err != nil {
				i.log.Warn("the keys of an issuer cannot be fetched or kept", "issuer", t.Issuer, "error", err)
			} else {
				i.log.Info("the keys of an issuer are fetched again", "issuer", t.Issuer)
			}
		},
	})
}

func (i *issuers) start(ctx context.Context, r *runningKeys) {
	ctx, r.stop = context.WithCancel(ctx)
	i.group.Go(func() { _ = r.keys.Run(ctx) })
}

// wait returns when all key caches have ended.
func (i *issuers) wait() { i.group.Wait() }

// notReady names the issuers whose keys were never loaded.
func (i *issuers) notReady() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	var names []string
	for _, r := range i.running {
		if !r.keys.Loaded() {
			names = append(names, fmt.Sprintf("no keys of issuer %s yet", r.keys.Issuer))
		}
	}
	return names
}

// each runs f for every remote issuer.
func (i *issuers) each(f func(*tokens.RemoteKeys)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, r := range i.running {
		f(r.keys)
	}
}

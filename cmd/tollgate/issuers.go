package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
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

	registry *tokens.Registry
	maxBytes int64 // of what one introspection remembers

	mu      sync.Mutex
	running map[string]*runningKeys // by issuer and address
	asked   map[string]*asked       // by issuer
	group   sync.WaitGroup
}

// asked is an issuer that is asked about its tokens, and what the configuration
// said of it.
type asked struct {
	trust        config.Trust
	introspector *tokens.Introspector
}

type runningKeys struct {
	keys *tokens.RemoteKeys
	stop context.CancelFunc
}

// use makes the issuers of the configuration the trusted ones, beside own. New
// key caches start; those no longer named stop.
func (i *issuers) use(ctx context.Context, own *tokens.Trust, trusted []config.Trust, v *tokens.Verifier) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	list := []*tokens.Trust{own}
	next, ask := map[string]*runningKeys{}, map[string]*asked{}
	var introspectors []*tokens.Introspector
	for n := range trusted {
		t := &trusted[n]
		keys, err := i.keysOf(t, next)
		if err != nil {
			return err
		}
		trust := foreignTrust(t, keys)
		if keys != nil {
			list = append(list, trust)
		}
		if t.Introspection == nil {
			continue
		}
		if ask[t.Issuer], err = i.ask(t, trust); err != nil {
			return err
		}
		introspectors = append(introspectors, ask[t.Issuer].introspector)
	}
	all, err := tokens.NewIntrospectors(introspectors...)
	if err != nil {
		return err
	}
	v.Trust(list)
	v.Introspect(all)
	for name, a := range i.asked {
		if ask[name] == nil || ask[name].introspector != a.introspector {
			i.group.Go(a.introspector.Close)
		}
	}
	i.asked = ask
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
	return nil
}

// keysOf returns the keys of an issuer, nil when it has none and is asked about all of
// its tokens. Key caches come from those that run, or are put into next to be started.
func (i *issuers) keysOf(t *config.Trust, next map[string]*runningKeys) (tokens.KeySource, error) {
	switch {
	case !t.HasKeys():
		return nil, nil
	case t.JWKSFile != "":
		return t.ReadKeys()
	}
	name := t.Issuer + " " + t.JWKSURI
	if next[name] = i.running[name]; next[name] == nil {
		next[name] = &runningKeys{keys: i.remote(t)}
	}
	return next[name].keys, nil
}

// ask returns the introspector of an issuer: the one that runs, with all that it
// remembers, unless the configuration says something else now.
func (i *issuers) ask(t *config.Trust, trust *tokens.Trust) (*asked, error) {
	now := *t
	now.Source = ""
	if old := i.asked[t.Issuer]; old != nil && reflect.DeepEqual(old.trust, now) {
		return old, nil
	}
	one, err := tokens.NewIntrospector(tokens.IntrospectionConfig{
		Trust: trust, Endpoint: t.Introspection.Endpoint, ClientID: t.Introspection.ClientID, ClientSecret: t.Introspection.ClientSecret,
		Timeout: t.Introspection.Timeout, Cache: t.Introspection.Cache, MaxBytes: i.maxBytes, Registry: i.registry,
		Report: func(err error) {
			if err != nil {
				i.log.Warn("an issuer does not answer about its tokens", "issuer", t.Issuer, "error", err)
			} else {
				i.log.Info("an issuer answers about its tokens again", "issuer", t.Issuer)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return &asked{now, one}, nil
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

// wait returns when all key caches have ended, and all calls about tokens.
func (i *issuers) wait() {
	i.mu.Lock()
	for _, a := range i.asked {
		i.group.Go(a.introspector.Close)
	}
	i.mu.Unlock()
	i.group.Wait()
}

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

// eachAsked runs f for every issuer that is asked about its tokens.
func (i *issuers) eachAsked(f func(*tokens.Introspector)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, a := range i.asked {
		f(a.introspector)
	}
}

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/authz/decisions"
	"github.com/tollgate-authz/tollgate/authz/extauthz"
	"github.com/tollgate-authz/tollgate/authz/stats"
	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/endpoint"
	"github.com/tollgate-authz/tollgate/tokens/manage"
	"github.com/tollgate-authz/tollgate/tokens/sqlite"
)

// node is one running tollgate: everything that `serve` serves, wired together.
type node struct {
	log     *slog.Logger
	now     func() time.Time
	load    func(context.Context) (*config.Config, error) // for reloads
	hangup  <-chan os.Signal                              // asks for one
	metrics *nodeMetrics

	started  *config.Config // what cannot be reloaded is still as it says
	config   atomic.Pointer[config.Config]
	settings atomic.Pointer[endpoint.Settings]
	managed  atomic.Pointer[manage.Settings]

	store    *sqlite.DB
	pepper   *tokens.Pepper
	registry *tokens.Registry
	cache    *tokens.Cache
	verifier *tokens.Verifier
	limits   *limiter.Table // of tokens, at the gate
	quotas   *quota.Book    // of limits that a ledger keeps
	stats    *stats.Book    // of decisions
	clients  *limiter.Table // of clients, at the token endpoint
	failures *limiter.Table // of sources that failed there
	issuers  issuers
	keys     *tokens.KeyRing
	own      *tokens.Trust // what keys sign
	gate     *authz.Gate
	ring     *decisions.Ring     // the latest
	moves    chan tokens.Move    // to be stored
	lockouts chan tokens.Lockout // likewise
	liftMu   sync.Mutex          // one lockout is stored or lifted at a time

	checkTLS *certificates // nil: listen.check speaks without TLS
	httpTLS  *certificates // nil: listen.http does

	check *extauthz.Server
	http  *http.Server
	ops   *http.Server
	admin *http.Server
}

// Shares of limits.max_memory. What is left is for the garbage between two
// collections.
const (
	cacheShare    = 50 // percent
	limitsShare   = 30
	quotasShare   = 10
	clientsShare  = 3
	failuresShare = 2

	introspectionShare = 1 // of each issuer that is asked about its tokens; refusals get an eighth beside it
)

// newNode opens the store and wires everything. Nothing listens yet.
func newNode(ctx context.Context, c *config.Config, log *slog.Logger, registry *prometheus.Registry) (*node, error) {
	n := &node{log: log, now: time.Now}
	if err := n.wire(ctx, c, registry); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *node) wire(ctx context.Context, c *config.Config, registry *prometheus.Registry) error {
	n.started = c
	n.config.Store(c)
	secret, err := loadSecrets(c, rand.Reader)
	if err != nil {
		return err
	}
	n.pepper = &secret.pepper
	if n.store, err = sqlite.Open(ctx, sqlite.Config{Path: c.Store.SQLite, KEK: secret.encryption, Now: n.now}); err != nil {
		return err
	}
	if err := n.ensureKey(ctx, c); err != nil {
		return err
	}
	n.keys = tokens.NewKeyRing(c.Issuer, rand.Reader, n.now)
	n.own = n.keys.Trust()
	if n.registry, err = tokens.NewRegistry(ctx, n.store, n.keys, n.now()); err != nil {
		return err
	}
	n.registry.ReportMoves(n.reportMove)
	if err := n.makeTables(c.Limits.MaxMemory); err != nil {
		return err
	}
	n.verifier = tokens.NewVerifier(n.registry, n.cache)
	if err := n.openQuotas(c.Limits.MaxMemory, registry); err != nil {
		return err
	}
	if err := n.openStats(c.Limits.MaxMemory, registry); err != nil {
		return err
	}
	p, err := n.numberLimits(ctx, c)
	if err != nil {
		return err
	}
	n.moves, n.lockouts = make(chan tokens.Move, maxMoves), make(chan tokens.Lockout, maxLockouts)
	n.gate = authz.New(authz.Config{
		Policy: p, Tokens: n.verifier, Limits: n.limits, Quotas: n.quotas, Now: n.now,
		Moved: n.moved, LockedOut: n.lockedOut, Notify: newNotifier(registry, n.log).notify,
	})
	n.issuers = issuers{cacheDir: cacheDir(c), client: tokens.NewFetchClient(), now: n.now, log: n.log, registry: n.registry, maxBytes: c.Limits.MaxMemory * introspectionShare / 100}
	n.metrics = newNodeMetrics(registry, n)
	return n.makeServers(c, registry)
}

// cacheDir is where key sets outlive a restart: beside the store.
func cacheDir(c *config.Config) string {
	if c.Store.Memory {
		return ""
	}
	return filepath.Dir(c.Store.SQLite)
}

func (n *node) makeTables(memory int64) (err error) {
	if n.cache, err = tokens.NewCache(memory * cacheShare / 100); err != nil {
		return err
	}
	if n.limits, err = limiter.New(limiter.Config{MaxBytes: memory * limitsShare / 100, Epoch: n.now()}); err != nil {
		return err
	}
	if n.clients, err = limiter.New(limiter.Config{MaxBytes: memory * clientsShare / 100, Epoch: n.now()}); err != nil {
		return err
	}
	n.failures, err = limiter.New(limiter.Config{MaxBytes: memory * failuresShare / 100, Epoch: n.now()})
	return err
}

func (n *node) makeServers(c *config.Config, registry *prometheus.Registry) error {
	n.use(c)
	if err := n.openCertificates(c.Listen, registry); err != nil {
		return err
	}
	n.ring = decisions.New(decisions.Config{Steps: authz.Steps[:], Start: n.now()})
	n.check = extauthz.New(extauthz.Config{
		Judge:    n.gate,
		Observer: extauthz.Observers{n.metrics.decisions, extauthz.Log{Logger: n.log}, extauthz.Decisions{Ring: n.ring, Now: n.now}, extauthz.Stats{Book: n.stats}},
		Options:  n.checkTLS.grpcOptions(),
	})
	tokenEndpoint, err := endpoint.New(endpoint.Config{
		Records: records{n.store, n.registry, n.now}, Keys: n.keys, Tokens: n.verifier,
		Pepper: n.pepper, Limits: n.clients, Failures: n.failures, Now: n.now,
		Days:     authz.Days{Gate: n.gate, Account: n.registry.Account},
		Settings: func() endpoint.Settings { return *n.settings.Load() },
		Observe:  n.observeEndpoint,
	})
	if err != nil {
		return err
	}
	management, err := n.newManagement()
	if err != nil {
		return err
	}
	n.http = n.newHTTP(withManagement(management, tokenEndpoint))
	n.ops = n.newHTTP(n.opsHandler(registry))
	n.admin = n.newHTTP(n.adminHandler())
	n.admin.RegisterOnShutdown(n.ring.Close) // followers would hold the stop up
	return nil
}

// use puts the settings of a configuration in force at the HTTP service.
func (n *node) use(c *config.Config) {
	s := newSettings(c)
	n.settings.Store(s)
	n.managed.Store(newManaged(c, s, n.own.Issuer))
}

// newSettings is what the token endpoint goes by.
func newSettings(c *config.Config) *endpoint.Settings {
	s := &endpoint.Settings{
		Audience: c.Tokens.Audience, AccessTTL: c.Tokens.AccessTTL, RefreshTTL: c.Tokens.RefreshTTL, RefreshMaxTTL: c.Tokens.RefreshMaxTTL,
		Format:               tokens.Format(c.Tokens.Format),
		GenerationsPerMinute: c.Tokens.GenerationsPerMinute, TrustedHops: c.ClientIP.HTTPTrustedHops,
	}
	for i := range c.APIs {
		if c.APIs[i].Audience != "" {
			s.APIAudiences = append(s.APIAudiences, c.APIs[i].Audience)
		}
	}
	return s
}

// newHTTP is a server that slow or greedy connections cannot hold up.
func (n *node) newHTTP(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 15 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
}

// close releases what newNode opened.
func (n *node) close() {
	if n.cache != nil {
		n.cache.Close()
	}
	if n.store != nil {
		if err := n.store.Close(); err != nil {
			n.log.Error("close the store", "error", err)
		}
	}
}

// reload puts the configuration file in force again. A file with a fault leaves
// everything as it is.
func (n *node) reload(ctx, background context.Context) {
	if err := n.tryReload(ctx, background); err != nil {
		n.metrics.reloads.WithLabelValues("refused").Inc()
		n.log.Error("the configuration was not reloaded; the one before stays in force", "error", err)
		return
	}
	n.metrics.reloads.WithLabelValues("ok").Inc()
	n.log.Info("the configuration was reloaded")
}

func (n *node) tryReload(ctx, background context.Context) error {
	c, err := n.load(ctx)
	if err != nil {
		return err
	}
	if err := n.keepIssuer(c); err != nil {
		return err
	}
	p, err := n.numberLimits(ctx, c)
	if err != nil {
		return err
	}
	if c.Keys.SigningKey != "" && c.Tokens.SigningAlgorithm == n.started.Tokens.SigningAlgorithm {
		if err := n.ensureKey(ctx, c); err != nil {
			return err
		}
	}
	if err := n.trust(background, c); err != nil {
		return err
	}
	n.config.Store(c)
	n.use(c)
	n.gate.SetPolicy(p)
	n.metrics.decisions.Forget()
	n.warn(c)
	for _, key := range needsRestart(n.started, c) {
		n.log.Warn("this change takes hold at the next start only", "key", key)
	}
	return nil
}

// keepIssuer holds a reloaded configuration to the issuer that still signs: the
// audience that follows from it must not change alone, and nobody else may be
// trusted under its name.
func (n *node) keepIssuer(c *config.Config) error {
	if c.Issuer == n.own.Issuer {
		return nil
	}
	if c.Tokens.Audience == c.Issuer {
		c.Tokens.Audience = n.own.Issuer
	}
	for i := range c.Trust {
		if c.Trust[i].Issuer == n.own.Issuer {
			return fmt.Errorf("%s: trust names the issuer %s, which is tollgate's own until it is restarted", c.Trust[i].Source, n.own.Issuer)
		}
	}
	return nil
}

// trust makes the issuers of a configuration the trusted ones.
func (n *node) trust(ctx context.Context, c *config.Config) error {
	return n.issuers.use(ctx, n.own, c.Trust, n.verifier)
}

// needsRestart names what a reload cannot change.
func needsRestart(old, c *config.Config) (keys []string) {
	for key, changed := range map[string]bool{
		"listen": !reflect.DeepEqual(old.Listen, c.Listen), "issuer": old.Issuer != c.Issuer, "store": old.Store != c.Store, "keys.encryption_key": old.Keys.EncryptionKey != c.Keys.EncryptionKey, "keys.pepper": old.Keys.Pepper != c.Keys.Pepper,
		"tokens.signing_algorithm": old.Tokens.SigningAlgorithm != c.Tokens.SigningAlgorithm, "limits": old.Limits != c.Limits,
	} {
		if changed {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// warn tells what is accepted and not enforced, and clients without a plan.
func (n *node) warn(c *config.Config) {
	for _, w := range c.Warnings {
		n.log.Warn(w)
	}
	for name, count := range n.registry.Plans() {
		if c.Plans[name] == nil {
			n.log.Warn("clients have a plan that is not configured; their requests are refused with 503 R0", "plan", name, "clients", count)
		}
	}
}

// listen opens an address: host:port, or unix:PATH with that mode.
func listen(ctx context.Context, address string, mode os.FileMode) (net.Listener, error) {
	var lc net.ListenConfig
	path, isUnix := cutUnix(address)
	if !isUnix {
		return lc.Listen(ctx, "tcp", address)
	}
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("the socket path %s has %d bytes; the system takes at most %d", path, len(path), maxSocketPath)
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil { // until now the umask keeps others from writing, which connecting needs
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// maxSocketPath is what fits into a sockaddr_un beside the terminating zero.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

func cutUnix(address string) (path string, ok bool) {
	const prefix = "unix:"
	if len(address) > len(prefix) && address[:len(prefix)] == prefix {
		return address[len(prefix):], true
	}
	return "", false
}

var errServed = errors.New("another process serves")

// removeStale removes a socket that a process has left behind; one on which
// somebody still answers is an error.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s exists and is no socket", path)
	}
	var d net.Dialer
	if conn, err := d.DialContext(ctx, "unix", path); err == nil {
		_ = conn.Close()
		return fmt.Errorf("%w on %s", errServed, path)
	}
	return os.Remove(path)
}

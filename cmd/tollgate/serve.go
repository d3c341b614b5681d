package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"
)

// How long a stop may take: Envoy is first told to look elsewhere, then running
// requests finish (bar B20: at most 10 s in all).
const (
	drainPause = 2 * time.Second // longer than an interval and a timeout of the health checks that envoy bootstrap prints
	stopMost   = 5 * time.Second
)

func (a *app) serveCommand() *cobra.Command {
	var level, format string
	c := &cobra.Command{
		Use: "serve", Short: "Run the Check service, the token endpoint and the ops endpoint", Args: cobra.NoArgs,
		Long: `Run the Check service, the token endpoint and the ops endpoint.

SIGTERM drains: health checks say NOT_SERVING, requests that run finish.
SIGHUP reads the configuration and the certificates again; what has a fault
leaves the old in force. Certificates are also read when their files change.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := a.newLogger(level, format)
			if err != nil {
				return err
			}
			return a.serve(cmd.Context(), log)
		},
	}
	c.Flags().StringVar(&level, "log-level", "info", "least `LEVEL` that is logged: debug, info, warn or error")
	c.Flags().StringVar(&format, "log-format", "", "`FORMAT` of the log: text or json (default: text on a terminal, else json)")
	return c
}

func (a *app) newLogger(level, format string) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, usageError{fmt.Errorf("--log-level %q is unknown: debug, info, warn or error", level)}
	}
	options := &slog.HandlerOptions{Level: least}
	if format == "" {
		format = "json"
		if f, ok := a.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			format = "text"
		}
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(a.err, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.err, options)), nil
	}
	return nil, usageError{fmt.Errorf("--log-format %q is unknown: text or json", format)}
}

// serve runs until ctx ends.
func (a *app) serve(ctx context.Context, log *slog.Logger) error {
	hangup := make(chan os.Signal, 1) // from now on: without a handler SIGHUP would end a process that starts
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	c, err := a.awaitConfig(ctx)
	if err != nil {
		return err
	}
	tuneCollector(a.getenv, c.Limits.MaxMemory)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	n, err := newNode(ctx, c, log, registry)
	if err != nil {
		return err
	}
	defer n.close()
	n.load, n.hangup = a.awaitConfig, hangup
	return n.run(ctx)
}

// tuneCollector lets garbage grow to four times the live heap: the heap of a
// sidecar is small, and collecting it half as often saves a tenth of the CPU. With
// full tables that would be far more than limits.max_memory, so from there on the
// collector works for its living. GOGC and GOMEMLIMIT have the last word.
func tuneCollector(getenv func(string) (string, bool), maxMemory int64) {
	if _, set := getenv("GOGC"); !set {
		debug.SetGCPercent(400)
	}
	if _, set := getenv("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(maxMemory + maxMemory/10 + processBytes)
	}
}

// processBytes is what a process needs beside its tables.
const processBytes = 64 << 20

// service is one listener and what is served on it.
type service struct {
	name     string
	listener net.Listener
	serve    func(net.Listener) error
}

// run opens the listeners and serves until ctx ends or a service fails.
func (n *node) run(ctx context.Context) error {
	services, err := n.open(ctx)
	if err != nil {
		return err
	}
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	// Requests are decided until the last has been answered, so the book goes on for
	// longer than what ends with ctx.
	booking, stopBooking := context.WithCancel(background)
	defer stopBooking()
	var books sync.WaitGroup
	books.Go(func() { n.quotas.Run(booking) })
	books.Go(func() { n.runStats(booking) })
	books.Go(func() { n.storeMoves(booking) })
	books.Go(func() { n.storeLockouts(booking) })
	group, ctx := errgroup.WithContext(ctx)
	if err := n.trust(background, n.config.Load()); err != nil {
		stopBackground()
		return err
	}
	n.warn(n.config.Load())
	if c := n.config.Load(); c.Keys.EncryptionKey == "" && !c.Store.Memory {
		n.log.Warn("keys.encryption_key is not configured: what encrypts the signing keys lies beside the store", "file", c.Store.SQLite+".encryption-key")
	}
	for _, s := range services {
		group.Go(func() error {
			if err := s.serve(s.listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve %s: %w", s.name, err)
			}
			return nil
		})
		n.log.Info("listening", "service", s.name, "address", s.listener.Addr().String())
	}
	group.Go(func() error {
		return n.registry.Run(ctx, n.now, func(err error) {
			n.log.Error("the store cannot be followed; decisions go on with what is known", "error", err)
		})
	})
	group.Go(func() error { return n.serveCommands(ctx) })
	group.Go(func() error { n.housekeep(ctx); return nil })
	group.Go(func() error { n.followCertificates(ctx); return nil })
	group.Go(func() error { n.reloadOnSignal(ctx, background); return nil })
	group.Go(func() error { <-ctx.Done(); n.stop(); return nil })
	n.log.Info("ready", "version", version, "clients", n.registry.Len())
	err = group.Wait()
	stopBooking()
	books.Wait()
	n.giveBack()
	stopBackground()
	n.issuers.wait()
	n.log.Info("stopped")
	return err
}

// open opens all listeners, or none.
func (n *node) open(ctx context.Context) (services []service, err error) {
	c := n.config.Load()
	defer func() {
		if err != nil {
			for _, s := range services {
				_ = s.listener.Close()
			}
		}
	}()
	for _, s := range []struct {
		name, address string
		serve         func(net.Listener) error
	}{
		{"check", c.Listen.Check, n.check.Serve},
		{"http", c.Listen.HTTP, n.serveHTTP},
		{"ops", c.Listen.Ops, n.ops.Serve},
	} {
		l, err := listen(ctx, s.address, everybody)
		if err != nil {
			return services, fmt.Errorf("listen.%s: %w", s.name, err)
		}
		services = append(services, service{s.name, l, s.serve})
	}
	return services, nil
}

// everybody may connect to the Check socket: Envoy may run as another user. Whom
// to keep out is for the folder's mode to say, as it is for TCP on loopback.
const everybody = 0o666

// serveCommands answers commands that need live counters, on a socket beside the
// store. Where another serve still does, as in a restart without a gap, it waits
// for that one to end.
func (n *node) serveCommands(ctx context.Context) error {
	c := n.config.Load()
	if c.Store.Memory {
		return nil
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for waiting := false; ; waiting = true {
		l, err := listen(ctx, "unix:"+adminSocket(c), 0o600)
		switch {
		case err == nil:
			if err := n.admin.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("the socket for commands: %w", err)
			}
			return nil
		case !errors.Is(err, errServed): // requests are decided without it
			n.log.Error("commands cannot ask for live counters", "error", err)
			return nil
		case !waiting:
			n.log.Warn("another serve on this store answers commands until it ends", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// stop drains and ends all services.
func (n *node) stop() {
	n.log.Info("draining")
	n.check.Drain()
	time.Sleep(drainPause)
	ctx, cancel := context.WithTimeout(context.Background(), stopMost)
	defer cancel()
	var group errgroup.Group
	group.Go(func() error { n.check.Stop(ctx); return nil })
	for _, s := range []*http.Server{n.http, n.ops, n.admin} {
		group.Go(func() error {
			if err := s.Shutdown(ctx); err != nil {
				return s.Close()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		n.log.Error("stop", "error", err)
	}
}

// housekeep gives memory of idle limiter entries back, forgets what has expired, and
// rotates the signing key when its time has come.
func (n *node) housekeep(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			n.limits.Reclaim(n.now())
			n.clients.Reclaim(n.now())
			n.failures.Reclaim(n.now())
			n.prune(ctx)
			n.sweepLedger(ctx)
			n.tendStats(ctx)
			n.rotateKey(ctx)
		}
	}
}

// reloadOnSignal reloads until ctx ends; what a reload starts lives as long as
// background.
func (n *node) reloadOnSignal(ctx, background context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.hangup:
			n.reload(ctx, background)
			n.lookAtCertificates(true)
		}
	}
}

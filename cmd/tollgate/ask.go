package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// inquiry is a question that a running serve answers, which has the live counters, or,
// when none runs, a node of the command's own that serves nobody.
type inquiry[Q, A any] struct {
	path   string
	answer func(ctx context.Context, n *node, q *Q, live bool) (A, error)
}

func (i inquiry[Q, A]) ask(ctx context.Context, c *config.Config, q *Q) (a A, err error) {
	if !c.Store.Memory {
		err := askServe(ctx, adminSocket(c), i.path, q, &a)
		if err == nil || !errors.As(err, new(*net.OpError)) {
			return a, err
		}
	}
	err = withNode(ctx, c, func(n *node) (err error) {
		a, err = i.answer(ctx, n, q, false)
		return err
	})
	return a, err
}

func (i inquiry[Q, A]) handle(mux *http.ServeMux, n *node) {
	mux.Handle("POST "+i.path, answerCommand(n, func(ctx context.Context, q *Q) (any, error) { return i.answer(ctx, n, q, true) }))
}

// following is no question: every serve that is asked something looks first what others
// have stored.
var following = inquiry[struct{}, struct{}]{"/follow", func(context.Context, *node, *struct{}, bool) (struct{}, error) { return struct{}{}, nil }}

// follow has a running serve learn what the command has stored, so that it holds when
// the command ends. One that does not answer learns of it by itself.
func (a *app) follow(ctx context.Context, c *config.Config) {
	err := askServe(ctx, adminSocket(c), following.path, &struct{}{}, &struct{}{})
	if err != nil && !errors.As(err, new(*net.OpError)) {
		_, _ = fmt.Fprintf(a.err, "It is stored. The running serve was told and did not answer (%v); it follows the store by itself.\n", err)
	}
}

// onRecords changes records with a node of the command's own, and has a running serve
// learn of it.
func (a *app) onRecords(ctx context.Context, do func(*node) error) error {
	c, err := a.recordsConfig()
	if err != nil {
		return err
	}
	if err := requireStore(c); err != nil {
		return err
	}
	if err := withNode(ctx, c, do); err != nil {
		return err
	}
	a.follow(ctx, c)
	return nil
}

// recordsConfig is loadConfig for commands about records, which a store in memory has
// for nobody but its own serve.
func (a *app) recordsConfig() (*config.Config, error) {
	c, err := a.loadConfig()
	if err == nil && c.Store.Memory {
		err = errMemoryStore
	}
	return c, err
}

var errMemoryStore = errors.New("store: sqlite::memory: lives only inside one serve; commands need a store in a file")

// amountOf is how units of a limit are shown: money as decimal text.
func amountOf(kind limiter.Kind, n int64) any {
	if kind.IsMoney() {
		return quota.Micros(n)
	}
	return n
}
